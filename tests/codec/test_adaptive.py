"""The adaptive model: exact in both implementations, short, and never far from its own measure."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vocabula.codec import AdaptiveModel, StaticModel, UniformModel, fallback, native
from vocabula.codec.adaptive_stream import AdaptiveStream
from vocabula.codec.span import Block
from vocabula.codec.tree import own_tables, slots_for, squash_table, stretch_table
from vocabula.codec.words import words_of
from vocabula.errors import CodecError

from .conftest import block_of, smooth_codes, statistics_of

needs_compiled = pytest.mark.skipif(
    not native.available(), reason="the compiled coders were not built"
)
SIZES = [1, 2, 3, 5, 16, 100, 1024]


def test_squash_is_the_logistic_function() -> None:
    exact = [2**24 / (1 + math.exp(-x / 256)) for x in range(-3072, 3073)]
    table = squash_table()
    assert np.abs(table[64:-64] - np.array(exact)[64:-64]).max() <= 64
    assert table[3072] == 2**23
    assert np.array_equal(table + table[::-1], np.full(6145, 2**24))
    assert np.all(np.diff(table.astype(np.int64)) >= 0)


def test_stretch_is_its_inverse() -> None:
    p = (np.arange(4096) + 0.5) / 4096
    assert np.abs(stretch_table() - 256 * np.log(p / (1 - p))).max() <= 1


def test_nodes_begin_with_the_counts_of_their_leaves() -> None:
    own, seen = own_tables(np.array([0, 3, 1, 0, 5]))
    # the root: 2c + 1 of leaves 4.. over all: 11 / (1 + 7 + 3 + 1 + 11)
    assert own[1] == (11 << 22) // 23
    assert own[2] == (4 << 22) // 12
    assert own[4] == (7 << 22) // 8
    assert seen[[1, 2, 4]].tolist() == [9, 4, 3]
    assert own.max() < 2**22


@pytest.mark.parametrize("symbols", SIZES)
@pytest.mark.parametrize("learned", [False, True])
def test_codes_come_back(coder: str, symbols: int, learned: bool) -> None:
    codes = smooth_codes(symbols, 12, 17)
    model = AdaptiveModel(statistics_of(codes, symbols) if learned else None)
    block = block_of(codes, symbols)
    content = model.encode(block, 0)
    before = Block(block.books, block.grids)
    assert np.array_equal(model.decode(before, 0, content)[0], block.codes[0])


@needs_compiled
@pytest.mark.parametrize("symbols", SIZES[1:])
@pytest.mark.parametrize("books", [1, 2, 3])
def test_both_implementations_write_the_same_words(symbols: int, books: int) -> None:
    codes = np.stack([smooth_codes(symbols, 13, 11, seed) for seed in range(books)])
    model = AdaptiveModel(statistics_of(codes, symbols, books))
    block = block_of(codes, symbols)
    for book in range(books):
        agree(model._stream(block, 0, book), model._ranks(book, block.codes[book]))


def agree(stream: AdaptiveStream, ranks: np.ndarray) -> None:
    """Both coders give the same words and widths, and each reads what the other wrote."""
    coders, widths = (fallback.Encoder(), native.Encoder()), []
    for coder in coders:
        widths.append(coder.adaptive(ranks, stream, traced=True))
    words = [words_of(coder.content()) for coder in coders]
    assert np.array_equal(*words)
    assert np.array_equal(*widths)
    for decoder in (fallback.Decoder(words[1]), native.Decoder(words[0])):
        assert np.array_equal(decoder.adaptive(stream), ranks)
        decoder.end()


@needs_compiled
def test_both_agree_where_contexts_crowd_each_other_out() -> None:
    class Crowded(AdaptiveStream):
        slots = 16  # type: ignore[assignment]

    codes = np.random.default_rng(0).integers(0, 300, 900).astype(np.uint32)
    start = own_tables(np.zeros(300, np.int64))
    agree(Crowded(np.array([[9, 10, 10]]), 300, *start, None, None), codes)


@pytest.mark.slow
@needs_compiled
def test_both_agree_over_many_codes() -> None:
    block = block_of(smooth_codes(2, 60, 150), 2)
    agree(AdaptiveModel()._stream(block, 0, 0), block.codes[0])


@pytest.mark.slow
@pytest.mark.parametrize("symbols", [2, 64, 1024, 2**18])
def test_bytes_are_within_a_thousandth_of_the_cross_entropy(symbols: int) -> None:
    codes = np.random.default_rng(0).zipf(1.3, (160, 160)) % symbols
    block = block_of(codes, symbols)
    for model in (
        AdaptiveModel(),
        AdaptiveModel(statistics_of(codes, symbols)),
        StaticModel(statistics_of(codes, symbols)),
        UniformModel(),
    ):
        assert 8 * len(model.encode(block, 0)) <= 1.001 * model.bits(block, 0) + 64


def test_the_cross_entropy_is_that_of_the_decisions() -> None:
    """With all codes alike and unseen, the first code costs log2 K bits in any model."""
    block = block_of(np.array([[37]]), 64)
    assert AdaptiveModel().bits(block, 0) == pytest.approx(6, abs=1e-4)
    assert UniformModel().bits(block, 0) == pytest.approx(6, abs=1e-12)


def test_it_learns_neighbours_and_counts() -> None:
    codes = smooth_codes(64, 120, 120)
    block, statistics = block_of(codes, 64), statistics_of(codes, 64, ordered=True)
    adaptive, static = AdaptiveModel().bits(block, 0), StaticModel(statistics).bits(block, 0)
    assert adaptive < 0.7 * static < 0.7 * 6 * codes.size
    assert AdaptiveModel(statistics).bits(block, 0) < adaptive


def test_a_second_book_is_told_by_the_first() -> None:
    first = np.random.default_rng(0).integers(0, 32, (80, 80)).astype(np.uint32)
    second = (first * 7 + 3) % 32
    alone = AdaptiveModel().bits(block_of(first, 32), 0)
    assert AdaptiveModel().bits(block_of(np.stack([first, second]), 32), 0) < 1.2 * alone
    other = Block(((32,), (32,)), (((1, (80, 80)),),) * 2, [first.reshape(-1), second.reshape(-1)])
    assert AdaptiveModel().bits(other, 1) < 0.2 * alone


def test_noise_costs_little_more_than_its_length() -> None:
    codes = np.random.default_rng(0).integers(0, 1024, (200, 200))
    assert AdaptiveModel().bits(block_of(codes, 1024), 0) < 1.01 * 10 * codes.size


def test_grids_of_several_signals_do_not_look_at_each_other() -> None:
    codes = np.arange(8, dtype=np.uint32)
    one = Block(((8,),), (((1, (2, 4)),),), [codes])
    two = Block(((8,),), (((2, (1, 4)),),), [codes])
    content = AdaptiveModel().encode(two, 0)
    assert AdaptiveModel().encode(one, 0) != content
    assert np.array_equal(AdaptiveModel().decode(Block(two.books, two.grids), 0, content)[0], codes)


def test_models_with_other_counts_have_other_names() -> None:
    codes = smooth_codes(16, 9, 9)
    one, other = statistics_of(codes, 16), statistics_of(codes + 0 * codes, 16)
    assert AdaptiveModel(one).name == AdaptiveModel(other).name
    other.counts[0][3] += 1
    names = {AdaptiveModel().hash, AdaptiveModel(one).hash}
    changed = statistics_of(np.concatenate([codes, codes[:1]]), 16)
    assert len(names | {AdaptiveModel(changed).hash}) == 3


@pytest.mark.parametrize("content", [b"", b"\0" * 80, b"\xff" * 400, b"abc"])
def test_bytes_that_no_encoder_writes_are_refused(coder: str, content: bytes) -> None:
    block = block_of(smooth_codes(50, 10, 10), 50)
    with pytest.raises(CodecError):
        AdaptiveModel().decode(block, 0, content)


def test_slots_are_bounded() -> None:
    assert slots_for(1) == 256
    assert slots_for(100) == 2048
    assert slots_for(2**40) == 2**20
