"""The compiled search and sum of all stages of a residual stack, beside stage by stage."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from functional.test_native import instructions, nearest_in_float64, normal
from vocabula.errors import ShapeError
from vocabula.functional import native
from vocabula.quantizers import ResidualQuantizer, VectorQuantizer

__all__ = ["instructions"]  # a fixture

SIZES = (40, 7, 300)


def books(dim: int) -> list[Tensor]:
    return [normal(size, dim, seed=i) / (i + 1) for i, size in enumerate(SIZES)]


@pytest.mark.parametrize("rows", [1, 4, 5, 130])
@pytest.mark.parametrize("dim", [1, 8, 19])
def test_each_stage_codes_what_the_stages_before_leave(
    instructions: str, rows: int, dim: int
) -> None:
    z, total, expected = normal(rows, dim, seed=9), torch.zeros(rows, dim), []
    for book in books(dim):
        expected.append(nearest_in_float64(z - total, book))
        total = total + book[expected[-1]]
    codes = native.residual_codes(z, books(dim))
    assert torch.equal(codes, torch.stack(expected, 1))
    assert torch.equal(native.residual_sum(codes, books(dim)), total)  # in the same order: bits


def test_absent_stages_add_nothing_and_wrong_codes_are_refused(instructions: str) -> None:
    tables = books(3)
    codes = torch.tensor([[5, 6, -1], [5, -1, -1], [-1, -1, -1]])
    values = native.residual_sum(codes, tables)
    first = tables[0][5]
    assert torch.equal(values, torch.stack([first + tables[1][6], first, torch.zeros(3)]))
    with pytest.raises(IndexError, match="expected codes in their books"):
        native.residual_sum(torch.tensor([[0, 7, 0]]), tables)
    with pytest.raises(ShapeError, match="codebook: expected"):
        native.residual_codes(normal(2, 4), tables)


@pytest.mark.parametrize("rows", [1, 50])
def test_quantizers_have_the_codes_and_values_of_torch_operations(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    stack = ResidualQuantizer([VectorQuantizer(6, size) for size in SIZES]).eval()
    for stage, book in zip(stack.stages, books(6), strict=True):
        stage.codebook = book
    z = normal(rows, 6, seed=3)
    with torch.no_grad():
        codes, short = stack.encode(z), stack.encode(z, stages=2)
        values = stack.decode(codes), stack.decode(short), stack.decode(codes[:, :1])
        monkeypatch.setattr(native, "searches", lambda z: False)
        assert torch.equal(stack.encode(z), codes)
        assert torch.equal(short, torch.cat([codes[:, :2], torch.full((rows, 1), -1)], 1))
        expected = stack.decode(codes), stack.decode(short), stack.decode(codes[:, :1])
    for own, other in zip(values, expected, strict=True):
        assert torch.equal(own, other)
