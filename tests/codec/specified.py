"""A reader of compressed files written from docs/vcb.md alone: nothing of the library is used.

Slow and without mercy: it asserts where the library raises.
"""

from __future__ import annotations

import zlib
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from typing import Any

M1, M2, WORD = 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93, 2**64 - 1


class Bytes:
    """Integers out of bytes."""

    def __init__(self, content: bytes) -> None:
        self.content, self.at = content, 0

    def raw(self, count: int) -> bytes:
        self.at += count
        assert self.at <= len(self.content)
        return self.content[self.at - count : self.at]

    def fixed(self, width: int) -> int:
        return int.from_bytes(self.raw(width), "little")

    def varint(self) -> int:
        value = place = 0
        while True:
            byte = self.fixed(1)
            value |= (byte & 127) << place
            place += 7
            if byte < 128:
                return value


@dataclass
class Stage:
    """Books of one model on one grid."""

    model: int
    strides: list[int]
    factors: list[int]
    symbols: list[int]

    def grid(self, height: int, width: int) -> tuple[int, int]:
        rows, columns = (
            -(-n // s) * f
            for n, s, f in zip((height, width), self.strides, self.factors, strict=True)
        )
        return rows, columns


class Message:
    """The range decoder."""

    def __init__(self, content: bytes) -> None:
        self.words = Bytes(content + bytes(64))
        self.above = self.words.fixed(4) << 32 | self.words.fixed(4)
        self.range = 2**64 - 1

    def quantile(self) -> int:
        return self.above // (self.range >> 24)

    def take(self, start: int, width: int) -> None:
        scale = self.range >> 24
        self.above -= scale * start
        self.range = scale * width
        if self.range < 2**32:
            self.range <<= 32
            self.above = self.above << 32 | self.words.fixed(4)

    def symbol(self, steps: list[int]) -> int:
        symbol = bisect_right(steps, self.quantile()) - 1
        self.take(steps[symbol], steps[symbol + 1] - steps[symbol])
        return symbol


def table(counts: list[int]) -> list[int]:
    """Steps of codes from 0 to 2^24."""
    small: set[int] = set()
    while True:
        room = 2**24 - len(small)
        total = sum(c for i, c in enumerate(counts) if i not in small)
        more = {i for i, c in enumerate(counts) if i not in small and c * room < total}
        if not more:
            break
        small |= more
    widths = [1 if i in small else c * room // total for i, c in enumerate(counts)]
    rest = sorted((-(c * room % total), i) for i, c in enumerate(counts) if i not in small)
    for _, i in rest[: 2**24 - sum(widths)]:
        widths[i] += 1
    return [0, *accumulate(widths)]


def _squash() -> dict[int, int]:
    f, found = 2**60, {}
    for x in range(3073):
        found[x] = min(2**24 - 64, 2**84 // (2**60 + f))
        found[-x] = 2**24 - found[x]
        f = f * 1148426689630428644 >> 60
    return found


SQUASH = _squash()
STRETCH: list[int] = []
for _i in range(4096):
    _x = STRETCH[-1] if STRETCH else -3072
    while SQUASH[_x] < 4096 * _i + 2048:
        _x += 1
    STRETCH.append(_x)


def kept(s: int, bit: int, n: int) -> int:
    a = 2**16 // (n + 1)
    return 65535 - ((65535 - s) * a >> 16) if bit else s * a >> 16


def moved(p: int, b: int, n: int) -> int:
    return p + (((b * 65535 - p) * (2**16 // (n + 2)) + 2**15) >> 16)


def bound(w: int) -> int:
    return max(-(2**21), min(2**21, w))


class Adaptive:
    """The adaptive model of one stream: every dictionary begins anew."""

    def __init__(self, symbols: int, counts: list[int], positions: int) -> None:
        self.k, self.depth = symbols, (symbols - 1).bit_length()
        leaves = 2**self.depth
        weight = [0] * leaves + [2 * c + 1 for c in counts] + [0] * (leaves - symbols)
        seen = [0] * leaves + list(counts) + [0] * (leaves - symbols)
        for v in range(leaves - 1, 0, -1):
            weight[v] = weight[2 * v] + weight[2 * v + 1]
            seen[v] = seen[2 * v] + seen[2 * v + 1]
        self.p0 = [
            max(16, min(2**22 - 16, 2**22 * weight[2 * v + 1] // max(1, weight[v])))
            for v in range(leaves)
        ]
        self.n0 = [min(1000, n) for n in seen[:leaves]]
        size = 256
        while size < 16 * positions and size < 2**20:
            size *= 2
        self.shift = 64 - (size // 4).bit_length() + 1
        self.buckets: dict[int, list[dict[str, Any] | None]] = {}
        self.w0 = [2**16] * self.depth
        self.w: dict[tuple[int, int, bool, int], int] = {}

    def node(self, r: int, i: int) -> int:
        return (2**self.depth + r) >> (self.depth - i)

    def bit(self, r: int, i: int) -> int:
        return r >> (self.depth - 1 - i) & 1

    def bucket(self, key: int, v: int) -> tuple[list[dict[str, Any] | None], int]:
        h = (key + v // 2) * M2 & WORD
        return self.buckets.setdefault(h >> self.shift, [None] * 4), (h >> 32 & 0xFE) + v % 2

    def find(self, key: int, v: int) -> dict[str, Any] | None:
        slots, check = self.bucket(key, v)
        return next((slot for slot in slots if slot and slot["check"] == check), None)

    def enter(self, key: int, v: int, leaf: bool, value: int, n: int) -> None:
        slots, check = self.bucket(key, v)
        own = self.find(key, v)
        places = [i for i in range(4) if slots[i] is own] if own else []
        if not places:
            fill = [slot["n"] if slot else 0 for slot in slots]
            places = [fill.index(min(fill))]
        slots[places[0]] = {"check": check, "leaf": leaf, "value": value, "n": min(30, n)}

    def coarse(self, x: int) -> int:
        return ((x - 1) >> max(0, self.depth - 4)) + 1 if x else 0

    def code(self, message: Message, left: int, up: int, b: int | None, e: int | None) -> int:
        """One rank; neighbours are ranks + 1 or 0, and None for streams that there are not."""
        pair = 32 * self.coarse(left) + self.coarse(up)
        values = [left, up, pair, 2**24 * left + up]
        if b is not None:
            values[2:] = [b, 2**24 * b + (pair if e is None else e)]
        walks = []
        for c, x in enumerate(values):
            k = (4 * x + c) * M1 & WORD
            walks.append(
                {"key": (k ^ k >> 32) * M1 & WORD, "on": "nodes", "top": None, "fork": None}
            )
        v, s = 1, []
        for i in range(self.depth):
            if (2 * v + 1 << self.depth - 1 - i) - 2**self.depth >= self.k:
                s.append(0)
                v *= 2
                continue
            s.append(self.p0[v] >> 6)
            v = 2 * v + self.decide(message, walks, v, i, s[i])
        r = v - 2**self.depth
        for walk in walks:
            self.learn(walk, r, s)
        return r

    def decide(self, message: Message, walks: list[dict[str, Any]], v: int, i: int, s: int) -> int:
        base = STRETCH[self.p0[v] >> 10]
        x, used = self.w0[i] * base, []
        for c, walk in enumerate(walks):
            if walk["on"] == "nodes":
                slot = walk["slot"] = self.find(walk["key"], v)
                if slot is None:
                    walk |= {"on": "lost", "top": i}
                elif slot["leaf"]:
                    walk |= {"on": "leaf", "top": i, "rank": slot["value"], "n": slot["n"]}
            n = d = 0
            if walk["on"] == "nodes":
                n = walk["slot"]["n"]
                d = STRETCH[walk["slot"]["value"] >> 4] - base
            elif walk["on"] == "leaf":
                n = walk["n"]
                d = STRETCH[kept(s, self.bit(walk["rank"], i), n) >> 4] - base
            key = (i, c, walk["on"] == "leaf", n)
            used.append((key, d))
            x += self.w.setdefault(key, 39322 * n // (n + 3)) * d
        q = SQUASH[max(-3072, min(3072, x >> 16))]
        b = int(message.quantile() >= 2**24 - q)
        message.take(*((2**24 - q, q) if b else (0, 2**24 - q)))
        err = 2**16 * b - (q >> 8)
        self.w0[i] = bound(self.w0[i] + ((base * err + 2**17) >> 18))
        for walk, (key, d) in zip(walks, used, strict=True):
            self.w[key] = bound(self.w[key] + ((d * err + 2**13) >> 14))
            if walk["on"] == "nodes":
                slot = walk["slot"]
                slot["value"] = moved(slot["value"], b, slot["n"])
                slot["n"] = min(30, slot["n"] + 1)
            elif walk["on"] == "leaf" and self.bit(walk["rank"], i) != b:
                walk |= {"on": "lost", "fork": i}
        change = (b * (2**22 - 1) - self.p0[v]) * (2**17 // (2 * self.n0[v] + 3))
        self.p0[v] += (change + 2**15) >> 16
        self.n0[v] = min(1000, self.n0[v] + 1)
        return b

    def learn(self, walk: dict[str, Any], r: int, s: list[int]) -> None:
        key, top, fork = walk["key"], walk["top"], walk["fork"]
        if walk["on"] == "nodes":
            return
        if fork is None:
            n = walk["n"] + 1 if walk["on"] == "leaf" else 1
            self.enter(key, self.node(r, top), True, r, n)
            return
        other, n = walk["rank"], walk["n"]
        for i in range(top, fork + 1):
            p = moved(kept(s[i], self.bit(other, i), n), self.bit(r, i), n)
            self.enter(key, self.node(r, i), False, p, n + 1)
        if fork + 1 < self.depth:
            self.enter(key, self.node(other, fork + 1), True, other, n)
            self.enter(key, self.node(r, fork + 1), True, r, 1)


def read(
    content: bytes, statistics: Any = None, portable: Any = None, piece: int | None = None
) -> list[list[list[list[int]]]]:
    """For each signal of a file of whole signals, for each book its rows of codes."""
    models, stages, file, kind = _header(Bytes(content))
    more = portable or piece
    signals: list[list[list[list[int]]]] = []
    last, number = False, 0
    while not last:
        start = file.at
        length = file.varint()
        head = Bytes(file.raw(length))
        seed = zlib.crc32(content[: _length(content) - 4] + number.to_bytes(8, "little"))
        assert zlib.crc32(content[start : file.at], seed) == file.fixed(4)
        flags = head.varint()
        assert flags < 2, "parts of signals are left out here"
        last, number = flags == 1, number + 1
        sizes = []
        for _ in range(head.varint()):
            if kind == 4:
                v = head.varint()
                sizes += [(v // 2, 1)] * (2 + head.varint() if v % 2 else 1)
                continue
            count, height, width = (head.varint() for _ in range(3))
            sizes += [(height, width)] * count
        found: list[list[list[list[int]]]] = [[] for _ in sizes]
        chunks = [(head.varint(), head.fixed(4), head.fixed(4)) for _ in stages]
        known: list[tuple[list[tuple[int, int]], list[int]]] = []
        for stage, (size, crc, codes_crc) in zip(stages, chunks, strict=True):
            chunk = file.raw(size)
            assert zlib.crc32(chunk) == crc
            grids = [stage.grid(*one) for one in sizes]
            streams = _decode(models[stage.model], stage, grids, known, chunk, statistics, more)
            plain = b"".join(c.to_bytes(4, "little") for codes in streams for c in codes)
            assert zlib.crc32(plain) == codes_crc
            for codes in streams:
                known.append((grids, codes))
                at = 0
                for rows, (height, width) in zip(found, grids, strict=True):
                    rows.append(
                        [codes[at + y * width : at + (y + 1) * width] for y in range(height)]
                    )
                    at += height * width
        signals += found
    assert file.at == len(content)
    return signals


def profiles(content: bytes, signals: int) -> list[bytes]:
    """The colour profile of each signal, from attachment 4."""
    body, different = Bytes(content), [b""]
    for _ in range(body.varint()):
        different.append(zlib.decompress(body.raw(body.varint())))
    found = [different[body.varint()] for _ in range(signals)]
    assert body.at == len(content)
    return found


def names(content: bytes) -> list[str]:
    """The names of recordings, from attachment 7."""
    body, found, before = Bytes(zlib.decompress(content)), list[str](), b""
    while body.at < len(body.content):
        before = before[: body.varint()]
        while byte := body.raw(1).strip(b"\0"):
            before += byte
        found.append(before.decode())
    return found


def rate(content: bytes) -> int:
    """Samples per second, from attachment 6."""
    body = Bytes(content)
    found = body.varint()
    assert body.at == len(content)
    return found


def _length(content: bytes) -> int:
    return int.from_bytes(content[6:10], "little")


def _header(file: Bytes) -> tuple[list[int], list[Stage], Bytes, int]:
    assert file.raw(6) == b"\x89VCB\1\0"
    length = file.fixed(4)
    crc = zlib.crc32(file.content[: length - 4])
    assert file.content[length - 4 : length] == crc.to_bytes(4, "little")
    file.raw(32)
    kind, channels = file.varint(), file.varint()
    assert kind <= 4 and (channels > 0 or kind == 0)
    models = []
    for _ in range(file.varint()):
        models.append(file.varint())
        file.raw(8)
    total, keep = file.varint(), file.varint()
    stages: list[Stage] = []
    while len(stages) < total:
        count = file.varint()
        assert file.varint() == 0
        model = file.varint()
        strides, factors = ([file.varint(), file.varint()] for _ in range(2))
        symbols: list[int] = []
        for _ in range(file.varint()):
            books, k = file.varint(), file.varint()
            symbols += [k] * books
        stages += [Stage(model, strides, factors, symbols)] * count
    axes, sampled = {0: 2, 1: 2, 2: 0, 4: 1}.get(kind), False
    for _ in range(file.varint()):
        attached, content = file.varint(), file.raw(file.varint())
        if attached == 5:
            assert kind == 3 and axes is None and content[1:].decode().isprintable()
            axes = content[0]
        sampled |= attached == 6
        assert attached != (1 if kind == 4 else 7)
    assert axes is not None and sampled == (kind == 4)
    for stage in stages:
        assert [*stage.strides[axes:], *stage.factors[axes:]] == [1] * 2 * (2 - axes)
    file.raw(4)
    assert file.at == length
    return models, stages[:keep], file, kind


def _decode(
    model: int,
    stage: Stage,
    grids: list[tuple[int, int]],
    before: list[tuple[list[tuple[int, int]], list[int]]],
    chunk: bytes,
    statistics: Any,
    more: Any,
) -> list[list[int]]:
    """The codes of each stream of a stage; `more` is a portable model, or codes of a piece."""
    message, known = Message(chunk), list(before)
    positions = sum(prod(grid) for grid in grids)
    for k in stage.symbols:
        book = len(known)
        counts = [0] * k if statistics is None else statistics.counts[book].tolist()
        order = list(range(k)) if statistics is None else statistics.orders[book].tolist()
        if k == 1:
            codes = [0] * positions
        elif model == 3:
            codes = more.codes(message, book, grids, known)
        elif model == 2:
            codes = _adaptive(message, k, counts, order, grids, known, statistics)
        else:
            both, piece = (table([2 * c + 1 for c in counts]), table([1] * k)), more or positions
            equal = lambda: 1 if model == 0 else message.symbol([0, 2**23, 2**24])  # noqa: E731
            used = [equal() for _ in range(0, positions, piece)]
            codes = [message.symbol(both[used[at // piece]]) for at in range(positions)]
        known.append((grids, codes))
    return [codes for _, codes in known[len(before) :]]


def _adaptive(
    message: Message,
    k: int,
    counts: list[int],
    order: list[int],
    grids: list[tuple[int, int]],
    known: list[tuple[list[tuple[int, int]], list[int]]],
    statistics: Any,
) -> list[int]:
    model = Adaptive(k, [counts[code] for code in order], sum(prod(grid) for grid in grids))
    near: list[list[int]] = []
    for book in range(len(known) - 1, max(-1, len(known) - 3), -1):
        if known[book][0] != grids:
            break
        place = list(range(2**22)) if statistics is None else statistics.ranks[book].tolist()
        near.append([place[code] + 1 for code in known[book][1]])
    ranks: list[int] = []
    for height, width in grids:
        first = len(ranks)
        for y in range(height):
            for x in range(width):
                at = first + y * width + x
                left = ranks[at - 1] + 1 if x else 0
                up = ranks[at - width] + 1 if y else 0
                b = near[0][at] if near else None
                e = near[1][at] if len(near) > 1 else None
                ranks.append(model.code(message, left, up, b, e))
    return [order[rank] for rank in ranks]
