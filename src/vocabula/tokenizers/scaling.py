"""Scaling of real values: what the networks see is (x - shift) / scale of each channel."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Annotated

import torch
from annotated_types import Gt, Lt
from torch import Tensor, nn

from vocabula.errors import DataError
from vocabula.registry import component

MOST_ROWS = 2**17
"""Elements, spread over the data, that quantiles are taken of."""


class Scaling(nn.Module, ABC):
    """An affine map of each channel, learned once from data and saved with the tokenizer.

    A channel that is constant keeps its scale, 1: it never divides by zero.

    Args:
        channels: channels of the signals.

    Attributes:
        shift: (channels,) float32.
        scale: (channels,) float32, above 0.
    """

    component_kind = "scaling"
    shift: Tensor
    scale: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("shift", torch.zeros(channels))
        self.register_buffer("scale", torch.ones(channels))

    @abstractmethod
    def learned(self, batches: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
        """Shift and scale, each (channels,) float64, of elements (n, channels) in batches."""

    @torch.no_grad()
    def fit(self, batches: Iterable[Tensor]) -> None:
        """Learn shift and scale from signals (B, channels, *extent), in batches.

        Raises:
            DataError: there is no element.
        """
        channels = self.shift.numel()
        rows = (x.detach().movedim(1, -1).reshape(-1, channels) for x in batches)
        shift, scale = self.learned(rows)
        constant = ~(scale > torch.finfo(torch.float32).tiny)
        self.shift.copy_(shift)
        self.scale.copy_(scale.masked_fill(constant, 1.0))

    def forward(self, x: Tensor) -> Tensor:
        """(x - shift) / scale of signals (B, channels, *extent)."""
        return (x - _along(self.shift, x)).div_(_along(self.scale, x))

    def inverse(self, y: Tensor) -> Tensor:
        """Signals of what the networks give: y scale + shift."""
        return (y * _along(self.scale, y)).add_(_along(self.shift, y))

    def log_scale(self) -> Tensor:
        """Sum over channels of ln(scale), (): what a log density in nats loses by scaling."""
        return self.scale.double().log().sum()


@component("scaling", "none")
class NoScaling(Scaling):
    """The values as they are.

    Args:
        channels: channels of the signals.
    """

    def fit(self, batches: Iterable[Tensor]) -> None:
        """Learn nothing."""

    def learned(self, batches: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
        """What changes nothing."""
        return self.shift, self.scale

    def forward(self, x: Tensor) -> Tensor:
        """Return x."""
        return x

    def inverse(self, y: Tensor) -> Tensor:
        """Return y."""
        return y


@component("scaling", "standard")
class StandardScaling(Scaling):
    """Mean 0 and standard deviation 1 in each channel.

    Args:
        channels: channels of the signals.

    Example:
        >>> scaling = StandardScaling(1)
        >>> scaling.fit([torch.tensor([[1.0], [3.0]])])
        >>> scaling(torch.tensor([[3.0]])), scaling.inverse(torch.tensor([[1.0]]))
        (tensor([[1.]]), tensor([[3.]]))
    """

    def learned(self, batches: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation (population), merged batch by batch without cancellation.

        Source: Chan, Golub and LeVeque 1983, "Algorithms for computing the sample variance".
        """
        count, mean, square = 0, torch.zeros(()).double(), torch.zeros(()).double()
        for batch in batches:
            x = batch.double().cpu()
            if not len(x):
                continue
            own = x.mean(0)
            total = count + len(x)
            square = square + (x - own).square().sum(0)
            square = square + (own - mean).square() * (count * len(x) / total)
            mean = mean + (own - mean) * (len(x) / total)
            count = total
        _require(count)
        return mean, (square / count).sqrt()


@component("scaling", "quantile")
class QuantileScaling(Scaling):
    """The `tail` and 1 - `tail` quantiles of each channel become -1 and 1; outliers lie beyond.

    Args:
        channels: channels of the signals.
        tail: fraction of the values below -1, and above 1.

    Source: Pertsch et al. 2025, "FAST: Efficient Action Tokenization for Vision-Language-Action
    Models" (1st and 99th percentile).
    """

    def __init__(self, channels: int, *, tail: Annotated[float, Gt(0), Lt(0.5)] = 0.01) -> None:
        super().__init__(channels)
        self.tail = tail

    def learned(self, batches: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
        """Middle and half the distance of the quantiles, of at most `MOST_ROWS` elements.

        Of more data, every n-th element is taken, n a power of 2.
        """
        kept: list[Tensor] = []
        seen, step, held = 0, 1, 0
        for batch in batches:
            first = -seen % step
            kept.append(batch[first::step].double().cpu())
            held += len(kept[-1])
            seen += len(batch)
            while held > MOST_ROWS:
                whole = torch.cat(kept)[::2]
                kept, step, held = [whole], 2 * step, len(whole)
        _require(held)
        ends = torch.tensor([self.tail, 1 - self.tail]).double()
        low, high = torch.quantile(torch.cat(kept), ends, dim=0)
        return (low + high) / 2, (high - low) / 2


def _along(of_channels: Tensor, x: Tensor) -> Tensor:
    """Values of each channel in the shape and type that broadcasts over x (B, C, *extent)."""
    return of_channels.to(x.dtype).reshape(-1, *(1,) * (x.ndim - 2))


def _require(count: int) -> None:
    if not count:
        raise DataError("scaling: expected values to learn from, got none; check the data")
