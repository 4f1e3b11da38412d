"""Pages for readers: about a tokenizer, a prior, or several tokenizers side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vocabula import lazy_names

if TYPE_CHECKING:
    from vocabula.reports.prior import build_prior_report
    from vocabula.reports.tokenizer import build_report

__getattr__ = lazy_names(__name__)

__all__ = ["build_prior_report", "build_report"]
