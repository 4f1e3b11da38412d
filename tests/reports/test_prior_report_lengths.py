"""The report of a prior of recordings of different lengths, learned whole or in parts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from training.test_prior_lengths import LENGTHS, config, tokenizer_of, write
from vocabula.priors import load_generator
from vocabula.reports import build_prior_report
from vocabula.training.prior_run import train_prior


@pytest.mark.parametrize("parts", [None, 6])
def test_samples_are_as_long_as_they_were_drawn(tmp_path: Path, parts: int | None) -> None:
    tokenizer = tokenizer_of(1)
    tokens = write(tokenizer, tmp_path / "tokens.parquet")
    cut: dict[str, Any] = {"context": {"name": "context", "positions": parts}} if parts else {}
    out = tmp_path / "prior"
    train_prior(config("transformer", **cut), tokenizer, tokens, out, progress=False)
    figures = build_prior_report(load_generator(out), out, tmp_path / "page.html", samples=6)
    assert 0 < figures["code_distance"] <= 1 and figures["copies"] == 0
    page = (tmp_path / "page.html").read_text()
    captions = [float(seconds) for seconds in re.findall(r"(\d\.\d\d) s<", page)]
    assert len(captions) == 6  # three of each speaker: recordings below and from a second
    assert all(100 * seconds in LENGTHS for seconds in captions)
    assert max(captions[:3]) < 1 <= min(captions[3:])
    assert "training recordings 0.40 to 1.50 seconds, half of them at most" in page
