"""Codes with a table each: hand arithmetic, and the compiled coder beside constriction."""

from __future__ import annotations

import numpy as np
import pytest

from vocabula.codec import fallback, native
from vocabula.codec.rows import cumulative_rows, shares_of
from vocabula.codec.words import words_of
from vocabula.errors import CodecError

TOTAL = 2**24


def test_widths_by_hand() -> None:
    rows = cumulative_rows(np.array([[0, 5, 5], [1, 1, 1]]))
    # 2^24 - 3 = 16777213: 5 of 10 is 8388606.5, a third 5592404.33.
    assert np.diff(rows[0]).tolist() == [1, 8388608, 8388607]
    assert np.diff(rows[1]).tolist() == [5592406, 5592405, 5592405]


@pytest.mark.parametrize("size", [1, 2, 7, 1024, 16384])
def test_widths_are_proportional(size: int) -> None:
    weights = np.random.default_rng(size).integers(0, 2**30, (5, size), endpoint=True)
    weights[:, 0] |= 1
    widths = np.diff(cumulative_rows(weights).astype(np.int64))
    assert widths.min() >= 1
    assert (widths.sum(1) == TOTAL).all()
    exact = weights / weights.sum(1, keepdims=True) * (TOTAL - size) + 1
    assert np.abs(np.where(weights == weights.max(1, keepdims=True), 0, widths - exact)).max() < 1.1


@pytest.mark.parametrize("size", [1, 2, 3, 300])
def test_both_coders_give_the_same_words(size: int) -> None:
    if not native.available():
        pytest.skip("the compiled coder was not built")
    random = np.random.default_rng(size)
    rows = cumulative_rows(random.integers(1, 2**20, (400, size)))
    codes = random.integers(0, size, 400).astype(np.uint32)
    contents = []
    for module in (native, fallback):
        encoder = module.Encoder()
        encoder.shares(*shares_of(rows, codes))
        contents.append(encoder.content())
    assert contents[0] == contents[1]
    for module in (native, fallback):
        decoder = module.Decoder(words_of(contents[0]))
        np.testing.assert_array_equal(decoder.rows(rows), codes)
        decoder.end()


@pytest.mark.parametrize("module", [native, fallback])
def test_words_of_no_encoder(module: object) -> None:
    if module is native and not native.available():
        pytest.skip("the compiled coder was not built")
    rows = cumulative_rows(np.ones((9, 1000), np.int64))
    with pytest.raises(CodecError, match="expected the words of an encoder"):
        decoder = module.Decoder(np.full(3, 2**32 - 1, np.uint32))  # type: ignore[attr-defined]
        decoder.rows(rows)
        decoder.end()
