"""Codes that differ from float32 on the CPU, against codes that are compared directly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from vocabula.data import ArraySource
from vocabula.evaluation import code_reference, evaluate
from vocabula.evaluation.code_reference import CodeReference
from vocabula.tokenizers import Tokenizer

Make = Callable[..., Tokenizer]
CODES = 2 * 2  # of an image of 8 x 8 pixels at stride 4


def _images(count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(256, (count, 3, 8, 8), generator=generator, dtype=torch.uint8)


def _source(images: torch.Tensor) -> ArraySource:
    return ArraySource(np.ascontiguousarray(images.permute(0, 2, 3, 1).numpy()))


def test_float32_on_the_cpu_is_compared_only_where_asked(make_tokenizer: Make) -> None:
    tokenizer, source = make_tokenizer().eval(), _source(_images(5))
    figures = evaluate(tokenizer, source)
    assert (figures.codes_differ, figures.codes_compared) == (None, None)
    assert "codes_differ" not in figures.to_dict()
    assert "codes differ" not in [row.name for row in figures.rows()]
    figures = evaluate(tokenizer, source, compare_codes=True)
    assert (figures.codes_differ, figures.codes_compared) == (0.0, 5 * CODES)
    assert figures.to_dict()["codes_compared"] == 5 * CODES


def test_another_precision_is_compared(make_tokenizer: Make) -> None:
    tokenizer, images = make_tokenizer().eval(), _images(64)
    alone = torch.cat([tokenizer.encode(image) for image in images.split(1)])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = tokenizer.encode(images)
        figures = evaluate(tokenizer, _source(images), batch_size=64)
    expected = (alone != rounded).double().mean().item()
    assert 0 < expected < 0.5  # a random codebook of 16: some vectors lie near a border
    assert figures.codes_differ == pytest.approx(expected)
    row = next(row for row in figures.rows() if row.name == "codes differ")
    assert row.value == f"{expected:.3%}"
    assert evaluate(tokenizer.bfloat16(), _source(images)).codes_differ is not None
    assert evaluate(tokenizer, _source(images), compare_codes=False).codes_differ is None


def test_a_continuous_bottleneck_has_no_codes_to_compare(make_tokenizer: Make) -> None:
    figures = evaluate(make_tokenizer("vae"), _source(_images(2)), compare_codes=True)
    assert figures.codes_differ is None


def test_several_books_by_hand(make_tokenizer: Make) -> None:
    tokenizer, images = make_tokenizer("residual").eval(), _images(6)
    codes = tokenizer.encode(images)
    codes[4, 0, 0, 1] = (codes[4, 0, 0, 1] + 1) % 8
    codes[5] = (codes[5] + 1) % 8
    reference = CodeReference(tokenizer, total=6)
    for rows in (slice(0, 4), slice(4, 6)):
        reference.add(images[rows], [codes[rows]])
    assert (reference.differing, reference.compared) == (1 + 2 * CODES, 6 * 2 * CODES)
    assert reference.share == (1 + 2 * CODES) / (6 * 2 * CODES)


def test_the_sample_is_spread_and_bounded(
    make_tokenizer: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code_reference, "SIGNALS", 4)
    tokenizer, images = make_tokenizer().eval(), _images(10)
    codes = tokenizer.encode(images)
    codes[[0, 3, 6, 9]] += 1  # of ten signals, every third is taken
    reference = CodeReference(tokenizer, total=10)
    for rows in torch.arange(10).split(4):
        reference.add(images[rows], [codes[rows]])
    assert (reference.differing, reference.compared) == (4 * CODES, 4 * CODES)
    monkeypatch.setattr(code_reference, "ELEMENTS", 2 * images[0].numel())
    reference = CodeReference(tokenizer, total=10)
    reference.add(images, [codes])
    assert reference.compared == 2 * CODES


def test_a_tokenizer_is_left_as_it_was(make_tokenizer: Make) -> None:
    tokenizer = make_tokenizer().double().train()
    evaluate(tokenizer, _source(_images(2)))
    assert tokenizer.training
    assert {p.dtype for p in tokenizer.parameters()} == {torch.float64}
