"""The model of exact pixels in plain Python, step by step: the reference of the compiled kernel.

Without the compiled kernel it serves instead, about a thousand times slower; the tests ensure that
its decisions are the same. Predictions and errors are in eighths of a level.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vocabula.codec.tree import SQUASH_END, squash_table, stretch_table

LEVELS, NODES, CHANNELS, INPUTS = 21, 40, 4, 30
_PAD, _FILTERS, _PREDICTIONS, _ERROR, _CONTEXTS = 2, 2, 6, 6, 7
_SEEN, _MOST_SEEN, _OWN_SEEN, _FIRST_SEEN = 30, 250, 1000, 12
_HIGHEST, _LARGEST_WEIGHT, _SLOWNESS = 255 * 8, 1 << 21, (13, 9)

Values = NDArray[np.uint32]
Decide = Callable[[int, int], int]
"""Codes one decision: (probability of 1 in 2^24, outcome if known) -> outcome."""
Cells = dict[int, list[int]]
"""For each node its probability of 1 in 2^22, and how often it has been asked for."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Images whose pixels are coded: the part that both sides know.

    Attributes:
        grids: (runs, 3) int64: count, height and width.
        reconstructed: (channels, positions) uint8, channels in the order of coding.
    """

    grids: NDArray[np.int64]
    reconstructed: NDArray[np.uint8]


_ALONE = (-2, -19, 1, -8, -5, 1, 2, 7, 9, 2, 2, 9, 10, 3, 9)
_SECOND = (-13, -28, 17, *[0] * 12, 50, 24, -28, 16)
_THIRD = (-14, -29, 17, *[0] * 12, 32, 15, -16, 11, 0, 19, 9, -13, 5)


@functools.cache
def start_filters() -> NDArray[np.int32]:
    """(channels, inputs) initial filters in 2^16: least squares on photographs, in 64ths.

    A fourth channel begins like the first: alpha says nothing about colour.
    """
    table = np.zeros((CHANNELS, INPUTS), np.int32)
    for row, weights in zip(table, (_ALONE, _SECOND, _THIRD, _ALONE), strict=True):
        row[: len(weights)] = weights
    return table * 1024


@functools.cache
def start_table() -> Values:
    """(levels, nodes) initial probability of 1 in 2^22: sizes fall off as powers.

    ::

        theta = size / (size + 8)        P(not 0) = 2 theta / (1 + theta)
        P(at least 2h | at least h) = theta^h        P(bit of value h) = theta^h / (1 + theta^h)
    """
    table = np.full((LEVELS, NODES), 1 << 21, np.int64)
    for level in range(LEVELS):
        octave = (level + 1) // 2
        size = 5 + 2 * (level % 2 == 0) << octave if level else 4
        powers = [(size << 30) // (size + 32)]
        for _ in range(7):
            powers.append(powers[-1] ** 2 >> 30)
        bits = [(p << 22) // ((1 << 30) + p) for p in powers]
        table[level, 0] = (powers[0] << 23) // ((1 << 30) + powers[0])
        table[level, 2:16] = [p >> 8 for p in powers[:7]] * 2
        table[level, 16:23] = bits[:7]
        table[level, 23:35] = np.repeat(bits[:6], 2)
        table[level, 35:40] = bits[:5]
    return table.clip(64, (1 << 22) - 64).astype(np.uint32)


@dataclass(slots=True)
class _Place:
    """The inputs to the prediction of one value."""

    x: int
    y: int
    channel: int
    near: dict[str, int] = field(default_factory=dict)  # neighbours, by the compass
    shown: dict[str, int] = field(default_factory=dict)  # the reconstruction here and around
    inputs: list[int] = field(default_factory=list)
    predictions: list[int] = field(default_factory=list)
    blend: int = 0
    own: Cells = field(default_factory=dict)
    cells: list[Cells] = field(default_factory=list)


class _Steps:
    """The state of the model; `decide` codes each decision.

    Args:
        scene: the images.
        decide: encodes the outcome that it is given, or decodes one.
    """

    def __init__(self, scene: Scene, decide: Decide) -> None:
        self._scene, self._decide = scene, decide
        channels = range(len(scene.reconstructed))
        self._squash, self._stretch = squash_table().tolist(), stretch_table().tolist()
        start = start_table().tolist()
        self._own = [[{n: [p, _FIRST_SEEN] for n, p in enumerate(row)} for row in start]]
        self._own = [[{n: list(c) for n, c in v.items()} for v in self._own[0]] for _ in channels]
        self._known: dict[tuple[int, int, int], Cells] = {}
        self._own_weight = [[65536] * NODES for _ in channels]
        weights = [9830 * n // (n + 3) for n in range(_SEEN + 1)]
        self._weight = [[[list(weights) for _ in range(7)] for _ in range(NODES)] for _ in channels]
        self._filters = [[start_filters()[k].tolist() for _ in range(_FILTERS)] for k in channels]

    def run(self, values: Values) -> None:
        """Code all values (channels, positions) in place."""
        at = 0
        for count, height, width in self._scene.grids.tolist():
            for _ in range(count):
                here = slice(at, at + height * width)
                image = values[:, here].reshape(-1, height, width)
                shown = self._scene.reconstructed[:, here].reshape(-1, height, width)
                self._image(image, shown.astype(np.int64).tolist())
                at += height * width

    def _image(self, image: Values, shown: list[list[list[int]]]) -> None:
        """Code one image in place; rows are lists with `_PAD` extra places on either side."""
        channels, height, width = image.shape
        self._shown, self._height, self._width = shown, height, width
        wide = width + 2 * _PAD
        nothing = [[0] * wide for _ in range(_PREDICTIONS + 1)]
        # rows[channel] and errors[channel][track]: here first, then above, then above that
        self._rows = [[_padded(plane[0]) for _ in range(3)] for plane in shown]
        self._errors = [[[list(t), list(t)] for t in nothing] for _ in range(channels)]
        for y in range(height):
            for k in range(channels):
                self._rows[k] = [_next(self._rows[k][0], wide), *self._rows[k][:2]]
                self._errors[k] = [[_next(t[0], wide), t[0]] for t in self._errors[k]]
            for x in range(width):
                for k in range(channels):
                    image[k, y, x] = self._value(_Place(x, y, k), int(image[k, y, x]))
            for k in range(channels):
                for row in (self._rows[k][0], *(t[0] for t in self._errors[k])):
                    row[-_PAD:] = [row[-_PAD - 1]] * _PAD

    def _value(self, place: _Place, value: int) -> int:
        self._look(place)
        self._gather(place)
        self._predict(place)
        self._blend(place)
        self._choose_cells(place)
        value = self._code(place, value)
        self._follow(place, value)
        return value

    def _row(self, place: _Place, channel: int, above: int) -> Callable[[int], int]:
        row, at = self._rows[channel][above], place.x + _PAD
        return lambda right: row[at + right]

    def _look(self, place: _Place) -> None:
        here, above, top = (self._row(place, place.channel, n) for n in range(3))
        place.near = {"w": here(-1), "ww": here(-2), "n": above(0), "nw": above(-1)}
        place.near |= {"ne": above(1), "nee": above(2), "nww": above(-2)}
        place.near |= {"nn": top(0), "nne": top(1)}
        plane, x, y = self._shown[place.channel], place.x, place.y
        left, right = max(0, x - 1), min(self._width - 1, x + 1)
        up, down = max(0, y - 1), min(self._height - 1, y + 1)
        place.shown = {"o": plane[y][x], "w": plane[y][left], "n": plane[up][x]}
        place.shown |= {"nw": plane[up][left], "ne": plane[up][right]}
        place.shown |= {"e": plane[y][right], "s": plane[down][x]}

    def _gather(self, place: _Place) -> None:
        """The inputs of the filters: differences, so that brightness itself has no effect."""
        v, q = place.near, place.shown
        base = v["w"] + v["n"] + 1 >> 1
        place.inputs = [v["n"] - v["w"]]
        place.inputs += [v[n] - base for n in ("nw", "ne", "ww", "nn", "nne", "nee", "nww")]
        place.inputs += [q["o"] - q[n] for n in ("w", "n", "nw", "ne")]
        place.inputs += [q["e"] - q["o"], q["s"] - q["o"], q["o"] - base]
        for c in range(place.channel):
            here, above = self._row(place, c, 0), self._row(place, c, 1)
            known = (here(-1), above(0), above(-1), above(1), self._shown[c][place.y][place.x])
            place.inputs += [here(0) - other for other in known]

    def _predict(self, place: _Place) -> None:
        v, q, k = place.near, place.shown, place.channel
        base = 8 * (v["w"] + v["n"] + 1 >> 1)
        middle = _median(v["w"], v["n"], v["nw"])
        found = []
        for weights in self._filters[k]:
            total = sum(w * x for w, x in zip(weights, place.inputs, strict=False))
            found.append(base + (total + (1 << 12) >> 13))
        missed = {n: v[n] - q[n] for n in ("w", "n", "ne", "nw")}
        found.append(8 * middle)
        found.append(8 * (v["w"] + v["ne"] - v["n"]))
        found.append(
            8 * q["o"] + 4 * (missed["w"] + missed["n"]) + 2 * (missed["ne"] - missed["nw"])
        )
        found.append(8 * (2 * v["n"] - v["nn"]))
        if k:
            first, first_above = self._row(place, 0, 0), self._row(place, 0, 1)
            last, above = self._row(place, k - 1, 0), self._row(place, k - 1, 1)
            found[3] = base + 4 * (2 * first(0) - first(-1) - first_above(0))
            found[5] = 8 * (middle + last(0) - _median(last(-1), above(0), above(-1)))
        place.predictions = [max(0, min(_HIGHEST, p)) for p in found]

    def _blend(self, place: _Place) -> None:
        """The weighted mean of the predictions; a smaller error nearby gives a larger weight."""
        total = weighted = 0
        for i, prediction in enumerate(place.predictions):
            here, above = self._errors[place.channel][i]
            at = place.x + _PAD
            near = 2 * here[at - 1] + here[at - 2] + 2 * above[at] + above[at - 1] + above[at + 1]
            weight = (1 << (34 if i < _FILTERS else 32)) // (near * near + 64) + 1
            total, weighted = total + weight, weighted + weight * prediction
        place.blend = (weighted + total // 2) // total

    def _choose_cells(self, place: _Place) -> None:
        """Find the local noise level and the contexts."""
        k, at, b, e = place.channel, place.x + _PAD, place.blend, place.predictions
        here, above = self._errors[k][_ERROR]
        first, second = (self._errors[c][_ERROR][0][at] if k > c else 0 for c in range(2))
        noise = 2 * abs(here[at - 1]) + abs(here[at - 2]) + 2 * abs(above[at])
        noise = (noise + abs(above[at - 1]) + abs(above[at + 1])) // 7
        if k == 1:
            noise = (noise + abs(first)) // 2
        if k > 1:
            noise = (2 * noise + 3 * abs(first) + 3 * abs(second)) // 8
        level = _level(noise)
        coarse, q = level // 3, place.shown
        slope = min(7, _level(abs(q["e"] - q["o"]) + abs(q["s"] - q["o"])))
        pairs = [
            (here[at - 1], above[at]),
            (first, second) if k else (above[at - 1], above[at + 1]),
            (e[0] - b, e[2] - b),
            (e[3] - b, e[5] - b),
        ]
        values = [(_class(one) * 11 + _class(other)) * 8 + coarse for one, other in pairs]
        values.append(level * 8 + b % 8)
        values.append((_class(8 * q["o"] - b) * 8 + slope) * 8 + coarse)
        values.append(_texture(place) * 4 + max(0, min(3, coarse - 2)))
        place.own = self._own[k][level]
        place.cells = [self._known.setdefault((c, k, v), {}) for c, v in enumerate(values)]

    def _step(self, place: _Place, node: int, outcome: int) -> int:
        """Predict, code and learn the decision at a node."""
        own, own_weights = place.own[node], self._own_weight[place.channel]
        base = self._stretch[own[0] >> 10]
        total = own_weights[node] * base
        used: list[tuple[list[int], list[int], int, int]] = []
        for c, cells in enumerate(place.cells):
            cell = cells.setdefault(node, [own[0], 0])
            weights, seen = self._weight[place.channel][node][c], min(_SEEN, cell[1])
            value = self._stretch[cell[0] >> 10] - base if cell[1] else 0
            used.append((cell, weights, seen, value))
            total += weights[seen] * value
        one = self._squash[max(-SQUASH_END, min(SQUASH_END, total >> 16)) + SQUASH_END]
        outcome = self._decide(one, outcome)
        error = outcome * 65536 - (one >> 8)
        own_weights[node] = _bounded(own_weights[node] + (base * error + (1 << 17) >> 18))
        for cell, weights, seen, value in used:
            weights[seen] = _bounded(weights[seen] + (value * error + (1 << 13) >> 14))
            _learn(cell, outcome, _MOST_SEEN)
        _learn(own, outcome, _OWN_SEEN)
        return outcome

    def _code(self, place: _Place, value: int) -> int:
        """Code a value's difference from the prediction: zero or not, its sign and its size."""
        middle = place.blend + 4 >> 3
        if not self._step(place, 0, int(value != middle)):
            return middle
        below = int(middle == 255)
        if 0 < middle < 255:
            below = self._step(place, 1, int(value < middle))
        most, size = middle if below else 255 - middle, abs(value - middle)
        octave = first = 0
        while 2 << octave <= most:
            if not self._step(place, 2 + 7 * below + octave, int(size >= 2 << octave)):
                break
            octave += 1
        found = 1 << octave
        for bit in range(octave - 1, -1, -1):
            if found | 1 << bit > most:
                continue
            rest = {octave - 1: 15 + octave, octave - 2: 19 + 2 * octave + first}
            outcome = self._step(place, rest.get(bit, 35 + bit), size >> bit & 1)
            first = outcome if bit == octave - 1 else first
            found |= outcome << bit
        return middle - found if below else middle + found

    def _follow(self, place: _Place, value: int) -> None:
        """Update filters and errors with the value."""
        k, at = place.channel, place.x + _PAD
        self._rows[k][0][at] = value
        for track, prediction in zip(self._errors[k], place.predictions, strict=False):
            track[0][at] = abs(8 * value - prediction)
        self._errors[k][_ERROR][0][at] = 8 * value - place.blend
        energy = sum(x * x for x in place.inputs)
        for weights, slowness, prediction in zip(
            self._filters[k], _SLOWNESS, place.predictions, strict=False
        ):
            pull = 8 * value - prediction
            gain = (abs(pull) << 20) // (energy + 64 + 8 * len(place.inputs))
            gain = -gain if pull < 0 else gain
            for i, x in enumerate(place.inputs):
                change = gain * x + (1 << slowness - 1) >> slowness
                weights[i] = _bounded(weights[i] + change)


def run_pixels(scene: Scene, values: Values, decide: Decide) -> None:
    """Code the values (channels, positions) of images in place, every decision through `decide`.

    Args:
        scene: what both sides know.
        values: what to encode, or zeros that decoding fills.
        decide: encodes the outcome that it is given, or decodes one.
    """
    _Steps(scene, decide).run(values)


def _padded(row: list[int]) -> list[int]:
    return [row[0]] * _PAD + row + [row[-1]] * _PAD


def _next(above: list[int], wide: int) -> list[int]:
    """A row to be filled, padded with the first value of the row above."""
    return [above[_PAD]] * _PAD + [0] * (wide - _PAD)


def _median(w: int, n: int, nw: int) -> int:
    """The middle one of w, n and w + n - nw."""
    return max(min(w, n), min(max(w, n), w + n - nw))


def _class(error: int) -> int:
    """An error of either sign in 11 classes, 0 to 10."""
    size = min(5, (abs(error) + 4 >> 2).bit_length() - 1)
    return 5 - size if error < 0 else 5 + size


def _level(size: int) -> int:
    """The class of a size >= 0, two classes per octave."""
    octave = (size + 1).bit_length() - 1
    return 2 * octave - 1 + (size + 1 >> octave - 1 & 1) if octave else 0


def _texture(place: _Place) -> int:
    """Which neighbours exceed the prediction, and the gradient's direction: 8 bits."""
    v = place.near
    bits = [8 * v[n] > place.blend for n in ("w", "n", "nw", "ne", "ww", "nn")]
    bits += [v["w"] > v["ww"], v["n"] > v["nn"]]
    return sum(bit << i for i, bit in enumerate(bits))


def _learn(cell: list[int], outcome: int, most: int) -> None:
    change = (outcome * 4194303 - cell[0]) * (131072 // (2 * cell[1] + 3))
    cell[0] += change + (1 << 15) >> 16
    cell[1] = min(most, cell[1] + 1)


def _bounded(weight: int) -> int:
    return max(-_LARGEST_WEIGHT, min(_LARGEST_WEIGHT, weight))
