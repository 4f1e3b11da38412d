"""The portable model, written from docs/vcb.md alone, with Python's integers.

Slow and without mercy, as `specified`.
"""

from __future__ import annotations

from itertools import accumulate
from math import floor
from typing import Any

END = 2**15
F = [2**60]
for _ in range(5000):
    F.append(F[-1] * 1148426689630428644 >> 60)

Grids = list[tuple[int, int]]


def whole(x: float, bits: int, end: int) -> int:
    return max(-end, min(end - 1, floor(x * 2**bits + 0.5)))


def values(x: Any) -> Any:
    return [values(y) for y in x] if isinstance(x, list) else whole(x, 8, END)


def weights(x: Any) -> Any:
    return [weights(y) for y in x] if isinstance(x, list) else whole(x, 12, END)


def bounded(x: list[int]) -> list[int]:
    return [max(-END, min(END - 1, y)) for y in x]


def curve(x: list[int]) -> list[int]:
    found = []
    for y in x:
        inside = max(-2048, min(2047, y))
        f = F[abs(inside)]
        above, below = (2**60, 2**60 + f) if inside >= 0 else (f, 2**60 + f)
        found.append((2 * inside * above + below) // (2 * below) + max(0, y - 2047))
    return found


def digits_of(k: int, largest: int) -> list[tuple[int, int]]:
    """(values, unit) of each digit."""
    count = 1
    while largest**count < k:
        count += 1
    base = 1
    while base**count < k:
        base += 1
    units = [base**i for i in reversed(range(count))]
    return [(-(-k // units[0]), units[0]), *((base, unit) for unit in units[1:])]


class Level:
    """One prior: books, and the tensors of its model.safetensors as lists."""

    def __init__(
        self,
        books: list[int],
        largest: int,
        reach: int,
        tensors: dict[str, Any],
        *,
        series: bool = False,
    ) -> None:
        self.series = series
        self.reach, self.sizes = reach, books
        self.symbols = [
            (book, size, unit)
            for book, k in enumerate(books)
            for size, unit in digits_of(k, largest)
        ]
        self.books = len(books)
        self.rows = sum(size + 1 for _, size, _ in self.symbols)
        self.table = values(tensors["table"])
        self.tensors = tensors

    def layer(self, s: int, name: str) -> tuple[Any, Any]:
        key = f"networks.{s}.{name}"
        return weights(self.tensors[key + ".weight"]), values(self.tensors[key + ".bias"])

    def network(self, s: int) -> dict[str, Any]:
        blocks, phases = [], []
        while f"networks.{s}.inner.{len(blocks)}.weight" in self.tensors:
            number = len(blocks)
            blocks.append((self.layer(s, f"inner.{number}"), self.layer(s, f"outer.{number}")))
        while f"networks.{s}.phases.{len(phases)}" in self.tensors:
            phases.append(values(self.tensors[f"networks.{s}.phases.{len(phases)}"]))
        return {
            "first": self.layer(s, "first"),
            "blocks": blocks,
            "phases": phases,
            "last": self.layer(s, "last"),
        }


def apply(layer: tuple[Any, Any], x: list[int]) -> list[int]:
    return [
        (sum(a * b for a, b in zip(row, x, strict=True)) + 2**11 >> 12) + bias
        for row, bias in zip(*layer, strict=True)
    ]


def logits(net: dict[str, Any], x: list[int], phases: list[int]) -> list[int]:
    h = apply(net["first"], x)
    for table, phase in zip(net["phases"], phases, strict=True):
        h = [a + b for a, b in zip(h, table[phase], strict=True)]
    h = bounded(h)
    for inner, outer in net["blocks"]:
        change = apply(outer, bounded(curve(bounded(apply(inner, bounded(curve(h)))))))
        h = bounded([a + b for a, b in zip(h, change, strict=True)])
    return bounded(apply(net["last"], bounded(curve(h))))


def steps(found: list[int], highest: int) -> list[int]:
    """Digits above the highest that a code can have get no weight."""
    top = max(found)
    share = [F[top - y] >> 32 if top - y < 4608 else 0 for y in found]
    share = [y if digit <= highest else 0 for digit, y in enumerate(share)]
    widths = [1 + y * (2**24 - len(share)) // sum(share) for y in share]
    widths[share.index(max(share))] += 2**24 - sum(widths)
    return [0, *accumulate(widths)]


class Portable:
    """The model of a file; `levels` the coarsest first."""

    def __init__(self, levels: list[Level]) -> None:
        self.levels = levels

    def codes(self, message: Any, stream: int, grids: Grids, known: Any) -> list[int]:
        """The codes of a stream, given (grids, codes) of each stream before."""
        first, number = 0, 0
        while stream >= first + self.levels[number].books:
            first += self.levels[number].books
            number += 1
        level, book = self.levels[number], stream - first
        if level.series:  # a signal is one row
            grids = [(w, h) for h, w in grids]
            known = [([(w, h) for h, w in its], codes) for its, codes in known]
        places = [(i, y, x) for i, (h, w) in enumerate(grids) for y in range(h) for x in range(w)]
        symbols: dict[tuple[int, int, int, int], int] = {}  # by symbol, signal, row, column
        for s, (its, size, unit) in enumerate(level.symbols):
            if its < book:
                for place, code in zip(places, known[first + its][1], strict=True):
                    symbols[s, *place] = code // unit % size
        own = [s for s, (its, _, _) in enumerate(level.symbols) if its == book]
        nets = {s: level.network(s) for s in own}
        codes = dict.fromkeys(places, 0)
        for wave in sorted({x + 3 * y for _, y, x in places}):
            here = [place for place in places if place[2] + 3 * place[1] == wave]
            for s in own:
                for place in here:
                    rows = self.taps(level, s, place, symbols)
                    phases = []
                    start, offset = 0, level.rows
                    for upper in self.levels[:number]:
                        streams = known[start : start + upper.books]
                        its, phase = self.coarse(upper, streams, place, grids, offset)
                        rows += its
                        phases.append(phase)
                        start, offset = start + upper.books, offset + upper.rows
                    x = [value for row in rows for value in level.table[row]]
                    highest = (level.sizes[book] - 1 - codes[place]) // level.symbols[s][2]
                    found = steps(logits(nets[s], x, phases), highest)
                    symbols[s, *place] = message.symbol(found)
                    codes[place] += symbols[s, *place] * level.symbols[s][2]
        return [codes[place] for place in places]

    def taps(self, level: Level, s: int, place: Any, symbols: Any) -> list[int]:
        i, y, x = place
        book, offset, rows = level.symbols[s][0], 0, []
        r = level.reach
        before = [(0, -left) for left in range(1, r + 1)]
        beside = [(0, -1), (-1, 0), (-1, -1), (-1, 1)]
        if level.series:
            beside = beside[:1]
        else:
            before += [(-up, d) for up in range(1, r + 1) for d in range(-r, min(r, 2 * up) + 1)]
        for j, (its, size, _) in enumerate(level.symbols):
            where = [(0, 0)] if j < s else []
            if its == book:
                where += before
            elif its == book - 1:
                where += beside
            if its <= book:
                rows += [offset + symbols.get((j, i, y + d, x + e), size) for d, e in where]
            offset += size + 1
        return rows

    def coarse(
        self, upper: Level, streams: Any, place: Any, grids: Grids, offset: int
    ) -> tuple[list[int], int]:
        i, y, x = place
        its_grids = streams[0][0]
        (h, w), (fine_h, fine_w) = its_grids[i], grids[i]
        down, right = fine_h // h, fine_w // w
        start = sum(a * b for a, b in its_grids[:i])
        rows = []
        for book, size, unit in upper.symbols:
            for d in (0,) if upper.series else (-1, 0, 1):
                for e in (-1, 0, 1):
                    row, column = y // down + d, x // right + e
                    if 0 <= row < h and 0 <= column < w:
                        code = streams[book][1][start + row * w + column]
                        rows.append(offset + code // unit % size)
                    else:
                        rows.append(offset + size)
            offset += size + 1
        return rows, y % down * right + x % right
