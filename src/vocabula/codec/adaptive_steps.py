"""The adaptive model in plain Python, step by step: the reference of the compiled kernel.

Without the compiled kernel it serves instead, about a thousand times slower; the tests ensure that
its decisions are the same.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vocabula.codec.tree import SQUASH_END, squash_table, stretch_table

if TYPE_CHECKING:
    from vocabula.codec.adaptive_stream import AdaptiveStream

TOTAL = 1 << 24
"""What the probabilities of a decision add up to."""
WAYS, SEEN, OWN_SEEN, LARGEST_WEIGHT = 4, 30, 1000, 1 << 21
_MIX, _MIX_NODE, _WORD = 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93, (1 << 64) - 1

Codes = NDArray[np.uint32]
Decide = Callable[[int, int], int]
"""Codes one decision: (probability of 1 in 2^24, outcome if known) -> outcome."""


class _Kind(enum.Enum):
    EMPTY, NODE, LEAF = range(3)


@dataclass(slots=True)
class _Slot:
    """A context's history below a node: the probability of 1 in 2^16, or a single rank."""

    kind: _Kind
    value: int
    seen: int
    check: int


@dataclass(slots=True)
class _Walk:
    """How far one context has come down the tree for one code."""

    key: int
    kind: _Kind = _Kind.NODE
    at: _Slot | None = None
    top: int = 0
    fork: int = -1
    rank: int = 0
    seen: int = 0


class _Steps:
    """The state of the model for one stream; `decide` codes each decision.

    Args:
        stream: the stream.
        decide: encodes the outcome that it is given, or decodes one.
    """

    def __init__(self, stream: AdaptiveStream, decide: Decide) -> None:
        self._stream, self._decide = stream, decide
        self._own, self._own_seen = stream.own.tolist(), stream.own_seen.tolist()
        self._squash, self._stretch = squash_table().tolist(), stretch_table().tolist()
        self._buckets: dict[int, list[_Slot | None]] = {}
        self._shift = 64 - ((stream.slots // WAYS).bit_length() - 1)
        weights = [39322 * n // (n + 3) for n in range(SEEN + 1)]
        self._own_weight = [65536] * stream.bits
        self._weight = [
            [[list(weights), list(weights)] for _ in range(4)] for _ in range(stream.bits)
        ]
        self._start = [0] * stream.bits  # own probability in 2^16 at each level of one code

    def run(self, ranks: Codes) -> None:
        """Code all ranks in place."""
        stream = self._stream
        for at, left, above in _neighbours(stream.grids):
            keys = self._keys(
                0 if left is None else int(ranks[left]) + 1,
                0 if above is None else int(ranks[above]) + 1,
                0 if stream.before is None else int(stream.before[at]) + 1,
                0 if stream.earlier is None else int(stream.earlier[at]) + 1,
            )
            ranks[at] = self._rank([_Walk(key) for key in keys], int(ranks[at]))

    def _keys(self, left: int, above: int, before: int, earlier: int) -> list[int]:
        pair = self._coarse(left) << 5 | self._coarse(above)
        third, fourth = pair, left << 24 | above
        if self._stream.before is not None:
            third = before
            fourth = before << 24 | (pair if self._stream.earlier is None else earlier)
        keys = []
        for c, value in enumerate((left, above, third, fourth)):
            key = (value << 2 | c) * _MIX & _WORD
            keys.append((key ^ key >> 32) * _MIX & _WORD)
        return keys

    def _coarse(self, neighbour: int) -> int:
        return (neighbour - 1 >> max(0, self._stream.bits - 4)) + 1 if neighbour else 0

    def _rank(self, walks: list[_Walk], rank: int) -> int:
        stream, node = self._stream, 1
        for level in range(stream.bits):
            below = stream.bits - 1 - level
            if (2 * node + 1 << below) - (1 << stream.bits) >= stream.symbols:
                self._start[level] = 0
                node *= 2
            else:
                node = 2 * node + self._step(level, node, walks, rank >> below & 1)
        rank = node - (1 << stream.bits)
        for walk in walks:
            self._enter(walk, rank)
        return rank

    def _step(self, level: int, node: int, walks: list[_Walk], outcome: int) -> int:
        own = self._own[node]
        base, total = self._stretch[own >> 10], self._own_weight[level] * self._stretch[own >> 10]
        self._start[level] = own >> 6
        used: list[tuple[list[int], int, int]] = []  # weights, index into them, input
        for c, walk in enumerate(walks):
            one, seen = self._predict(walk, level, node)
            value = self._stretch[one >> 4] - base if seen else 0
            weights = self._weight[level][c][walk.kind is _Kind.LEAF]
            used.append((weights, seen, value))
            total += weights[seen] * value
        one = self._squash[max(-SQUASH_END, min(SQUASH_END, total >> 16)) + SQUASH_END]
        outcome = self._decide(one, outcome)
        error = outcome * 65536 - (one >> 8)
        self._own_weight[level] = _bounded(
            self._own_weight[level] + (base * error + (1 << 17) >> 18)
        )
        for walk, (weights, seen, value) in zip(walks, used, strict=True):
            weights[seen] = _bounded(weights[seen] + (value * error + (1 << 13) >> 14))
            self._follow(walk, level, outcome)
        times = self._own_seen[node]
        change = (outcome * 4194303 - own) * (131072 // (2 * times + 3))
        self._own[node] = own + (change + (1 << 15) >> 16)
        self._own_seen[node] = min(OWN_SEEN, times + 1)
        return outcome

    def _bit(self, rank: int, level: int) -> int:
        return rank >> (self._stream.bits - 1 - level) & 1

    def _predict(self, walk: _Walk, level: int, node: int) -> tuple[int, int]:
        """A context's probability of 1 in 2^16, and how often it has been at this node."""
        if walk.kind is _Kind.NODE:
            walk.at = self._find(walk.key, node)
            walk.kind = _Kind.EMPTY if walk.at is None else walk.at.kind
            if walk.kind is not _Kind.NODE:
                walk.top = level
            if walk.at is not None and walk.kind is _Kind.LEAF:
                walk.rank, walk.seen = walk.at.value, walk.at.seen
        if walk.kind is _Kind.EMPTY:
            return self._start[level], 0
        if walk.kind is _Kind.NODE and walk.at is not None:
            return walk.at.value, walk.at.seen
        outcome = self._bit(walk.rank, level)
        return _repeated(self._start[level], outcome, walk.seen), walk.seen

    def _follow(self, walk: _Walk, level: int, outcome: int) -> None:
        if walk.kind is _Kind.NODE and walk.at is not None:
            walk.at.value = _learned(walk.at.value, outcome, walk.at.seen)
            walk.at.seen = min(SEEN, walk.at.seen + 1)
        elif walk.kind is _Kind.LEAF and self._bit(walk.rank, level) != outcome:
            walk.kind, walk.fork = _Kind.EMPTY, level

    def _enter(self, walk: _Walk, rank: int) -> None:
        """Enter a whole code into a context, where its walk left the nodes that it knows."""
        if walk.kind is _Kind.NODE:
            return
        if walk.fork < 0:
            seen = walk.seen + 1 if walk.kind is _Kind.LEAF else 1
            self._insert(walk.key, self._node(rank, walk.top), _Kind.LEAF, rank, seen)
            return
        for level in range(walk.top, walk.fork + 1):
            outcome = self._bit(rank, level)
            expected = outcome if level < walk.fork else 1 - outcome
            one = _repeated(self._start[level], expected, walk.seen)
            one = _learned(one, outcome, walk.seen)
            self._insert(walk.key, self._node(rank, level), _Kind.NODE, one, walk.seen + 1)
        child = walk.fork + 1
        if child < self._stream.bits:
            node = self._node(walk.rank, child)
            self._insert(walk.key, node, _Kind.LEAF, walk.rank, walk.seen)
            self._insert(walk.key, self._node(rank, child), _Kind.LEAF, rank, 1)

    def _node(self, rank: int, level: int) -> int:
        bits = self._stream.bits
        return (1 << bits) + rank >> bits - level

    def _bucket(self, key: int, node: int) -> tuple[list[_Slot | None], int]:
        hashed = (key + node // 2) * _MIX_NODE & _WORD
        slots = self._buckets.setdefault(hashed >> self._shift, [None] * WAYS)
        return slots, hashed >> 32 & 0xFE | node & 1

    def _find(self, key: int, node: int) -> _Slot | None:
        slots, check = self._bucket(key, node)
        return next((slot for slot in slots if slot is not None and slot.check == check), None)

    def _insert(self, key: int, node: int, kind: _Kind, value: int, seen: int) -> None:
        slots, check = self._bucket(key, node)
        seen = min(SEEN, seen)
        own = self._find(key, node)
        if own is not None:  # in place: another walk may be looking at it
            own.kind, own.value, own.seen = kind, value, seen
            return
        place = min(range(WAYS), key=lambda w: 0 if (at := slots[w]) is None else at.seen)
        slots[place] = _Slot(kind, value, seen, check)


def _repeated(start: int, outcome: int, seen: int) -> int:
    """Probability of 1 in 2^16 after `seen` times the same outcome, begun at `start`."""
    part = 65536 // (seen + 1)
    return 65535 - ((65535 - start) * part >> 16) if outcome else start * part >> 16


def _learned(one: int, outcome: int, seen: int) -> int:
    """Probability of 1 in 2^16 after one more outcome."""
    return one + ((outcome * 65535 - one) * (65536 // (seen + 2)) + (1 << 15) >> 16)


def run_steps(stream: AdaptiveStream, ranks: Codes, decide: Decide) -> None:
    """Code the ranks (positions,) of a stream in place, every decision through `decide`.

    Args:
        stream: the stream.
        ranks: what to encode, or zeros that decoding fills.
        decide: encodes the outcome that it is given, or decodes one.
    """
    _Steps(stream, decide).run(ranks)


def _neighbours(grids: NDArray[np.int64]) -> Iterator[tuple[int, int | None, int | None]]:
    """Each position in order, with its left and upper neighbours where its grid has them."""
    at = 0
    for count, height, width in grids.tolist():
        for row in range(count * height):
            for x in range(width):
                yield at, at - 1 if x else None, at - width if row % height else None
                at += 1


def _bounded(weight: int) -> int:
    return max(-LARGEST_WEIGHT, min(LARGEST_WEIGHT, weight))
