"""The compiled coders refuse arrays that they could not read, and tables that lead them astray."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from vocabula.codec import native
from vocabula.codec.adaptive_stream import AdaptiveStream
from vocabula.codec.pixel_steps import Scene
from vocabula.codec.table import Table
from vocabula.codec.tree import bits_of, own_tables
from vocabula.errors import CodecError, ShapeError

pytestmark = pytest.mark.skipif(not native.available(), reason="the coders were not built")
FAILURES = (ShapeError, RuntimeError, CodecError)


def u32(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.uint32)


def stream(count: int = 6, symbols: int = 5) -> AdaptiveStream:
    own, seen = own_tables(np.zeros(symbols, np.int64))
    return AdaptiveStream(np.array([[1, 1, count]]), symbols, own, seen, None, None)


def scene(count: int = 6) -> Scene:
    return Scene(np.array([[1, 1, count]]), np.zeros((1, count), np.uint8))


def refused(call: Callable[[], object]) -> None:
    with pytest.raises(FAILURES) as error:
        call()
    assert "\n" not in str(error.value)


def test_tables() -> None:
    table = Table(np.array([3, 2, 1]))
    refused(lambda: native.Encoder().table(u32(0, 3), table))
    refused(lambda: native.Encoder().table(np.array([-1]), table))


def test_shares() -> None:
    refused(lambda: native.Encoder().shares(u32(0, 1, 2), u32(5)))
    refused(lambda: native.Encoder().shares(u32(0), u32(0)))
    refused(lambda: native.Encoder().shares(u32(2**24), u32(2**31)))


@pytest.mark.parametrize("row", [(0, 0, 0), (5, 4, 3), (0, 2**31, 2**24)], ids=str)
def test_rows_that_do_not_rise(row: tuple[int, ...]) -> None:
    rows = np.array([row] * 40, np.uint32)
    refused(lambda: native.Decoder(u32(*range(7, 30))).rows(rows))
    refused(lambda: native.Decoder(u32(1, 2, 3)).rows(rows[0]))


def test_words() -> None:
    refused(lambda: native.Decoder(np.zeros(4)))
    refused(lambda: native.Decoder(np.zeros((2, 2), np.uint32)))
    refused(lambda: native.Decoder(np.zeros(8, np.uint32)[::2]))


BAD_LAYERS = [
    {"grids": np.array([[1, 1, 7]])},
    {"grids": np.array([[2**31, 2**31, 2**31]])},
    {"grids": np.array([[-1, -1, 6]])},
    {"grids": np.array([1, 1, 6])},
    {"symbols": 9},
    {"symbols": 0},
    {"own": np.full(8, 2**22, np.uint32)},
    {"own": np.zeros(4, np.uint32)},
    {"own": np.zeros(8, np.int64)},
    {"own_seen": np.zeros(8, np.uint8)},
    {"before": u32(1, 2)},
    {"before": u32(*range(6)), "earlier": np.zeros(6)},
]


@pytest.mark.parametrize("change", BAD_LAYERS, ids=[str(sorted(c)) for c in BAD_LAYERS])
def test_layers(change: dict[str, object]) -> None:
    assert bits_of(5) == 3
    bad = replace(stream(), **change)
    refused(lambda: native.Encoder().adaptive(u32(0, 1, 2, 3, 4, 0), bad))


def test_ranks() -> None:
    refused(lambda: native.Encoder().adaptive(u32(0, 1, 2, 3, 4), stream()))
    refused(lambda: native.Encoder().adaptive(u32(0, 1, 2, 3, 4, 5), stream()))


def test_scenes() -> None:
    zeros = np.zeros((1, 6), np.uint32)
    refused(lambda: native.Encoder().pixels(zeros + 256, scene()))
    refused(lambda: native.Encoder().pixels(zeros + 2**31, scene()))
    refused(lambda: native.Encoder().pixels(zeros[:, :5], scene()))
    refused(lambda: native.Encoder().pixels(zeros, replace(scene(), grids=np.array([[1, 2, 6]]))))
    wide = Scene(np.array([[1, 1, 6]]), np.zeros((5, 6), np.uint8))
    refused(lambda: native.Encoder().pixels(np.zeros((5, 6), np.uint32), wide))
    refused(
        lambda: native.Decoder(u32(1, 2, 3)).pixels(replace(scene(), grids=np.array([[2, 1, 6]])))
    )


def test_what_is_right_still_passes() -> None:
    encoder = native.Encoder()
    encoder.adaptive(u32(0, 1, 2, 3, 4, 0), stream())
    encoder.pixels(np.full((1, 6), 255, np.uint32), scene())
    words = np.frombuffer(encoder.content(), "<u4").astype(np.uint32)
    decoder = native.Decoder(words)
    assert decoder.adaptive(stream()).tolist() == [0, 1, 2, 3, 4, 0]
    assert (decoder.pixels(scene()) == 255).all()
    decoder.end()
