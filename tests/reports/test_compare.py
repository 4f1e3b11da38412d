"""Several tokenizers on the same images: equal to evaluating each, side by side on one page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vocabula.data import ArraySource
from vocabula.errors import OptionError, OutputError
from vocabula.evaluation import evaluate
from vocabula.reports.compare import compare_tokenizers
from vocabula.reports.comparison_page import build_comparison, comparison_table

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 16, 12, 3), dtype=np.uint8)


def test_figures_are_those_of_each_alone(make_tokenizer: Callable, tmp_path: Path) -> None:
    tokenizers = {"one": make_tokenizer("vector"), "two": make_tokenizer("residual", seed=1)}
    tokenizers["vae"] = make_tokenizer("vae")
    source = ArraySource(IMAGES)
    found = compare_tokenizers(tokenizers, source)
    for one in found:
        alone = evaluate(tokenizers[one.name], source)
        assert one.figures.psnr == alone.psnr and one.figures.usage == alone.usage
        numbers = [p.numel() for p in tokenizers[one.name].parameters()]
        assert one.parameters == sum(numbers)
        assert len(one.cells()) == len(one.columns())
    # by hand: 4 bits, and 4 + 3 bits, for 4 x 4 pixels each; 16 x 12 needs no padding
    assert [one.cells()[2] for one in found] == ["0.250", "0.438", "-"]
    assert comparison_table(found, "x").row_count == 3
    page = tmp_path / "page.html"
    build_comparison(tokenizers, found, source, page, examples=2)
    text = page.read_text()
    assert text.count("<img") == 2 * 4  # the original and what each makes of it
    assert all(f"{one.figures.psnr:.2f}" in text for one in found)
    with pytest.raises(OutputError, match="--overwrite"):
        build_comparison(tokenizers, found, source, page)


def test_what_cannot_be_compared(make_tokenizer: Callable) -> None:
    source = ArraySource(IMAGES)
    with pytest.raises(OptionError, match="use evaluate for one"):
        compare_tokenizers({"one": make_tokenizer()}, source)
    both = {"grey": make_tokenizer(channels=1), "colour": make_tokenizer()}
    with pytest.raises(OptionError, match="1 channel of images in grey, 3 channels"):
        compare_tokenizers(both, source)
