"""What a prior draws for its report, and whether samples are copies of training signals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vocabula.evaluation.counting import counted
from vocabula.priors import Generator, Samples
from vocabula.priors.data import PriorData
from vocabula.signals import Signal
from vocabula.signals.codes import off_positions

MOST_ROWS = 10
"""Values of an attribute or captions that get a row of samples."""
MOST_COMPARED = 16
"""Samples that are shown beside their nearest training signals."""
MOST_DECODED = 10_000
"""Training signals that samples are compared with by their values at most."""
_MOST_VALUES = 2**27
_OVERLAP = 0.5  # of windows, where a prior has learned parts


@dataclass(frozen=True, slots=True)
class DrawnRows:
    """Samples, as many for each of some conditions.

    Attributes:
        names: what each row is conditioned on.
        columns: number of samples of a row.
        samples: all of them, row by row.
        signal: what they are.
    """

    names: Sequence[str]
    columns: int
    samples: Samples
    signal: Signal

    def row_of(self, number: int) -> str:
        """What a sample is conditioned on."""
        return self.names[number // self.columns]

    @property
    def signals(self) -> list[Tensor]:
        """Every sample (C, *extent), as long as it was drawn."""
        return [x for group in self.samples.each() for x in group.signals]


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A training signal that is near to a sample.

    Attributes:
        signal: (C, *extent), as the tokenizer decodes it.
        path: where it came from.
        distance: how far it is.
    """

    signal: Tensor
    path: str
    distance: float


@dataclass(frozen=True, slots=True)
class Compared:
    """A sample and the training signals nearest to it.

    Attributes:
        number: of the sample.
        sample: (C, *extent).
        by_codes: with the fewest other codes; its distance is the fraction that differs.
        by_values: with the smallest root mean square error, its distance.
    """

    number: int
    sample: Tensor
    by_codes: Neighbour
    by_values: Neighbour


def draw_rows(
    generator: Generator, data: PriorData, count: int, seed: int, batch_size: int, *, show: bool
) -> DrawnRows:
    """Draw samples for each value of an attribute or each caption.

    Args:
        generator: what draws.
        data: the data of its priors, with the captions.
        count: number of samples; at least one for each row.
        seed: of the draws.
        batch_size: most signals at once.
        show: show a progress bar on a terminal.
    """
    names, attributes, texts = _conditions(generator, data)
    columns = max(1, -(-count // len(names)))
    total = columns * len(names)
    each = [i for i in range(len(names)) for _ in range(columns)]
    size, overlap = _whole(generator, data)
    positions = generator.positions(size or generator.extent) * -(-total // batch_size)
    with counted("sampling", positions, show=show) as advance:
        drawn = generator.sample(
            total,
            attributes={name: [own[i] for i in each] for name, own in attributes.items()},
            text=None if texts is None else [texts[i] for i in each],
            size=size,
            overlap=overlap,
            seed=seed,
            batch_size=batch_size,
            progress=lambda done, of: advance(1),
        )
    return DrawnRows(names, columns, drawn, generator.tokenizer.signal)


def _whole(generator: Generator, data: PriorData) -> tuple[tuple[int, ...] | None, float | None]:
    """The size and the overlap of windows of samples, where the prior has learned parts."""
    if data.fitted.context is None:
        return None, None
    longest = (int(data.fitted.arrays.extents.max()),)
    return None if generator.durations is not None else longest, _OVERLAP


def _conditions(
    generator: Generator, data: PriorData
) -> tuple[list[str], dict[str, list[int]], list[str] | None]:
    """The name of each row of samples, and its requested attributes or text."""
    captions, text = data.held_out.captions, generator.priors[0].text_tokenizer
    if captions is not None and text is not None:
        used = captions.rows[captions.first]
        different = captions.tokens[used.unique()]
        words = [w for w in dict.fromkeys(text.decode(different)) if w and "[UNK]" not in w]
        if words:
            return words[:MOST_ROWS], {}, words[:MOST_ROWS]
    for attribute, count in generator.conditioning.values.items():  # the class, if there is one
        rows = list(range(min(count, MOST_ROWS)))
        return [generator.value_name(attribute, i) for i in rows], {attribute: rows}, None
    return ["drawn from all"], {}, None


def decoded_places(count: int, values: int) -> np.ndarray:
    """Which training signals are decoded: spread evenly, as many as memory allows."""
    most = max(1, min(count, MOST_DECODED, _MOST_VALUES // values))
    return np.unique(np.linspace(0, count - 1, most).round().astype(np.int64))


@torch.no_grad()
def decode_codes(
    generator: Generator, data: PriorData, places: np.ndarray, batch_size: int
) -> list[Tensor]:
    """Some training signals (C, *extent), decoded from their codes."""
    arrays, tokenizer = data.fitted.arrays, generator.tokenizer
    found: list[Tensor] = []
    for first in range(0, len(places), batch_size):
        part = places[first : first + batch_size]
        levels = [arrays.codes(k, part).to(generator.device) for k in range(len(arrays.levels))]
        codes = [off_positions(level, len(tokenizer.strides)) for level in levels]
        values = {name: torch.from_numpy(own[part]) for name, own in arrays.attributes.items()}
        condition = tokenizer.known(values, data.names)
        if not data.fitted.timing:
            found += tokenizer.decode(codes, condition, size=generator.extent).cpu()
            continue
        lengths = arrays.extents[part, 0].tolist()  # these have one axis
        size, each = max(lengths), torch.tensor(lengths, device=generator.device)
        mask = torch.arange(size, device=each.device) < each[:, None]
        signals = tokenizer.decode(codes, condition, size=(size,), mask=mask).cpu()
        found += [x[:, :length] for x, length in zip(signals, lengths, strict=True)]
    return found
