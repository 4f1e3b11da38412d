"""Codes, statistics and tiny tokenizers that the codec's tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vocabula.codec import CodeStatistics, Table, native, portable
from vocabula.codec.coder import new_decoder, new_encoder
from vocabula.codec.span import Block
from vocabula.tokenizers import SignalTokenizer, build_tokenizer

SMALL = {"name": "vqvae", "hidden": 8, "residual_layers": 0, "downsample": 4}
QUANTIZERS: dict[str, object] = {
    "vector": {"name": "vector", "dim": 4, "codebook_size": 16},
    "residual": {
        "name": "residual",
        "stages": [{"name": "vector", "dim": 4, "codebook_size": 8}] * 3,
    },
    "product": {
        "name": "product",
        "parts": [{"name": "vector", "dim": 2, "codebook_size": 8}] * 2,
    },
    "lookup_free": {"name": "lookup_free", "dim": 6},
    "finite_scalar": {"name": "finite_scalar", "levels": [5, 3]},
    "gaussian": {"name": "gaussian", "dim": 4},
}
HIERARCHIES: dict[str, tuple[str, ...]] = {
    "two levels": ("vector", "finite_scalar"),
    "residual levels": ("residual", "residual"),
    "three levels": ("vector", "product", "lookup_free"),
}


def smooth_codes(symbols: int, height: int, width: int, seed: int = 0) -> NDArray[np.int64]:
    """A grid whose codes resemble their neighbours, as those of pictures do."""
    generator = np.random.default_rng(seed)
    down, along = (np.cumsum(generator.integers(-1, 2, n)) for n in (height, width))
    noise = generator.integers(0, 2, (height, width))
    return np.abs(down[:, None] + along + noise) % symbols


def block_of(codes: NDArray[np.int64], symbols: int) -> Block:
    """One grid (h, w), or one for each book (books, h, w), as entropy models take it."""
    books = codes.reshape(-1, *codes.shape[-2:])
    grids = ((1, tuple(books.shape[1:])),)
    flat = [book.reshape(-1).astype(np.uint32) for book in books]
    return Block(((symbols,) * len(books),), (grids,), flat)


def statistics_of(
    codes: NDArray[np.int64], symbols: int, books: int = 1, *, ordered: bool = False
) -> CodeStatistics:
    """Counts of codes, the same for every book, in an order of its own unless `ordered`."""
    counts = np.bincount(codes.reshape(-1), minlength=symbols)
    order = (np.arange(symbols) * 5 + 3) % symbols if symbols % 5 else np.arange(symbols)[::-1]
    order = np.arange(symbols) if ordered else order
    return CodeStatistics("x", (counts,) * books, (order.astype(np.uint32),) * books)


def damages(content: bytes) -> Iterator[bytes]:
    """Every truncation of a file, then the file with every single bit flipped."""
    for length in range(len(content)):
        yield content[:length]
    yield from flips(content)


def flips(content: bytes) -> Iterator[bytes]:
    """A file with every single bit flipped."""
    for bit in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        yield bytes(flipped)


def encoded(table: Table, codes: NDArray[np.uint32]) -> bytes:
    """A message of codes by one table."""
    encoder = new_encoder()
    encoder.table(codes, table)
    return encoder.content()


def decoded(table: Table, content: bytes, count: int) -> NDArray[np.uint32]:
    """The codes of a message by one table."""
    decoder = new_decoder(content)
    codes = decoder.table(count, table)
    decoder.end()
    return codes


def specs_of(quantizer: str) -> dict[str, object]:
    """Settings of a tokenizer of one level, or of a hierarchy whose levels have stride 2."""
    if quantizer not in HIERARCHIES:
        return {"encoder": SMALL, "decoder": SMALL, "quantizer": QUANTIZERS[quantizer]}
    nets = {"encoder": SMALL | {"downsample": 2}, "decoder": SMALL | {"downsample": 2}}
    return {
        f"level{number}": nets | {"quantizer": QUANTIZERS[name]}
        for number, name in enumerate(HIERARCHIES[quantizer], 1)
    }


@pytest.fixture
def make_tokenizer() -> Callable[..., SignalTokenizer]:
    """A function that builds a tiny tokenizer in evaluation mode: (quantizer, channels, seed)."""

    def make(quantizer: str = "vector", channels: int = 3, seed: int = 0) -> SignalTokenizer:
        torch.manual_seed(seed)
        tokenizer = build_tokenizer(specs_of(quantizer), channels)
        with torch.no_grad():  # k-means initialization wants one training batch
            tokenizer.train()(torch.rand(8, channels, 32, 32))
        return tokenizer.eval()

    return make


@pytest.fixture(params=["compiled", "fallback"])
def coder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Runs a test with the compiled coders and networks, and without them."""
    if request.param == "fallback":
        monkeypatch.setattr(native, "available", lambda: False)
        monkeypatch.setattr(portable, "serves", lambda device: False)
    elif not native.available():
        pytest.skip("the compiled coders were not built")
    yield request.param
