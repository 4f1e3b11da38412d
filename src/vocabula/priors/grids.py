"""Operations on grids of 1, 2 or 3 axes with the channel last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import conv1d, conv2d, conv3d

LAYERS: tuple[Any, ...] = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
"""The convolution layer for each number of axes, from 1."""
SPREADING_LAYERS: tuple[Any, ...] = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
"""The transposed convolution layer for each number of axes, from 1."""
_FUNCTIONS: tuple[Any, ...] = (conv1d, conv2d, conv3d)


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, padding: int | Sequence[int] = 0
) -> Tensor:
    """Convolve x (B, *grid, C) with weights (out, C, *kernel); gives (B, *grid, out).

    Args:
        x: channel last.
        weight: as PyTorch's layers hold it.
        bias: (out,), or None.
        padding: zeros on both sides of each axis.
    """
    function = _FUNCTIONS[x.ndim - 3]
    out: Tensor = function(x.movedim(-1, 1), weight, bias, padding=padding)
    return out.movedim(1, -1)


def at(x: Tensor, axis: int, index: Sequence[int]) -> Tensor:
    """The slab of x (B, *grid, C) at ``index[axis]``, or x if it is one for the whole axis."""
    return x if x.shape[1 + axis] == 1 else x.narrow(1 + axis, index[axis], 1)
