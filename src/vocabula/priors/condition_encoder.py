"""Conditions as vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import elu

from vocabula.errors import CodeError
from vocabula.priors.coarser import coarser, phase, phases_of, step_between, wanted
from vocabula.priors.codes import CodeGrid
from vocabula.priors.condition import Conditioning
from vocabula.priors.embedding import CodeEmbedding
from vocabula.priors.grids import LAYERS, SPREADING_LAYERS
from vocabula.signals.attributes import CLASS
from vocabula.signals.condition import Condition

WAVES = 6
"""Wavelengths of times."""


class ConditionEncoder(nn.Module):
    """A condition as vectors to be added at every layer.

    ::

        each attribute (B,) --> embedding --------------------------------+
        text (B, T)         --> embedding, one attention layer, mean -----+--> sum
        vectors (B, D)      --> linear layer -----------------------------+
        upper (B, *u)       --> embedding, convolutions, transposed one --+
        timing (B, 2)       --> position, total and their ratio, linear --+

    "Not given" has its own embedding: an extra value, a text of only padding, a learned vector.

    Args:
        conditioning: the possible conditions.
        grid: positions of the codes along each axis, in training.
        width: width of the vectors C.

    Shape:
        (B, *grid, C) with coarser codes or times, else (B, 1, ..., 1, C).
    """

    def __init__(self, conditioning: Conditioning, grid: Sequence[int], width: int) -> None:
        super().__init__()
        self.labels = self.text = None
        if conditioning.classes:
            self.labels = nn.Embedding(conditioning.classes + 1, width)
        if conditioning.text_tokens:
            self.text = TextEncoder(conditioning.text_tokens, conditioning.text_length, width)
        self.upper = nn.ModuleList(UpperEncoder(codes, grid, width) for codes in conditioning.upper)
        # "of_" keeps the names apart from those of the module's own attributes, such as "type"
        self.attributes = nn.ModuleDict(
            {
                f"of_{name}": nn.Embedding(size + 1, width)
                for name, size in conditioning.values.items()
                if name != CLASS
            }
        )
        self.vectors = VectorEncoder(conditioning.vectors, width) if conditioning.vectors else None
        self.times = TimeEncoder(conditioning.timing, width) if conditioning.timing else None

    def forward(self, condition: Condition, grid: Sequence[int]) -> Tensor:
        """Encode a complete condition for a grid of positions."""
        parts = []
        for name, values in condition.attributes.items():
            table: Any = self.labels if name == CLASS else self.attributes[f"of_{name}"]
            # the last row is "not given", which is written as -1
            parts.append(self._everywhere(table(values % table.num_embeddings), grid))
        if self.text is not None and condition.text is not None:
            parts.append(self._everywhere(self.text(condition.text), grid))
        if self.vectors is not None and condition.vectors is not None:
            parts.append(self._everywhere(self.vectors(condition.vectors), grid))
        for encoder, codes in zip(self.upper, condition.upper, strict=True):
            parts.append(encoder(codes, grid))
        if self.times is not None and condition.timing is not None:
            parts.append(self.times(condition.timing, grid[0]))
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total

    @staticmethod
    def _everywhere(vectors: Tensor, grid: Sequence[int]) -> Tensor:
        return vectors.reshape(len(vectors), *(1 for _ in grid), -1)


class TextEncoder(nn.Module):
    """A caption as one vector: token and place embeddings, one attention layer, the mean.

    Padding is a token like the others, as in DALL-E, so that "no text" is also a text.

    Args:
        tokens: size of the vocabulary.
        length: tokens T of every caption.
        width: width of the vector C.

    Shape:
        (B, T) -> (B, C).
    """

    def __init__(self, tokens: int, length: int, width: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(tokens, width)
        self.places = nn.Parameter(torch.randn(length, width))
        heads = next(heads for heads in (4, 2, 1) if width % heads == 0)
        self.mix = nn.TransformerEncoderLayer(
            width, heads, 2 * width, dropout=0.0, batch_first=True, norm_first=True
        )

    def forward(self, text: Tensor) -> Tensor:
        """Encode tokens (B, T)."""
        mixed: Tensor = self.mix(self.tokens(text) + self.places)
        return mixed.mean(1)


class VectorEncoder(nn.Module):
    """A vector of another width: ``W v + b``, or a learned vector where none is given.

    Args:
        dim: width of the given vectors D.
        width: width of the results C.

    Shape:
        (B, D) -> (B, C).
    """

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(dim, width)
        self.nothing = nn.Parameter(torch.randn(width))

    def forward(self, vectors: Tensor) -> Tensor:
        """Encode vectors (B, D); a row with NaN is none."""
        missing = vectors.isnan().any(1, keepdim=True)
        known = vectors.masked_fill(missing, 0).to(self.nothing)
        return torch.where(missing, self.nothing, self.project(known))


class TimeEncoder(nn.Module):
    """Where each position is in the whole signal, as vectors.

    Position p and total n enter as p / N, n / N and p / n, each as sines and cosines of `WAVES`
    wavelengths from 2 downwards by factors of 2; N is the longest signal of the training data.

    Args:
        longest: N.
        width: width of the vectors C.

    Shape:
        (B, 2) start and total -> (B, n, C).
    """

    def __init__(self, longest: int, width: int) -> None:
        super().__init__()
        self.longest = longest
        self.project = nn.Linear(6 * WAVES, width)

    def forward(self, timing: Tensor, count: int) -> Tensor:
        """Encode start and total (B, 2) of codes of `count` positions."""
        start, total = timing.to(self.project.weight.dtype)[..., None].unbind(1)
        place = start + torch.arange(count, device=timing.device)
        parts = [place / self.longest, (total / self.longest).expand_as(place), place / total]
        waves = torch.pi * 2 ** torch.arange(WAVES, device=timing.device)
        angles = (torch.stack(parts, -1)[..., None] * waves).flatten(-2)
        vectors: Tensor = self.project(torch.cat([angles.sin(), angles.cos()], -1))
        return vectors


class UpperEncoder(nn.Module):
    """Coarser codes as a map of vectors on the finer grid.

    It ends with a transposed convolution of stride f = ceil(fine / coarse) along each axis: each of
    the f x f fine positions of a coarse code gets its own vector and so knows its place. Where the
    fine grid is no grid of such cells, each fine position takes the vector of its own coarse code;
    see `step_between`.

    Args:
        codes: what the coarser codes look like.
        grid: positions of the finer codes along each axis, in training.
        width: width of the vectors C.
        layers: residual 3 x 3 convolutions at the coarser resolution.

    Shape:
        (B, *coarse grid, *code_shape) -> (B, *grid, C).

    Source: Razavi et al. 2019, "Generating Diverse High-Fidelity Images with VQ-VAE-2", the
    bottom prior's conditioning stack.
    """

    def __init__(
        self, codes: CodeGrid, grid: Sequence[int], width: int, *, layers: int = 2
    ) -> None:
        super().__init__()
        self.codes = codes
        self.embed = CodeEmbedding(codes, width)
        axes = len(codes.grid)
        self.layers = nn.ModuleList(
            LAYERS[axes - 1](width, width, 3, padding=1) for _ in range(layers)
        )
        self.steps = [step_between(n, size) for n, size in zip(grid, codes.grid, strict=True)]
        self.factors = tuple(map(phases_of, self.steps))
        self.spread = SPREADING_LAYERS[axes - 1](width, width, self.factors, stride=self.factors)

    def forward(self, codes: Tensor, grid: Sequence[int]) -> Tensor:
        """Encode codes (B, *coarse grid, *code_shape) for a grid of positions.

        Raises:
            CodeError: there are too few codes for the grid.
        """
        coarse = codes.shape[1 : 1 + len(grid)]
        needed = tuple(wanted(size, step) for size, step in zip(grid, self.steps, strict=True))
        if any(have < need for have, need in zip(coarse, needed, strict=True)):
            raise CodeError(
                f"condition.upper: expected {needed} coarser codes for a grid of {tuple(grid)}, "
                f"got {tuple(coarse)}; give all levels of the same signals"
            )
        codes, inside = self.codes.filled(codes)
        x = self.embed(self.codes.split(codes)).movedim(-1, 1)
        if inside is not None:  # after its end a signal is followed by zeros, as when it is alone
            x = x * inside[:, None]
        for layer in self.layers:
            x = x + layer(elu(x))
            x = x if inside is None else x * inside[:, None]
        x = self.spread(x).movedim(1, -1)
        for axis, (size, step) in enumerate(zip(grid, self.steps, strict=True)):
            if step.denominator == 1:
                x = x.narrow(1 + axis, 0, size)
                continue
            place = torch.arange(size, device=x.device)
            x = x.index_select(
                1 + axis, coarser(place, step) * phases_of(step) + phase(place, step)
            )
        return x
