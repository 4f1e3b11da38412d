"""Networks that pass vectors on as they are."""

from __future__ import annotations

from typing import Annotated, ClassVar

from annotated_types import Ge
from torch import Tensor

from vocabula.errors import OptionError
from vocabula.nn.base import Decoder, Encoder
from vocabula.registry import component


@component("encoder", "identity")
class IdentityEncoder(Encoder):
    """The vectors as they are: the tokenizer is its quantizer.

    Args:
        in_channels: width of the vectors.
        dim: the same.

    Raises:
        OptionError: the two differ.
    """

    axes: ClassVar[int] = 0

    def __init__(self, in_channels: Annotated[int, Ge(1)], dim: Annotated[int, Ge(1)]) -> None:
        super().__init__()
        _check_equal("encoder identity", "in_channels", in_channels, "dim", dim)
        self.in_channels, self.dim, self.stride = in_channels, dim, 1

    def forward(self, x: Tensor) -> Tensor:
        """Return x (B, dim)."""
        return x


@component("decoder", "identity")
class IdentityDecoder(Decoder):
    """The quantized vectors as they are; see `IdentityEncoder`.

    Args:
        dim: width of the vectors.
        out_channels: the same.

    Raises:
        OptionError: the two differ.
    """

    axes: ClassVar[int] = 0

    def __init__(self, dim: Annotated[int, Ge(1)], out_channels: Annotated[int, Ge(1)]) -> None:
        super().__init__()
        _check_equal("decoder identity", "dim", dim, "out_channels", out_channels)
        self.dim, self.out_channels, self.stride = dim, out_channels, 1

    def forward(self, z: Tensor) -> Tensor:
        """Return z (B, dim)."""
        return z


def _check_equal(owner: str, name: str, value: int, other: str, wanted: int) -> None:
    if value != wanted:
        raise OptionError(
            f"{owner}: expected {name} equal to {other}={wanted}, got {value}; give the quantizer "
            "the width of the vectors, or take the networks mlp"
        )
