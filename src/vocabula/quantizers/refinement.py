"""The convolutions of a multi-scale quantizer, which smooth interpolated codewords."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

_CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_FUNCTIONS: dict[int, Callable[..., Tensor]] = {
    1: nn.functional.conv1d,
    2: nn.functional.conv2d,
    3: nn.functional.conv3d,
}


class Refinement(nn.Module):
    """``phi(x) = (1 - ratio) x + ratio conv(x)``, a convolution of side 3 beside the identity.

    It computes in the dtype of its input. It begins as the identity.

    Args:
        dim: D, width of the vectors.
        axes: of the grid.
        ratio: the share of the convolution.

    Source: Tian et al. 2024, "Visual Autoregressive Modeling" (VAR), the `Phi` of its code, which
        begins at random.
    """

    def __init__(self, dim: int, axes: int, ratio: float) -> None:
        super().__init__()
        self.ratio = ratio
        self.conv = _CONVOLUTIONS[axes](dim, dim, 3, padding=1)
        nn.init.dirac_(self.conv.weight)
        assert self.conv.bias is not None, "asked for"
        nn.init.zeros_(self.conv.bias)
        self._function = _FUNCTIONS[axes]

    def forward(self, x: Tensor) -> Tensor:
        """Vectors (N, *grid, D) to vectors of the same shape."""
        weight, bias = self.conv.weight.to(x.dtype), self.conv.bias
        assert bias is not None, "asked for"
        convolved = self._function(x.movedim(-1, 1), weight, bias.to(x.dtype), padding=1)
        return torch.lerp(x, convolved.movedim(1, -1), self.ratio)


def choice(scale: int, scales: int, convolutions: int) -> int:
    """Which of some convolutions a scale uses: the one at the nearest place.

    The scales lie evenly on [0, 1], and the convolutions at the centres of as many equal parts; 4
    convolutions lie at 1/12 + i 5/18. Where two are equally near, rounding decides as in the code
    of VAR, whose weights therefore fit.

    Args:
        scale: its index.
        scales: how many there are.
        convolutions: from 1.

    Example:
        >>> [choice(i, 5, 4) for i in range(5)], [choice(i, 5, 2) for i in range(5)]
        ([0, 1, 2, 2, 3], [0, 0, 0, 1, 1])

    Source: `PhiPartiallyShared` in the code of Tian et al. 2024.
    """
    margin = 1 / (3 if convolutions == 4 else 2) / convolutions
    places = np.linspace(margin, 1 - margin, convolutions)
    return int(np.abs(places - scale / max(scales - 1, 1)).argmin())
