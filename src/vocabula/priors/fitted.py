"""A tokenizer and the priors of all its levels, which fit one another."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Self

import torch
from torch import Tensor

from vocabula.errors import OptionError, picture_size
from vocabula.priors.condition import Conditioning
from vocabula.priors.durations import Durations
from vocabula.priors.fit import check_fit, trained_extent
from vocabula.priors.prior import Prior, Values
from vocabula.priors.windows import overlap_of
from vocabula.signals import Condition
from vocabula.signals.codes import positions_of
from vocabula.tokenizers import SignalTokenizer

Attributes = Mapping[str, Values]
"""An index or a name, or one for every sample, of each attribute by name."""
Texts = str | Sequence[str]
"""A caption, or one for every sample."""


class FittedPriors:
    """What a tokenizer and its priors know of the signals that they draw.

    Args:
        tokenizer: the tokenizer of the codes; it is put into evaluation mode.
        priors: the prior of each level, the coarsest first, each conditioned on the codes of all
            coarser levels; they are put into evaluation mode.

    Raises:
        OptionError: priors and tokenizer do not fit one another.
    """

    def __init__(self, tokenizer: SignalTokenizer, priors: Sequence[Prior]) -> None:
        check_fit(tokenizer, priors)
        self.tokenizer = tokenizer.eval()
        self.priors = tuple(prior.eval() for prior in priors)

    @property
    def device(self) -> torch.device:
        """The device of the priors' parameters."""
        return self.priors[0].device

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in order; empty if they have none."""
        return self.priors[0].origin.class_names

    def names_of(self, attribute: str) -> tuple[str, ...]:
        """Names of an attribute's values, in order; empty if they have none."""
        return self.priors[0].origin.names.get(attribute, ())

    def value_name(self, attribute: str, index: int) -> str:
        """What a value of an attribute is called; its index where it has no name."""
        names = self.names_of(attribute)
        return names[index] if index < len(names) else str(index)

    @property
    def conditioning(self) -> Conditioning:
        """What samples can be conditioned on."""
        return self.priors[0].conditioning

    @property
    def extent(self) -> tuple[int, ...]:
        """The size along each axis of the signals that the priors were trained on."""
        return trained_extent(self.tokenizer, self.priors[0])

    @property
    def image_size(self) -> tuple[int, int]:
        """The `extent` of images: (H, W) in pixels."""
        height, width = self.extent
        return height, width

    def to(self, device: torch.device | str) -> Self:
        """Move the tokenizer and the priors to a device."""
        for part in (self.tokenizer, *self.priors):
            part.to(device)
        return self

    @property
    def durations(self) -> Durations | None:
        """How long the training signals of one axis are; None where all are equal."""
        return self.priors[0].origin.durations

    def grids(self, size: Sequence[int]) -> tuple[tuple[int, ...], ...]:
        """The positions of each level's prior for a signal of a size."""
        return tuple(map(positions_of, self.tokenizer.grids(*size)))

    def positions(self, size: Sequence[int]) -> int:
        """Code positions of one signal of a size, over all levels."""
        return sum(map(math.prod, self.grids(size)))

    def check_size(self, size: Sequence[int], overlap: float | None = None) -> int | None:
        """Refuse a size, along each axis, whose codes a prior cannot compute.

        Args:
            size: along each axis.
            overlap: the share of its context that windows of a longer signal of one axis have in
                common; None allows no windows.

        Returns:
            The positions that windows have in common, or None where no window is needed.

        Raises:
            OptionError: it has another number of axes, a side is below 1, or a prior cannot
                compute the grid.
        """
        signal, size = self.tokenizer.signal, tuple(size)
        if size and not signal.axes:
            raise OptionError(
                f"size: expected none, as {signal.plural} have no axes, got "
                f"{picture_size(*size)}; leave it out"
            )
        if len(size) != len(signal.axes) or min(size, default=1) < 1:
            wanted = " x ".join(axis[0].upper() for axis in signal.axes)
            every = "both" if len(signal.axes) == 2 else "all"
            raise OptionError(f"size: expected {wanted}, {every} >= 1, got {size}; leave it out")
        shared = None
        if overlap is not None and len(size) == 1:
            shared = overlap_of(self.priors[0], overlap)
        for prior, grid in zip(self.priors, self.grids(size), strict=True):
            try:
                windowed = shared is not None and not prior.conditioning.upper
                prior.check_grid((min(*grid, *prior.codes.grid),) if windowed else grid)
            except OptionError as error:
                raise self._refused(size, prior, error) from None
        return shared

    def _refused(self, size: tuple[int, ...], prior: Prior, error: OptionError) -> OptionError:
        """The error of a size whose codes a prior cannot compute."""
        signal, trained = self.tokenizer.signal, picture_size(*self.extent)
        if len(size) != 1:
            return OptionError(
                f"size: expected {trained} {signal.unit}s, got {picture_size(*size)}, whose "
                f"codes this {type(prior).__name__} cannot compute "
                f"({str(error).partition(';')[0]}); use {trained}, or train a "
                "pixelcnn or pixelsnail, which take any size"
            )
        most, got = (f"{signal.units(each):.6g}" for each in (self.extent, size))
        return OptionError(
            f"size: expected at most {most} {signal.unit}s, the context of this "
            f"{type(prior).__name__}, got {got}; give an overlap of windows (--overlap 0.5), or "
            "train a pixelcnn or pixelsnail, which take any size"
        )

    def conditions(
        self,
        n: int,
        *,
        attributes: Attributes | None = None,
        text: Texts | None = None,
        vectors: Tensor | None = None,
    ) -> Condition:
        """The condition of n samples, from words and vectors; see `Prior.condition`.

        Args:
            n: number of samples.
            attributes: the value of each, or n of them; see `Generator.stream`.
            text: the caption; or n of them.
            vectors: (D,) or (n, D) floating point; a row of NaN for none.

        Raises:
            DataError: an attribute, a value, a text or vectors are unknown to the priors.
            OptionError: none is given, and the priors never learned to work without.
        """
        known, words = self.conditioning, bool(attributes) or text is not None
        if known.withholdable and not (known.dropout or words or vectors is not None):
            raise OptionError(
                "condition: expected a class or a text, got none; this prior was trained with "
                "conditioning.dropout=0 and cannot do without"
            )
        condition = self.priors[0].condition(n, attributes=attributes, text=text)
        if vectors is None:
            return condition
        condition = replace(
            condition, vectors=vectors.expand(n, -1) if vectors.ndim == 1 else vectors
        )
        known.complete(condition, n, self.device)  # refuses vectors that do not fit
        return condition
