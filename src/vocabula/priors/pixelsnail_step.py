"""PixelSNAIL position by position: the same arithmetic, with earlier results cached."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import elu, glu, layer_norm, linear, scaled_dot_product_attention

from vocabula.priors.pixelsnail_layers import CausalAttention, GatedResidual
from vocabula.priors.raster import CausalConvolution, places
from vocabula.priors.ring import Ring, RingConvolution


class ResidualStep:
    """A `GatedResidual` at one position.

    Args:
        layer: the module.
        ring: of its convolutions.
        batch: number of signals B.
    """

    def __init__(self, layer: GatedResidual, ring: Ring, batch: int) -> None:
        self._layer = layer
        self._first = RingConvolution(layer.first, ring, batch)
        self._second = RingConvolution(layer.second, ring, batch)

    def run(self, place: int, x: Tensor, condition: Tensor | None) -> Tensor:
        """Transform x (B, C), of the position number `place`."""
        norm, known = self._layer.norm, self._layer.condition
        inner = self._first(place, elu(_normed(x, norm)))
        if known is not None and condition is not None:
            inner = torch.addmm(inner, condition, known.weight.T)
        return x + glu(self._second(place, elu(inner)), -1)


class AttentionStep:
    """A `CausalAttention` at one position; keys and values are kept.

    The places' terms in query, key and value are the same for all signals and computed once.

    Args:
        layer: the module.
        batch: number of signals B.
        where: (n, F) where the positions are.
    """

    def __init__(self, layer: CausalAttention, batch: int, where: Tensor) -> None:
        self._layer = layer
        width = layer.project.in_features
        self._query, self._query_places = _located(layer.query, where)
        self._key_value, self._key_value_places = _located(layer.key_value, where)
        room = (batch, len(where), 2, layer.heads, width // layer.heads)
        self._kept = where.new_zeros(room)
        self._before = where.new_zeros(batch, width)

    def run(self, place: int, x: Tensor, code_before: Tensor) -> Tensor:
        """Transform x (B, C), of the position number `place`, given the code (B, C) before it."""
        normed = _normed(x, self._layer.norm)
        query = torch.addmm(self._query_places[place], normed, self._query)
        earlier = torch.cat([self._before, code_before], -1)
        self._before = normed
        fresh = torch.addmm(self._key_value_places[place], earlier, self._key_value)
        self._kept[:, place] = fresh.view(len(x), *self._kept.shape[2:])
        keys, values = self._kept[:, : place + 1].permute(2, 0, 3, 1, 4)
        heads = query.view(len(x), self._layer.heads, 1, -1)
        attended = scaled_dot_product_attention(heads, keys, values).flatten(1)
        project = self._layer.project
        return x + linear(attended, project.weight, project.bias)


class Step:
    """The whole network at one position.

    Args:
        start: the first layer.
        blocks: gated residuals and the following attention of each block.
        norm: the last layer.
        batch: number of signals B.
        grid: positions along each axis.
    """

    def __init__(
        self,
        start: CausalConvolution,
        blocks: Iterable[tuple[nn.Module, nn.Module]],
        norm: nn.LayerNorm,
        batch: int,
        grid: Sequence[int],
    ) -> None:
        weight = start.weight
        ring, where = Ring(start, grid), places(grid, weight)
        self._norm = norm
        self._start = RingConvolution(start, ring, batch)
        self._nothing = weight.new_zeros(batch, weight.shape[-1])
        self._blocks = [
            (
                [ResidualStep(layer, ring, batch) for layer in residuals.children()],  # type: ignore[arg-type]
                AttentionStep(attention, batch, where),  # type: ignore[arg-type]
            )
            for residuals, attention in blocks
        ]
        self._place = -1

    def run(self, before: Tensor | None, condition: Tensor | None) -> Tensor:
        """Features (B, C) of the next position.

        Args:
            before: the embedded code (B, C) of the position before, None at the first.
            condition: (B, C) of this position, or None.
        """
        self._place += 1
        code = self._nothing if before is None else before
        x = self._start(self._place, code)
        for residuals, attention in self._blocks:
            for residual in residuals:
                x = residual.run(self._place, x, condition)
            x = attention.run(self._place, x, code)
        return _normed(x, self._norm)


def _normed(x: Tensor, norm: torch.nn.LayerNorm) -> Tensor:
    return layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps)


def _located(layer: torch.nn.Linear, where: Tensor) -> tuple[Tensor, Tensor]:
    """The weight (in, out) of all other inputs, and the places' terms (n, out)."""
    own, of_places = layer.weight.split([layer.in_features - where.shape[1], where.shape[1]], 1)
    return own.T, linear(where, of_places, layer.bias)
