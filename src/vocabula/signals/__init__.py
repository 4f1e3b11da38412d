"""The kinds of signal: what one is, apart from any file, network or model; and what codes are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vocabula import lazy_names

if TYPE_CHECKING:
    from vocabula.signals.base import Signal
    from vocabula.signals.codes import CodeSpec
    from vocabula.signals.image import Image
    from vocabula.signals.vector import Vector

__getattr__ = lazy_names(
    __name__,
    {"base": ("Signal",), "codes": ("CodeSpec",), "image": ("Image",), "vector": ("Vector",)},
)

__all__ = ["CodeSpec", "Image", "Signal", "Vector"]
