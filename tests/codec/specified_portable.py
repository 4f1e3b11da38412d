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
        interleaved: bool = False,
    ) -> None:
        self.series, self.interleaved = series, interleaved
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
        kinds = [f"first.{k}" for k in range(3)] if self.interleaved else ["first"]
        return {
            "first": [self.layer(s, name) for name in kinds],
            "blocks": blocks,
            "phases": phases,
            "last": self.layer(s, "last"),
        }


def apply(layer: tuple[Any, Any], x: list[int]) -> list[int]:
    return [
        (sum(a * b for a, b in zip(row, x, strict=True)) + 2**11 >> 12) + bias
        for row, bias in zip(*layer, strict=True)
    ]


def logits(net: dict[str, Any], x: list[int], phases: list[int], kind: int = 0) -> list[int]:
    h = apply(net["first"][kind], x)
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


def scale_and_kind(y: int, x: int) -> tuple[int, int]:
    """e and k of a position in interleaved order."""
    if y == x == 0:
        return 30, 0
    e = 0
    while y % 2 ** (e + 1) == 0 and x % 2 ** (e + 1) == 0:
        e += 1
    odd = (y >> e & 1, x >> e & 1)
    return e, {(1, 1): 0, (0, 1): 1, (1, 0): 2}[odd]


def interleaved_places(kind: int, reach: int) -> list[tuple[int, int]]:
    """(u, v) of the places in the own book."""
    least = {0: lambda u, v: u and v, 1: lambda u, v: u != v, 2: lambda u, v: u or v}[kind]
    span = range(-reach, reach + 1)
    found = [(u, v) for u in span for v in span if u * u + v * v <= reach * (reach + 1)]
    return sorted((u * u + v * v, u, v) for u, v in found if least(u % 2, v % 2))


def sum_of(rows: list[list[int]]) -> list[int]:
    return [sum(column) for column in zip(*rows, strict=True)]


def wave_of(level: Level, y: int, x: int) -> int:
    if not level.interleaved:
        return x + 3 * y
    e, kind = scale_and_kind(y, x)
    return 3 * (30 - e) + kind


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
        waves = [wave_of(level, y, x) for _, y, x in places]
        for wave in sorted(set(waves)):
            here = [place for place, its in zip(places, waves, strict=True) if its == wave]
            for s in own:
                for place in here:
                    rows = self.taps(level, s, place, symbols)
                    phases, e, kind = [], 0, 0
                    if level.interleaved:
                        e, kind = scale_and_kind(*place[1:])
                        rows = self.interleaved_taps(level, s, place, symbols)
                    start, offset = 0, level.rows
                    for upper in self.levels[:number]:
                        streams = known[start : start + upper.books]
                        its, phase = self.coarse(upper, streams, place, grids, offset)
                        if level.interleaved:  # the books of a place are added up
                            its = [its[place::9] for place in range(9)]
                        rows += its
                        phases.append(phase)
                        start, offset = start + upper.books, offset + upper.rows
                    if level.interleaved:
                        phases.append(min(e, 3))
                        rows = [sum_of([level.table[row] for row in group]) for group in rows]
                        x = [value for group in rows for value in group]
                    else:
                        x = [value for row in rows for value in level.table[row]]
                    highest = (level.sizes[book] - 1 - codes[place]) // level.symbols[s][2]
                    found = steps(logits(nets[s], x, phases, kind), highest)
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

    def interleaved_taps(self, level: Level, s: int, place: Any, symbols: Any) -> list[list[int]]:
        """Groups of rows of the table that are added up."""
        i, y, x = place
        book, offsets, offset = level.symbols[s][0], [], 0
        for _, size, _ in level.symbols:
            offsets.append(offset)
            offset += size + 1

        def row(j: int, d: int, e: int) -> int:
            return offsets[j] + symbols.get((j, i, y + d, x + e), level.symbols[j][1])

        e, kind = scale_and_kind(y, x)
        own = [j for j, (its, _, _) in enumerate(level.symbols) if its == book]
        before = [j for j, (its, _, _) in enumerate(level.symbols) if its < book]
        known = interleaved_places(kind, level.reach)
        groups = [[row(j, u << e, v << e) for j in own] for _, u, v in known]
        groups += [[row(j, 0, 0)] for j in range(s)]
        around = [(d, e) for d in (-1, 0, 1) for e in (-1, 0, 1) if d or e]
        return groups + ([[row(j, d, e) for j in before] for d, e in around] if book else [])

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
