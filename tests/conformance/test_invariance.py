"""Codes depend on the vector alone: not on its batch, its place there, a mask, or the threads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from conformance.rows import ROWS, D, Row, data, prepare
from vocabula.quantizers import Quantizer
from vocabula.quantizers.projection import unit

SPLITS = (1, 2, 3, 5, 16, 100)


@pytest.fixture
def two_threads() -> Iterator[None]:
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


def projected(quantizer: Quantizer) -> bool:
    return any(isinstance(module, (nn.Linear, nn.Conv2d)) for module in quantizer.modules())


def difficult(quantizer: Quantizer) -> Tensor:
    """Vectors (240, D), half of them as near to two values of the quantizer as rounding allows.

    The midpoints are left out behind a projection or a network: their products are rounded
    otherwise for other numbers of rows, which may decide between codewords that are equally near.
    """
    some = data(120, seed=3)
    values = quantizer.decode(quantizer.encode(some)).detach()
    midpoints = (values + values.roll(1, 0)) / 2
    return torch.cat([some, data(120, seed=4) if projected(quantizer) else midpoints])


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_batch_may_be_split_and_reordered(row: Row) -> None:
    quantizer = prepare(row, training=False)
    z = difficult(quantizer)
    codes = quantizer.encode(z)
    for size in SPLITS:
        every = slice(None, None, 4 if size <= 5 else 1)  # both halves of the difficult vectors
        parts = [quantizer.encode(part) for part in z[every].split(size)]
        assert torch.equal(torch.cat(parts), codes[every])
    order = torch.randperm(len(z), generator=torch.Generator().manual_seed(0))
    assert torch.equal(quantizer.encode(z[order]), codes[order])


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_threads_do_not_matter(row: Row) -> None:
    quantizer = prepare(row, training=False)
    z = data(3000, seed=5)  # enough to be shared between threads
    codes = quantizer.encode(z)
    torch.set_num_threads(1)
    assert torch.equal(quantizer.encode(z), codes)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_masked_and_broken_neighbours_do_not_matter(row: Row) -> None:
    quantizer = prepare(row, training=False)
    z = difficult(quantizer)
    codes = quantizer.encode(z)
    mask = torch.arange(len(z)) % 3 > 0
    assert torch.equal(quantizer(z, mask).codes[mask], codes[mask])
    padding = torch.full((len(z), 2, D), 1e6)
    padding[:, 1] = torch.nan
    padded = torch.cat([z[:, None], padding], dim=1)
    inside = torch.tensor([True, False, False]).expand(len(z), 3)
    assert torch.equal(quantizer(padded, inside).codes[:, 0], codes)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_memory_layout_does_not_matter(row: Row) -> None:
    """A batch of one image with the channel first is laid out as no other batch."""
    quantizer = prepare(row, training=False)
    images = difficult(quantizer).reshape(4, 60, D).movedim(-1, 1)
    quantizer.channel_dim = 1
    codes = quantizer.encode(images)
    assert torch.equal(torch.cat([quantizer.encode(one) for one in images.split(1)]), codes)
    quantizer.channel_dim = -1
    assert torch.equal(quantizer.encode(images.movedim(1, -1)), codes)


def test_layout_decides_how_a_norm_is_rounded() -> None:
    """Otherwise the test before this one would show nothing."""
    rows = torch.randn(64, 63).t()
    assert not torch.equal(unit(rows), unit(rows.contiguous()))
