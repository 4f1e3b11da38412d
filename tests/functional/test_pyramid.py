"""Grids of another size, by hand and beside torch's own pooling and interpolation."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import adaptive_avg_pool2d, adaptive_avg_pool3d, interpolate

from vocabula.functional.pyramid import (
    INTERPOLATIONS,
    cubic_matrix,
    linear_matrix,
    pooling_matrix,
    resized,
)


def test_pooling_by_hand() -> None:
    x = torch.arange(9.0).reshape(1, 3, 3, 1)  # 0 1 2 / 3 4 5 / 6 7 8
    assert resized(x, (1, 1), pooling_matrix).tolist() == [[[[4.0]]]]
    # cells of 2 x 2 that share the middle row and column: (0 + 1 + 3 + 4) / 4 = 2
    found = resized(x, (2, 2), pooling_matrix).flatten().tolist()
    assert found == [2.0, 3.0, 5.0, 6.0]


def test_interpolation_by_hand() -> None:
    x = torch.tensor([0.0, 4.0]).reshape(1, 2, 1)
    # centres at -1/4, 1/4, 3/4, 5/4 of the way; the ends go on
    assert resized(x, (4,), linear_matrix).flatten().tolist() == [0.0, 1.0, 3.0, 4.0]
    # Keys with a = -3/4 at distances 3/4, 1/4, 5/4, 7/4 and the edges repeated: the weight of the
    # far value at 1/4 is k(3/4) + k(7/4) = 0.2617 - 0.0352
    found = resized(x, (4,), cubic_matrix).flatten()
    assert found[1] == pytest.approx(4 * (0.26171875 - 0.03515625))
    assert found.sum() == pytest.approx(8.0)  # symmetric


@pytest.mark.parametrize("to", [1, 2, 3, 5, 7])
def test_as_torch_does(to: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 7, 8, generator=generator, dtype=torch.float64)
    last = x.movedim(1, -1)
    small = adaptive_avg_pool2d(x, to)
    torch.testing.assert_close(resized(last, (to, to), pooling_matrix).movedim(-1, 1), small)
    for name, mode in (("linear", "bilinear"), ("cubic", "bicubic")):
        expected = interpolate(small, size=(7, 8), mode=mode)
        ours = resized(small.movedim(1, -1), (7, 8), INTERPOLATIONS[name])
        torch.testing.assert_close(ours.movedim(-1, 1), expected)
    cube = torch.randn(1, 2, 4, 5, 6, generator=generator)
    pooled = resized(cube.movedim(1, -1), (2, 3, 4), pooling_matrix)
    torch.testing.assert_close(pooled.movedim(-1, 1), adaptive_avg_pool3d(cube, (2, 3, 4)))


def test_the_same_size_is_the_same_tensor() -> None:
    x = torch.randn(2, 4, 4, 3)
    assert resized(x, (4, 4), pooling_matrix) is x
