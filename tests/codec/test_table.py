"""Tables of 24-bit probabilities against hand arithmetic, exact shares and constriction."""

from __future__ import annotations

from fractions import Fraction

import constriction
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vocabula.codec import Table, native
from vocabula.codec.coder import new_decoder, new_encoder
from vocabula.errors import CodecError, OptionError

from .conftest import decoded, encoded

TOTAL = 2**24


def constriction_words(table: Table, codes: np.ndarray) -> np.ndarray:
    """What constriction writes, told the same integer probabilities."""
    model = constriction.stream.model.Categorical(
        (table.widths - 1).astype(np.float64), perfect=False
    )
    encoder = constriction.stream.queue.RangeEncoder()
    encoder.encode(codes.astype(np.int32), model)
    return encoder.get_compressed()


@pytest.mark.parametrize(
    ("counts", "widths"),
    [
        ([1, 1], [TOTAL // 2, TOTAL // 2]),
        ([3, 1], [3 * TOTAL // 4, TOTAL // 4]),
        ([0, 1], [1, TOTAL - 1]),
        ([5], [TOTAL]),
        # thirds: 2^24 = 3 * 5592405 + 1, the rest goes to the lowest of equal remainders
        ([7, 7, 7], [5592406, 5592405, 5592405]),
    ],
)
def test_widths_by_hand(counts: list[int], widths: list[int]) -> None:
    assert Table(np.array(counts)).widths.tolist() == widths


@pytest.mark.slow
@given(st.lists(st.integers(0, 2**30), min_size=1, max_size=50).filter(any))
@settings(max_examples=100, deadline=None)
def test_widths_are_shares_within_one(counts: list[int]) -> None:
    widths = Table(np.array(counts)).widths
    assert int(widths.sum()) == TOTAL
    assert int(widths.min()) >= 1
    raised = [i for i, c in enumerate(counts) if Fraction(c, sum(counts)) * TOTAL < 1]
    room = TOTAL - len(raised)
    rest = sum(c for i, c in enumerate(counts) if i not in raised)
    for i, c in enumerate(counts):
        if i not in raised and widths[i] > 1:
            # raising the rarest takes at most one unit each from all others together
            assert abs(Fraction(c, rest) * room - int(widths[i])) <= 1 + len(counts)


@pytest.mark.parametrize("counts", [[], [0, 0], [-1, 2], [2**39]])
def test_counts_out_of_range_are_refused(counts: list[int]) -> None:
    with pytest.raises(OptionError):
        Table(np.array(counts, np.int64))


@pytest.mark.parametrize("symbols", [2, 3, 17, 1024, 2**18])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 1000])
def test_words_are_those_of_constriction(coder: str, symbols: int, count: int) -> None:
    generator = np.random.default_rng(symbols + count)
    table = Table(generator.integers(0, 1000, symbols) ** 2 + 1)
    codes = generator.choice(symbols, count, p=table.widths / TOTAL).astype(np.uint32)
    content = encoded(table, codes)
    assert np.array_equal(np.frombuffer(content, "<u4"), constriction_words(table, codes))
    assert np.array_equal(decoded(table, content, count), codes)


@pytest.mark.slow
@given(st.data())
@settings(max_examples=200, deadline=None)
def test_carries_run_as_far_as_those_of_constriction(data: st.DataObject) -> None:
    """Near-certain codes hold the interval across a word's border: the rare case of any coder."""
    if not native.available():
        pytest.skip("the compiled coders were not built")
    table = Table(np.array(data.draw(st.sampled_from([[1, 2**24], [2**24, 1], [1, 2**24, 1]]))))
    codes = np.array(
        data.draw(st.lists(st.integers(0, len(table.widths) - 1), max_size=60)), np.uint32
    )
    content = encoded(table, codes)
    assert np.array_equal(np.frombuffer(content, "<u4"), constriction_words(table, codes))
    assert np.array_equal(decoded(table, content, len(codes)), codes)


def test_length_is_the_entropy_of_the_integer_probabilities(coder: str) -> None:
    generator = np.random.default_rng(0)
    for symbols in (2, 64, 1024, 2**18):
        p = generator.dirichlet(np.ones(symbols))
        table = Table((p * 1e9).astype(np.int64) + 1)
        codes = generator.choice(symbols, 50_000, p=p).astype(np.uint32)
        exact = -np.log2(table.widths[codes].astype(np.float64) / TOTAL).sum()
        assert table.bits(codes) == pytest.approx(exact, rel=1e-12)
        assert 8 * len(encoded(table, codes)) <= exact * 1.001 + 64


def test_one_message_holds_codes_of_several_tables(coder: str) -> None:
    tables = [Table(np.array(counts)) for counts in ([1, 2, 3], [5, 1], [1] * 300)]
    codes = [np.arange(n, dtype=np.uint32) % k for n, k in ((7, 3), (900, 2), (50, 300))]
    encoder = new_encoder()
    reference = constriction.stream.queue.RangeEncoder()
    for table, part in zip(tables, codes, strict=True):
        encoder.table(part, table)
        shares = (table.widths - 1).astype(np.float64)
        model = constriction.stream.model.Categorical(shares, perfect=False)
        reference.encode(part.astype(np.int32), model)
    content = encoder.content()
    assert np.array_equal(np.frombuffer(content, "<u4"), reference.get_compressed())
    decoder = new_decoder(content)
    for table, part in zip(tables, codes, strict=True):
        assert np.array_equal(decoder.table(len(part), table), part)
    decoder.end()


def test_prices_are_logarithms_in_integers() -> None:
    table = Table(np.random.default_rng(0).integers(1, 2**38, 5000) >> np.arange(5000) % 38)
    exact = 2**16 * -np.log2(table.widths / TOTAL)
    assert np.all((table.prices - exact > -1e-6) & (table.prices - exact <= 1))
    assert table.price(np.array([3, 3, 7], np.uint32)) == table.prices[[3, 3, 7]].sum()


@pytest.mark.parametrize("change", ["longer", "shorter", "odd", "empty"])
def test_words_that_no_encoder_writes_are_refused(coder: str, change: str) -> None:
    table = Table(np.arange(1, 100))
    codes = np.random.default_rng(0).integers(0, 99, 200).astype(np.uint32)
    content = encoded(table, codes)
    wrong = {
        "longer": content + b"\0" * 4,
        "shorter": content[:-8],
        "odd": content[:-1],
        "empty": b"",
    }[change]
    with pytest.raises(CodecError):
        decoded(table, wrong, 200)
