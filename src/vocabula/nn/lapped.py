"""Networks that start as a lapped cosine transform: an encoder and decoder of few operations."""

from __future__ import annotations

import math
from functools import cache
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, leaky_relu

from vocabula.errors import OptionError
from vocabula.nn.base import Decoder, Encoder, halvings
from vocabula.registry import component

CORRELATION = 0.95
"""Of neighbouring pixels, in the model that the transform is best for."""
CHROMA = 4.0
"""How much sooner a colour difference's frequencies count as high as those of brightness."""


@cache
def lapped_cosine(size: int) -> Tensor:
    """The lapped orthogonal transform's basis functions (size, 2 size), float64, lowest first.

    ::

        P = 1/2 [ De - Do      De - Do   ]  Z        P^T P = I      P^T shift(P, size) = 0
                [ J(De - Do)  -J(De - Do) ]

    De and Do are the even and odd functions of the cosine transform and J turns them round. Z are
    the eigenvectors of the covariance of a first-order autoregressive signal. Even rows are
    symmetric and odd rows antisymmetric. Neighbouring blocks overlap by half, so that no edges
    between blocks are seen.

    Args:
        size: elements from one block to the next, even.

    Source: Malvar & Staelin 1989, "The LOT: transform coding without blocking effects".
    """
    n, k = torch.arange(size, dtype=torch.float64), torch.arange(size, dtype=torch.float64)
    cosine = torch.cos(math.pi / size * (n[:, None] + 0.5) * k) * math.sqrt(2 / size)
    cosine[:, 0] /= math.sqrt(2)
    difference = cosine[:, 0::2] - cosine[:, 1::2]
    turned = difference.flip(0)
    start = torch.cat([torch.cat([difference, difference], 1), torch.cat([turned, -turned], 1)]) / 2
    lag = torch.arange(2 * size, dtype=torch.float64)
    covariance = CORRELATION ** (lag[:, None] - lag).abs()
    found = torch.empty(size, 2 * size, dtype=torch.float64)
    for parity, half in enumerate(start.split(size // 2, 1)):
        vectors = torch.linalg.eigh(half.T @ covariance @ half).eigenvectors.flip(1)
        found[parity::2] = (half @ vectors).T
    inner = found[:, size // 2 : size + size // 2]
    against = (inner * cosine.T).sum(1) < 0  # eigenvectors have no sign of their own
    return torch.where(against[:, None], -found, found)


def brightness_and_colour() -> Tensor:
    """An orthonormal (3, 3) matrix from RGB to brightness and two colour differences, float64.

    The colour differences span the plane of Cb and Cr. A squared error is then the same before and
    after, which a search for codes needs and YCbCr itself does not give.
    """
    blue = torch.tensor([-0.344136, 1.772], dtype=torch.float64)
    blue = torch.cat([torch.zeros(1, dtype=torch.float64), blue])
    red = torch.tensor([1.402, -0.714136, 0], dtype=torch.float64)
    rows = [torch.ones(3, dtype=torch.float64)]
    for each in (blue, red):
        for row in rows:
            each = each - (each @ row) / (row @ row) * row
        rows.append(each)
    return torch.stack([row / row.norm() for row in rows])


@cache
def frequency_order(channels: int, size: int) -> tuple[tuple[int, int, int], ...]:
    """Coefficients (channel, down, across) of a block, the most important first.

    Three channels are colour: a coefficient counts by ``1 + down^2 + across^2``, times `CHROMA` for
    a colour difference. Other channels come one after the other.
    """
    colour = channels == 3
    every = [(c, u, v) for c in range(channels) for u in range(size) for v in range(size)]

    def importance(one: tuple[int, int, int]) -> tuple[float, ...]:
        channel, down, across = one
        frequency = 1 + down**2 + across**2
        if colour:
            return (frequency * (CHROMA if channel else 1), down, channel)
        return (channel, frequency, down)

    return tuple(sorted(every, key=importance))


class LappedTransform(nn.Module):
    """A lapped cosine transform of images and its inverse, with weights that learn.

    Images continue beyond their edges as in a mirror, so that the start is exact there too.

    Args:
        channels: channels of the images; three are turned into brightness and colours first.
        size: pixels of a block along each axis, a power of two from 2.
        kept: coefficients kept of each block, the most important first; see `frequency_order`.
        owner: the component that an error message names.

    Raises:
        OptionError: `kept` is more than there are.
    """

    def __init__(self, channels: int, size: int, kept: int, owner: str) -> None:
        super().__init__()
        if kept > channels * size**2:
            raise OptionError(
                f"{owner}: expected at most the {channels * size**2} coefficients of a block, got "
                f"{kept}; make it narrower"
            )
        self.channels, self.size = channels, size
        order = frequency_order(channels, size)[:kept]
        basis = lapped_cosine(size)
        mixed = brightness_and_colour() if channels == 3 else torch.eye(channels).double()
        functions = [mixed[c][:, None, None] * torch.outer(basis[u], basis[v]) for c, u, v in order]
        self.weight = nn.Parameter(torch.stack(functions).float())
        signs = [[(-1.0) ** u for _, u, _ in order], [(-1.0) ** v for *_, v in order]]
        self.register_buffer("parity", torch.tensor(signs)[..., None, None], persistent=False)

    parity: Tensor

    def analyse(self, x: Tensor) -> Tensor:
        """Coefficients (B, kept, h, w) of images (B, channels, h size, w size)."""
        half = self.size // 2
        for axis in (2, 3):
            first, last = x.narrow(axis, 0, half), x.narrow(axis, x.shape[axis] - half, half)
            x = torch.cat([first.flip(axis), x, last.flip(axis)], axis)
        return conv2d(x, self.weight, stride=self.size)

    def synthesize(self, z: Tensor) -> Tensor:
        """Images (B, channels, h size, w size) of coefficients (B, kept, h, w)."""
        for axis in (2, 3):
            sign = self.parity[axis - 2]
            first, last = z.narrow(axis, 0, 1), z.narrow(axis, z.shape[axis] - 1, 1)
            z = torch.cat([sign * first, z, sign * last], axis)
        cut = self.size + self.size // 2
        return conv_transpose2d(z, self.weight, stride=self.size, padding=cut)


class CorrectionBlock(nn.Sequential):
    """A residual block, x + conv1x1(s(conv3x3(s(conv3x3(x))))), that starts as the identity.

    Args:
        channels: channels in and out.
        hidden: channels between the convolutions.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        last = nn.Conv2d(hidden, channels, 1)
        super().__init__(
            nn.Conv2d(channels, hidden, 3, padding=1),
            nn.Conv2d(hidden, hidden, 3, padding=1),
            last,
        )
        nn.init.zeros_(last.weight)
        assert last.bias is not None
        nn.init.zeros_(last.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Correct x (B, channels, h, w)."""
        first, second, last = self
        corrected: Tensor = last(leaky_relu(second(leaky_relu(first(x), 0.1)), 0.1))
        return x + corrected


class Correction(nn.Module):
    """Residual blocks on coefficients that start without effect: x + c(conv(s(conv(x / c)))).

    c are the usual sizes of the coefficients, which learn; s is a leaky rectifier.

    Args:
        channels: coefficients.
        hidden: channels between the convolutions.
        layers: number of blocks.
        scales: c at the start, (channels,).
    """

    def __init__(self, channels: int, hidden: int, layers: int, scales: Tensor) -> None:
        super().__init__()
        self.scale = nn.Parameter(scales.log()[:, None, None].clone())
        self.blocks = nn.ModuleList(CorrectionBlock(channels, hidden) for _ in range(layers))

    @property
    def context(self) -> int:
        """Positions on each side that a position depends on."""
        return 2 * len(self.blocks)

    def forward(self, x: Tensor) -> Tensor:
        """Correct coefficients x (B, channels, h, w)."""
        if not self.blocks:
            return x
        scale = self.scale.exp()
        y = x / scale
        for block in self.blocks:
            y = block(y)
        return y * scale


def _scales(channels: int, size: int, kept: int) -> Tensor:
    """Usual sizes of the coefficients of photographs in [0, 1]: they fall with the frequency."""
    order = frequency_order(channels, size)[:kept]
    falls = [1 / (1 + u**2 + v**2) / (3 if channels == 3 and c else 1) for c, u, v in order]
    return torch.tensor(falls) * size / 4


@component("encoder", "lapped")
class LappedEncoder(Encoder):
    """A lapped cosine transform in brightness and colour differences, whose weights learn.

    ::

        image --[colour, 2s x 2s / s]--> coefficients --> corrections --> z

    It starts as the orthonormal transform: z are the `dim` most important coefficients of each
    block, and its squared error is that of the image. The corrections are residual blocks at the
    stride of the codes, which start without effect.

    Args:
        in_channels: channels of the images; three are colour.
        dim: width of the vectors, at most ``in_channels * downsample^2``.
        downsample: pixels per code along each axis: 2, 4, 8, ...
        layers: residual blocks.
        hidden: channels inside a block.

    Shape:
        (B, in_channels, H, W) -> (B, dim, H / downsample, W / downsample); H and W are multiples
        of `downsample`.

    Raises:
        OptionError: `downsample` is no power of two from 2, or `dim` is too large.

    Example:
        >>> import torch
        >>> LappedEncoder(3, 24, downsample=8)(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 24, 4, 4])

    Source: Malvar & Staelin 1989, "The LOT: transform coding without blocking effects".
    """

    def __init__(
        self,
        in_channels: Annotated[int, Ge(1)],
        dim: Annotated[int, Ge(1)],
        *,
        downsample: Annotated[int, Ge(2)] = 8,
        layers: Annotated[int, Ge(0)] = 0,
        hidden: Annotated[int, Ge(1)] = 64,
    ) -> None:
        super().__init__()
        halvings(downsample, "encoder lapped")
        self.in_channels, self.dim, self.stride = in_channels, dim, downsample
        self.transform = LappedTransform(in_channels, downsample, dim, "encoder lapped.dim")
        scales = _scales(in_channels, downsample, dim)
        self.correction = Correction(dim, hidden, layers, scales)

    @property
    def context(self) -> int:
        """Grid positions on each side that a vector depends on."""
        return 1 + self.correction.context

    def forward(self, x: Tensor) -> Tensor:
        """Encode images x (B, in_channels, H, W) into (B, dim, H / stride, W / stride)."""
        z: Tensor = self.correction(self.transform.analyse(x))
        return z


@component("decoder", "lapped")
class LappedDecoder(Decoder):
    """The encoder's mirror: corrections of coefficients, then the inverse lapped transform.

    ::

        values (+ added) --> corrections --> coefficients --[2s x 2s * s, colour]--> image

    Args:
        dim: width of the input vectors.
        out_channels: channels of the image; three are colour.
        downsample: pixels per code along each axis, the encoder's: 2, 4, 8, ...
        layers: residual blocks.
        hidden: channels inside a block.
        added: this many last channels of the input are added to the first ones, and the corrections
            see them: what a coarser level decoded.

    Shape:
        (B, dim, h, w) -> (B, out_channels, h downsample, w downsample).

    Raises:
        OptionError: `downsample` is no power of two from 2, or `dim` or `added` is too large.

    Example:
        >>> import torch
        >>> LappedDecoder(24, 3, downsample=8)(torch.zeros(2, 24, 4, 4)).shape
        torch.Size([2, 3, 32, 32])

    Source: as `LappedEncoder`.
    """

    def __init__(
        self,
        dim: Annotated[int, Ge(1)],
        out_channels: Annotated[int, Ge(1)],
        *,
        downsample: Annotated[int, Ge(2)] = 8,
        layers: Annotated[int, Ge(0)] = 0,
        hidden: Annotated[int, Ge(1)] = 64,
        added: Annotated[int, Ge(0)] = 0,
    ) -> None:
        super().__init__()
        halvings(downsample, "decoder lapped")
        self.dim, self.out_channels, self.stride = dim, out_channels, downsample
        self.added, kept = added, dim - added
        if added > kept:
            raise OptionError(
                f"decoder lapped.added: expected at most half of the {dim} channels, got {added}; "
                "it is the channels of the coarser level's decoder"
            )
        self.transform = LappedTransform(out_channels, downsample, kept, "decoder lapped.dim")
        scales = _scales(out_channels, downsample, kept)
        self.correction = Correction(kept, hidden, layers, scales)

    @property
    def context(self) -> int:
        """Positions on each side that the pixels of a position need."""
        return 1 + self.correction.context

    def forward(self, z: Tensor) -> Tensor:
        """Decode vectors z (B, dim, h, w) into (B, out_channels, h stride, w stride)."""
        if self.added:
            z, more = z[:, : -self.added], z[:, -self.added :]
            z = torch.cat([z[:, : self.added] + more, z[:, self.added :]], 1)
        return self.transform.synthesize(self.correction(z))
