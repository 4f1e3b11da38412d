"""Custom networks, any `nn.Module`, as the encoder and decoder of a tokenizer."""

from __future__ import annotations

from abc import ABC
from typing import Annotated, Any

from annotated_types import Ge
from torch import Tensor, nn

from vocabula.errors import ShapeError
from vocabula.nn.base import Decoder, Encoder
from vocabula.registry import component


class Network(ABC):  # noqa: B024 - nothing derives from it
    """Any `nn.Module`: the type of options that accept other networks than ours."""

    component_kind = "network"

    @classmethod
    def __subclasshook__(cls, other: type) -> Any:
        return issubclass(other, nn.Module)


@component("encoder", "wrapped")
class WrappedEncoder(Encoder):
    """A custom network as an encoder.

    Args:
        network: maps images (B, in_channels, H, W), values in [-1/2, 1/2], to vectors
            (B, dim, H / stride, W / stride), for H and W that are multiples of `stride`.
        in_channels: channels of the images.
        dim: width of the vectors that the network gives.
        stride: pixels per grid position along each axis.
    """

    def __init__(
        self,
        network: Network,
        in_channels: Annotated[int, Ge(1)],
        dim: Annotated[int, Ge(1)],
        *,
        stride: Annotated[int, Ge(1)],
    ) -> None:
        super().__init__()
        self.network = network
        self.in_channels, self.dim, self.stride = in_channels, dim, stride

    def forward(self, x: Tensor) -> Tensor:
        """Encode images x (B, in_channels, H, W) into vectors (B, dim, H / stride, W / stride).

        Raises:
            ShapeError: the network gives something else.
        """
        height, width = x.shape[2] // self.stride, x.shape[3] // self.stride
        z = self.network(x)  # type: ignore[operator]
        return _checked("encoder", self, x, z, (x.shape[0], self.dim, height, width))


@component("decoder", "wrapped")
class WrappedDecoder(Decoder):
    """A custom network as a decoder.

    Args:
        network: maps vectors (B, dim, h, w) to the likelihood's parameters
            (B, out_channels, h stride, w stride); a Gaussian's are pixels in [-1/2, 1/2].
        dim: width of the quantizer's vectors.
        out_channels: parameters per pixel of the likelihood.
        stride: pixels per grid position along each axis, the encoder's.
    """

    def __init__(
        self,
        network: Network,
        dim: Annotated[int, Ge(1)],
        out_channels: Annotated[int, Ge(1)],
        *,
        stride: Annotated[int, Ge(1)],
    ) -> None:
        super().__init__()
        self.network = network
        self.dim, self.out_channels, self.stride = dim, out_channels, stride

    def forward(self, z: Tensor) -> Tensor:
        """Decode vectors z (B, dim, h, w) into (B, out_channels, h stride, w stride).

        Raises:
            ShapeError: the network gives something else.
        """
        height, width = z.shape[2] * self.stride, z.shape[3] * self.stride
        parameters = self.network(z)  # type: ignore[operator]
        return _checked("decoder", self, z, parameters, (len(z), self.out_channels, height, width))


def wrap(
    encoder: nn.Module,
    decoder: nn.Module,
    *,
    dim: int,
    stride: int,
    channels: int = 3,
    out_channels: int | None = None,
) -> tuple[WrappedEncoder, WrappedDecoder]:
    """Make a pair of networks the encoder and decoder of a tokenizer.

    A tokenizer of them can be saved if each network's class is under ``@component("network",
    NAME)``, and loaded if the module that registers them was imported.

    Args:
        encoder: maps images (B, channels, H, W), values in [-1/2, 1/2], to vectors
            (B, dim, H / stride, W / stride), for H and W that are multiples of `stride`.
        decoder: maps vectors (B, dim, h, w) to (B, out_channels, h stride, w stride).
        dim: width of the vectors, the quantizer's ``dim``.
        stride: pixels per grid position along each axis.
        channels: channels of the images.
        out_channels: parameters per pixel of the likelihood; None is `channels`, for a Gaussian.

    Raises:
        OptionError: one is not an `nn.Module`, or a number is below 1.

    Example:
        >>> import torch
        >>> encoder, decoder = wrap(
        ...     nn.Conv2d(3, 16, 8, stride=8), nn.ConvTranspose2d(16, 3, 8, stride=8),
        ...     dim=16, stride=8)
        >>> encoder(torch.zeros(2, 3, 32, 24)).shape
        torch.Size([2, 16, 4, 3])
    """
    out = channels if out_channels is None else out_channels
    made = WrappedEncoder(encoder, channels, dim, stride=stride)  # type: ignore[arg-type]
    return made, WrappedDecoder(decoder, dim, out, stride=stride)  # type: ignore[arg-type]


def _checked(
    part: str, owner: WrappedEncoder | WrappedDecoder, given: Tensor, got: Any, shape: Any
) -> Tensor:
    """The network's result, which must be a tensor of a given shape."""
    if isinstance(got, Tensor) and got.shape == shape:
        return got
    what = tuple(got.shape) if isinstance(got, Tensor) else f"a {type(got).__name__}"
    width = "dim" if part == "encoder" else "out_channels"
    raise ShapeError(
        f"{part} {type(owner.network).__name__}: expected a tensor {tuple(shape)} from "
        f"{tuple(given.shape)}, got {what}; change the network, or {width}={shape[1]} and "
        f"stride={owner.stride} of the {part}"
    )
