"""A tokenizer and the priors of all its levels, which together draw and complete signals."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from vocabula.budgets import DECODED_PIXELS
from vocabula.errors import DataError, plural
from vocabula.priors.completion import check_completes, check_keep, known_beginning, known_codes
from vocabula.priors.drawing import Drawing
from vocabula.priors.durations import Durations
from vocabula.priors.fitted import Attributes, FittedPriors, Texts
from vocabula.priors.order import Order, Samples, after, at_least, join, level_numbers, new_seed
from vocabula.priors.sampling import Progress, uniform_numbers
from vocabula.priors.windows import draw
from vocabula.signals import Condition
from vocabula.signals.codes import OUTSIDE, off_positions, on_positions
from vocabula.tokenizers.code_level import rows_of


class Generator(FittedPriors):
    """Draws signals: codes level by level from the priors, then the tokenizer's decoder.

    ::

        condition --> prior 1 --> codes 1 --+--> prior 2 --> codes 2 --+--> ... --> decoder --> x
                         ^                  |       ^                  |
                         +------------------)-------+------------------)--> condition of every level

    Sample i depends only on the seed and i, not on the batch size or earlier samples. (Other batch
    sizes may change the last bit of the arithmetic, and so a draw within rounding of it.)

    Args:
        tokenizer: the tokenizer of the codes; it is put into evaluation mode.
        priors: the prior of each level, the coarsest first, each conditioned on the codes of all
            coarser levels; they are put into evaluation mode.

    Attributes:
        tokenizer: the tokenizer.
        priors: the priors, the coarsest level's first.

    Raises:
        OptionError: priors and tokenizer do not fit one another.

    Example:
        >>> from vocabula.priors import load_generator
        >>> load_generator("runs/prior").sample(4, seed=0).images.shape[:2]
        torch.Size([4, 3])

    Source: Razavi et al. 2019, "Generating Diverse High-Fidelity Images with VQ-VAE-2", section
    3.2: ancestral sampling from the top level down.
    """

    def sample(
        self,
        n: int,
        *,
        attributes: Attributes | None = None,
        text: Texts | None = None,
        vectors: Tensor | None = None,
        size: Sequence[int] | None = None,
        overlap: float | None = None,
        drawing: Drawing = Drawing(),  # noqa: B008 - frozen
        seed: int | None = None,
        start: int = 0,
        batch_size: int = 64,
        progress: Progress | None = None,
    ) -> Samples:
        """Draw n signals; see `stream`."""
        return join(
            self.stream(
                n,
                attributes=attributes,
                text=text,
                vectors=vectors,
                size=size,
                overlap=overlap,
                drawing=drawing,
                seed=seed,
                start=start,
                batch_size=batch_size,
                progress=progress,
            )
        )

    def stream(
        self,
        n: int,
        *,
        attributes: Attributes | None = None,
        text: Texts | None = None,
        vectors: Tensor | None = None,
        size: Sequence[int] | None = None,
        overlap: float | None = None,
        drawing: Drawing = Drawing(),  # noqa: B008 - frozen
        seed: int | None = None,
        start: int = 0,
        batch_size: int = 64,
        progress: Progress | None = None,
    ) -> Iterator[Samples]:
        """Draw n signals, batch by batch; everything is checked before the first.

        Args:
            n: number of signals, >= 1.
            attributes: the value of each by index or name, or n of them, such as
                ``{"class": "cat"}``. What is not named is drawn from all.
            text: the caption; or n of them.
            vectors: (D,) for all or (n, D), for priors that were trained on vectors; a row of NaN
                for none.
            size: along each axis, such as (H, W) in pixels; None takes `extent`, or draws how long
                each signal is where those of the training data differ (see `Durations`), at most
                `extent` without windows.
            overlap: signals of one axis may be longer than the context of a prior: they are drawn
                in windows that begin with this share of the context, in (0, 1), from the window
                before. None: a longer one is refused.
            drawing: temperature, top_k, top_p and guidance for every level.
            seed: of the draws; None takes one from torch's own state.
            start: number of the first sample; the others follow. With the same seed,
                ``start=20`` goes on where a call with ``n=20`` ended.
            batch_size: most signals at once.
            progress: called after every position with (positions done, in all), batches and
                levels counted together.

        Raises:
            OptionError: an option is out of range, or a prior cannot compute such a size.
            DataError: an attribute, a value, a text or vectors are unknown to the priors.
        """
        at_least({"n": (n, 1), "start": (start, 0), "batch_size": (batch_size, 1)})
        lengths = None
        if size is None and self.durations is not None:
            lengths, size = self.durations, self.extent
            if overlap is not None:
                size = (lengths.longest * self.tokenizer.strides[0],)
        size = self.extent if size is None else tuple(size)
        shared = self.check_size(size, overlap)
        condition = self.conditions(n, attributes=attributes, text=text, vectors=vectors)
        self._check(drawing, condition, n)
        order = Order(n, start, condition, size, drawing, new_seed(seed), batch_size, progress)
        if lengths is not None:
            order = self._with_lengths(order, lengths)
        return self._stream(replace(order, overlap=shared))

    def complete(
        self,
        images: Tensor,
        keep: Tensor,
        *,
        copies: int = 1,
        attributes: Attributes | None = None,
        text: Texts | None = None,
        vectors: Tensor | None = None,
        drawing: Drawing = Drawing(),  # noqa: B008 - frozen
        seed: int | None = None,
        batch_size: int = 64,
        progress: Progress | None = None,
    ) -> Iterator[Samples]:
        """Keep a part of images and draw the rest, batch by batch; see `known_codes`.

        A code whose pixels are all kept is taken from the image; the others are drawn in raster
        order, each given all codes before it, kept or drawn. A kept code does not influence draws
        before it: completion is exact if the kept codes come first, such as the upper part of an
        image with one level of codes.

        Args:
            images: (B, C, H, W), uint8 or in [0, 1].
            keep: booleans (H, W) or (B, H, W), true where a pixel is kept. Pixels that are not kept
                have no influence.
            copies: completions of each image; they follow one another.
            attributes: see `stream`; or one value for each of B x copies completions.
            text: the caption; or one for each.
            vectors: see `stream`; or one row for each.
            drawing: see `stream`.
            seed: see `stream`.
            batch_size: see `stream`.
            progress: see `stream`.

        Yields:
            `Samples`, B x copies in all; all pixels of their images are decoded, including kept
            ones.

        Raises:
            DataError: images or mask have a wrong shape or values, nothing is kept, everything
                is, or an attribute or text is unknown.
            OptionError: an option is out of range, a prior cannot compute such a size, or it
                draws other signals than images.
        """
        check_completes(self.tokenizer)
        x = self.tokenizer.signal.check(images)
        count, size = len(x) * copies, (int(x.shape[2]), int(x.shape[3]))
        at_least({"copies": (copies, 1), "batch_size": (batch_size, 1)})
        self.check_size(size)
        condition = self.conditions(count, attributes=attributes, text=text, vectors=vectors)
        self._check(drawing, condition, count)
        known = known_codes(self.tokenizer, x.to(self.device), check_keep(keep, x).to(self.device))
        repeated = tuple(
            (c.repeat_interleave(copies, 0), m.repeat_interleave(copies, 0)) for c, m in known
        )
        order = Order(count, 0, condition, size, drawing, new_seed(seed), batch_size, progress)
        return self._stream(replace(order, known=repeated))

    def extend(
        self,
        beginnings: Tensor,
        size: Sequence[int],
        *,
        copies: int = 1,
        attributes: Attributes | None = None,
        text: Texts | None = None,
        vectors: Tensor | None = None,
        overlap: float | None = None,
        drawing: Drawing = Drawing(),  # noqa: B008 - frozen
        seed: int | None = None,
        batch_size: int = 64,
        progress: Progress | None = None,
    ) -> Iterator[Samples]:
        """Continue signals of one axis from their beginnings, batch by batch.

        Args:
            beginnings: (B, C, T), T a multiple of the coarsest stride.
            size: of the continued signals, longer than T.
            copies: continuations of each; they follow one another.
            attributes: see `stream`; or one value for each of B x copies continuations.
            text: the caption; or one for each.
            vectors: see `stream`; or one row for each.
            overlap: see `stream`.
            drawing: see `stream`.
            seed: see `stream`.
            batch_size: see `stream`.
            progress: see `stream`.

        Raises:
            DataError: the beginnings are no such signals, or an attribute or text is unknown.
            OptionError: an option is out of range, or a prior cannot compute such a size.
        """
        x, stride = self.tokenizer.signal.check(beginnings), self.tokenizer.strides[0]
        count, size = len(x) * copies, tuple(size)
        at_least({"copies": (copies, 1), "batch_size": (batch_size, 1)})
        shared = self.check_size(size, overlap)
        if x.ndim != 3 or x.shape[2] % stride or not 0 < x.shape[2] < size[0]:
            raise DataError(
                f"beginnings: expected (B, C, T) with T a multiple of {stride} below {size[0]}, "
                f"got {tuple(x.shape)}; cut them"
            )
        condition = self.conditions(count, attributes=attributes, text=text, vectors=vectors)
        self._check(drawing, condition, count)
        known = known_beginning(self.tokenizer, x.to(self.device), self.grids(size), copies)
        order = Order(count, 0, condition, size, drawing, new_seed(seed), batch_size, progress)
        return self._stream(replace(order, known=known, overlap=shared))

    @torch.no_grad()
    def decode(
        self,
        levels: Sequence[Tensor],
        size: Sequence[int],
        condition: Condition | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Signals (n, C, *size) of the codes of all levels, in batches of limited size.

        Args:
            levels: codes of each level.
            size: along each axis.
            condition: of the signals.
            mask: (n, *size) booleans, where shorter signals are; None: all have `size`.
        """
        n, known = max(1, DECODED_PIXELS // math.prod(size)), self._decoder_knows(condition)
        found = []
        for first in range(0, len(levels[0]), n):
            rows = slice(first, first + n)
            part, inside = (
                tuple(codes[rows] for codes in levels),
                mask if mask is None else mask[rows],
            )
            own = rows_of(known, rows)
            found.append(self.tokenizer.decode(part, own, size=size, mask=inside))
        return torch.cat(found)

    @torch.no_grad()
    def log_prob(self, levels: Sequence[Tensor], condition: Condition | None = None) -> Tensor:
        """Log-probability (B,) in nats of the codes of all levels: the sum over the levels.

        Args:
            levels: codes (B, *grid, *code_shape) of each level, the coarsest first, as `encode`
                gives them.
            condition: as `conditions` gives it; coarser codes are added.

        Raises:
            CodeError, DataError: codes or condition do not fit the priors.
        """
        return torch.stack(
            [part.flatten(1).sum(1) for part in self.log_probs(levels, condition)]
        ).sum(0)

    @torch.no_grad()
    def log_probs(
        self, levels: Sequence[Tensor], condition: Condition | None = None
    ) -> tuple[Tensor, ...]:
        """Log-probability in nats of every code of each level; see `log_prob`."""
        if len(levels) != len(self.priors):
            raise DataError(
                f"levels: expected codes of {plural(len(self.priors), 'level')}, the coarsest "
                f"first, got {len(levels)}; give what encode returned"
            )
        condition, axes = condition or Condition(), len(self.tokenizer.strides)
        own = [
            on_positions(codes, prior.codes.shape_of_code)
            for prior, codes in zip(self.priors, levels, strict=True)
        ]
        found = (
            prior.log_probs(codes, prior.conditioning.known(condition, own[:i]))
            for i, (prior, codes) in enumerate(zip(self.priors, own, strict=True))
        )
        return tuple(off_positions(nats, axes) for nats in found)

    def _decoder_knows(self, condition: Condition | None) -> Condition | None:
        """What the tokenizer's decoder knows of a condition."""
        names = self.priors[0].origin.names
        return self.tokenizer.known(condition.attributes if condition else {}, names)

    def _check(self, drawing: Drawing, condition: Condition, count: int) -> None:
        self.tokenizer.check_condition(self._decoder_knows(condition), count, "sample")
        if drawing.guidance != 1:
            knowing = [prior for prior in self.priors if prior.conditioning.withholdable]
            for prior in knowing or self.priors:
                prior.check_guidance(condition)

    def _with_lengths(self, order: Order, durations: Durations) -> Order:
        """The order with a length for each signal, drawn for its attributes."""
        given = order.condition.attributes
        counts = durations.draw(order.count, given, seed=order.seed, start=order.start)
        stride = self.tokenizer.strides[0]
        return replace(order, lengths=(counts * stride).clamp(max=order.size[0]))

    @torch.no_grad()
    def _stream(self, order: Order) -> Iterator[Samples]:
        grids, axes = self.grids(order.size), len(self.tokenizer.strides)
        each = [
            math.prod(grid) * len(prior.codes.slots)
            for prior, grid in zip(self.priors, grids, strict=True)
        ]
        numbers = [level_numbers(order.seed, i, order.start * n) for i, n in enumerate(each)]
        done, of = 0, self.positions(order.size) * -(-order.count // order.batch_size)
        for first in range(0, order.count, order.batch_size):
            rows = slice(first, min(first + order.batch_size, order.count))
            lengths = None if order.lengths is None else order.lengths[rows]
            size = order.size if lengths is None else (int(lengths.max()),)
            levels: list[Tensor] = []
            for i, grid in enumerate(self.grids(size)):
                drawn = uniform_numbers((rows.stop - first, each[i]), None, numbers[i])
                levels.append(
                    self._level(order, i, rows, grid, levels, drawn, after(done, of, order))
                )
                done += math.prod(grids[i])
            found = tuple(off_positions(codes, axes) for codes in levels)
            mask = None if lengths is None else torch.arange(size[0]) < lengths[:, None]
            mask = mask if mask is None else mask.to(self.device)
            signals = self.decode(found, size, order.condition.rows(rows), mask)
            yield Samples(signals, found, lengths)

    def _level(
        self,
        order: Order,
        level: int,
        rows: slice,
        grid: tuple[int, ...],
        coarser: Sequence[Tensor],
        numbers: Tensor,
        progress: Progress | None,
    ) -> Tensor:
        """The codes (b, *grid, *code_shape) of a level of some samples, -1 after their ends."""
        prior = self.priors[level]
        given = prior.conditioning.known(order.condition.rows(rows), coarser)
        options = {
            **order.drawing.options(guided=given.given),
            "numbers": numbers,
            "known": order.known_of(level, rows),
            "progress": progress,
        }
        batch = rows.stop - rows.start
        if len(grid) != 1:
            return prior.sample((batch, *grid), given, **options)
        counts = None
        if order.lengths is not None:
            own = {n: self.grids((n,))[level][0] for n in order.lengths[rows].unique().tolist()}
            counts = torch.tensor([own[n] for n in order.lengths[rows].tolist()])
            timing = torch.stack([torch.zeros_like(counts), counts], 1)
            given = replace(given, timing=timing if prior.conditioning.timing else None)
        codes = draw(prior, batch, grid[0], given, overlap=order.overlap, **options)
        if counts is not None:
            codes[torch.arange(grid[0]) >= counts[:, None]] = OUTSIDE
        return codes
