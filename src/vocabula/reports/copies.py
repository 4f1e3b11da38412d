"""Whether samples are copies of training signals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vocabula.budgets import COMPARED_CODES
from vocabula.evaluation.nearest import nearest_by_codes, nearest_by_values
from vocabula.priors import Generator
from vocabula.priors.data import PriorData
from vocabula.reports.samples import (
    MOST_COMPARED,
    Compared,
    DrawnRows,
    Neighbour,
    decode_codes,
    decoded_places,
)


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
    generator: Generator, data: PriorData, drawn: DrawnRows, batch_size: int, *, nearness: str
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
    samples = [x.cpu() for x in drawn.signals]
    held_out = data.held_out.arrays
    places = np.arange(min(len(held_out), len(samples)))
    groups = [
        [codes.cpu() for codes in drawn.samples.levels],
        [held_out.codes(k, places) for k in range(len(arrays.levels))],
    ]
    own, other = nearest_by_codes(groups, arrays.parts(COMPARED_CODES))
    decoded = decoded_places(len(arrays), max(x.numel() for x in samples))
    reconstructions = decode_codes(generator, data, decoded, batch_size)
    by_values = nearest_by_values(samples, reconstructions)
    figures = {
        "code_distance": float(own.distances.median()),
        "code_distance_held_out": float(other.distances.median()),
        "copies": float((own.distances == 0).double().mean()),
        "copies_held_out": float((other.distances == 0).double().mean()),
    }
    last = len(samples) - 1
    shown = np.unique(np.linspace(0, last, MOST_COMPARED).round().astype(int))
    nearest = own.indices[shown].numpy()
    signal_of = decode_codes(generator, data, nearest, batch_size)
    compared = []
    for k, i in enumerate(shown.tolist()):
        place, far = int(by_values.indices[i]), float(by_values.distances[i])
        path = str(arrays.paths[nearest[k]])
        by_codes = Neighbour(signal_of[k], path, float(own.distances[i]))
        path = str(arrays.paths[decoded[place]])
        near = Neighbour(reconstructions[place], path, far)
        compared.append(Compared(i, samples[i], by_codes, near))
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
