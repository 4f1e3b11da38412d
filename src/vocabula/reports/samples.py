"""What a prior draws for its report, and whether samples are copies of training signals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vocabula.evaluation.batches import counted
from vocabula.evaluation.nearest import nearest_by_codes, nearest_by_values
from vocabula.priors import Generator, Samples
from vocabula.priors.data import PriorData
from vocabula.signals.codes import off_positions

MOST_ROWS = 10
"""Values of an attribute or captions that get a row of samples."""
MOST_COMPARED = 16
"""Samples that are shown beside their nearest training signals."""
MOST_DECODED = 10_000
"""Training signals that samples are compared with by their values at most."""
_MOST_VALUES = 2**27


@dataclass(frozen=True, slots=True)
class DrawnRows:
    """Samples, as many for each of some conditions.

    Attributes:
        names: what each row is conditioned on.
        columns: number of samples of a row.
        samples: all of them, row by row.
    """

    names: Sequence[str]
    columns: int
    samples: Samples

    def row_of(self, number: int) -> str:
        """What a sample is conditioned on."""
        return self.names[number // self.columns]


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
    positions = generator.positions(generator.extent) * -(-total // batch_size)
    with counted("sampling", positions, show=show) as advance:
        drawn = generator.sample(
            total,
            attributes={name: [own[i] for i in each] for name, own in attributes.items()},
            text=None if texts is None else [texts[i] for i in each],
            seed=seed,
            batch_size=batch_size,
            progress=lambda done, of: advance(1),
        )
    return DrawnRows(names, columns, drawn)


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


@dataclass(frozen=True, slots=True)
class Copies:
    """Whether samples are copies of training signals.

    Attributes:
        figures: distances by name.
        note: what they mean.
        compared: some samples beside their nearest training signals.
    """

    figures: dict[str, float]
    note: str
    compared: list[Compared]


def find_copies(
    generator: Generator, data: PriorData, drawn: Samples, batch_size: int, *, nearness: str
) -> Copies:
    """Compare samples with the training signals nearest to them.

    Args:
        generator: what has drawn them.
        data: the training data and the held-out data.
        drawn: the samples.
        batch_size: most signals that are decoded at once.
        nearness: what messages call the distance of values, such as ``pixels``.
    """
    arrays, signals = data.fitted.arrays, generator.tokenizer.signal.plural
    levels = range(len(arrays.levels))
    training = [torch.from_numpy(arrays.levels[k].astype(np.int32)) for k in levels]
    own = nearest_by_codes([codes.cpu() for codes in drawn.levels], training)
    places = np.arange(min(len(data.held_out), len(drawn.images)))
    other = nearest_by_codes([data.held_out.arrays.codes(k, places) for k in levels], training)
    decoded = _decoded_places(len(arrays), drawn.signals[0].numel())
    reconstructions = _decode(generator, data, decoded, batch_size)
    by_values = nearest_by_values(drawn.signals.cpu(), reconstructions)
    figures = {
        "code_distance": float(own.distances.median()),
        "code_distance_held_out": float(other.distances.median()),
        "copies": float((own.distances == 0).double().mean()),
        "copies_held_out": float((other.distances == 0).double().mean()),
    }
    last = len(drawn.signals) - 1
    shown = np.unique(np.linspace(0, last, MOST_COMPARED).round().astype(int))
    nearest = own.indices[shown].numpy()
    signal_of = _decode(generator, data, nearest, batch_size)
    compared = []
    for k, i in enumerate(shown.tolist()):
        place, far = int(by_values.indices[i]), float(by_values.distances[i])
        path = str(arrays.paths[nearest[k]])
        by_codes = Neighbour(signal_of[k], path, float(own.distances[i]))
        path = str(arrays.paths[decoded[place]])
        near = Neighbour(reconstructions[place], path, far)
        compared.append(Compared(i, drawn.signals[i], by_codes, near))
    note = _note(figures, signals, len(arrays), len(decoded), nearness)
    return Copies(figures, note, compared)


def _note(figures: dict[str, float], signals: str, count: int, decoded: int, nearness: str) -> str:
    return (
        f"The nearest of {count} training {signals} by codes, and the nearest of {decoded} by "
        f"{nearness}, all as the tokenizer decodes them. Half of the samples differ from their "
        f"nearest training {signals[:-1]} in at least {figures['code_distance']:.0%} of the codes; "
        f"for held-out {signals} it is {figures['code_distance_held_out']:.0%}. "
        f"{figures['copies']:.1%} of the samples have the very codes of a training "
        f"{signals[:-1]}; {figures['copies_held_out']:.1%} of the held-out {signals} do. Samples "
        f"that are much nearer to the training {signals} than held-out {signals} are would be "
        "copies."
    )


def _decoded_places(count: int, values: int) -> np.ndarray:
    most = max(1, min(count, MOST_DECODED, _MOST_VALUES // values))
    return np.unique(np.linspace(0, count - 1, most).round().astype(np.int64))


@torch.no_grad()
def _decode(generator: Generator, data: PriorData, places: np.ndarray, batch_size: int) -> Tensor:
    """Some training signals (n, C, *extent), decoded from their codes."""
    arrays = data.fitted.arrays
    parts = []
    for first in range(0, len(places), batch_size):
        part = places[first : first + batch_size]
        levels = [arrays.codes(k, part).to(generator.device) for k in range(len(arrays.levels))]
        codes = [off_positions(level, len(generator.tokenizer.strides)) for level in levels]
        values = {name: torch.from_numpy(own[part]) for name, own in arrays.attributes.items()}
        condition = generator.tokenizer.known(values, data.names)
        parts.append(generator.tokenizer.decode(codes, condition, size=generator.extent).cpu())
    return torch.cat(parts)
