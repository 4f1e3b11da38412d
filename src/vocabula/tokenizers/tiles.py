"""Large signals in tiles: the codes and values of the whole in a fraction of the memory.

::

    +---------------+   the network sees a tile and `context` pixels around it, where the image
    |  context      |   has them; what it makes of those is dropped, so that the results of the
    |   +-------+   |   tiles, side by side, are those of the whole image
    |   | tile  |   |
    |   +-------+   |   a side of the tile at the image's border has the network's own padding
    +---------------+

Tiles begin at multiples of the tokenizer's stride, and no tile is small unless the image is:
convolutions of small maps round differently. A long recording is cut along its one axis likewise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise, product

import torch
from torch import Tensor, nn

from vocabula.budgets import TILE_PIXELS, WHOLE_PIXELS

_LEAST_CONTEXTS = 6
"""Sides of a tile in contexts, at least: with 6, what is computed twice is 7 / 9 of the tile."""


@dataclass(frozen=True, slots=True)
class Range:
    """Pixels of the padded image along one axis, in multiples of the tokenizer's stride.

    Attributes:
        first: of the tile.
        after: the tile, the pixel after its last one.
        seen_first: of what the network sees.
        seen_after: of that, the pixel after its last one.
    """

    first: int
    after: int
    seen_first: int
    seen_after: int

    def codes(self, stride: int | Fraction) -> slice:
        """The tile in positions of `stride` pixels."""
        return slice(self.first // stride, self.after // stride)

    def seen(self, stride: int | Fraction) -> slice:
        """What the network sees in positions of `stride` pixels."""
        return slice(self.seen_first // stride, self.seen_after // stride)

    def kept(self, stride: int | Fraction) -> slice:
        """The tile within what the network sees."""
        return slice(
            (self.first - self.seen_first) // stride, (self.after - self.seen_first) // stride
        )


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile of a signal.

    Attributes:
        ranges: along each axis: height and width, or time.
        size: the extent of what the network sees, without padding.
    """

    ranges: tuple[Range, ...]
    size: tuple[int, ...]

    def at(self, stride: int | Fraction = 1) -> tuple[slice, ...]:
        """The tile in the signal, or in a grid of codes of `stride` elements."""
        return tuple(one.codes(stride) for one in self.ranges)

    def seen(self, stride: int | Fraction = 1) -> tuple[slice, ...]:
        """What the network sees, in the signal or in a grid of codes of `stride` elements."""
        return tuple(one.seen(stride) for one in self.ranges)

    def kept(self, stride: int | Fraction = 1) -> tuple[slice, ...]:
        """The tile within what the network sees, in elements or in positions of `stride`."""
        return tuple(one.kept(stride) for one in self.ranges)


def tiles(size: Sequence[int], stride: int, context: int) -> Iterator[Tile]:
    """The tiles of a signal, row by row.

    Args:
        size: height and width of the image in pixels, or the samples of a recording.
        stride: tiles begin at multiples of it.
        context: elements around a tile that it depends on; rounded up to a multiple of `stride`.

    Example:
        >>> [tile.at() for tile in tiles((100, 4000), 8, 16)][1]
        (slice(0, 104, None), slice(2000, 4000, None))
    """
    around = -(-context // stride) * stride
    if len(size) == 1:
        sides: tuple[int, ...] = (max(TILE_PIXELS, _LEAST_CONTEXTS * around),)
    else:
        side = max(math.isqrt(TILE_PIXELS), _LEAST_CONTEXTS * around)
        short = min(*size, side)
        long = side * side // short  # a long and narrow image has long tiles
        sides = (short, long) if size[0] <= size[1] else (long, short)
    parts = (_ranges(n, side, stride, around) for n, side in zip(size, sides, strict=True))
    for ranges in product(*parts):
        ends = (min(one.seen_after, length) for one, length in zip(ranges, size, strict=True))
        seen = (end - one.seen_first for one, end in zip(ranges, ends, strict=True))
        yield Tile(ranges, tuple(seen))


def _ranges(length: int, side: int, stride: int, around: int) -> list[Range]:
    """An axis in parts of equal length, up to `stride`; none is much longer than `side`."""
    blocks = -(-length // stride)
    parts = min(blocks, -(-length // side))
    borders = [blocks * part // parts * stride for part in range(parts + 1)]
    return [
        Range(first, after, max(0, first - around), min(blocks * stride, after + around))
        for first, after in pairwise(borders)
    ]


def cut_for(
    x: Tensor, size: Sequence[int], module: nn.Module, strides: Sequence[int], *contexts: int | None
) -> list[Tile]:
    """The tiles in which images, or their codes, pass a module; none if they pass whole.

    Tiles are not used in training, for gradients or while the module is compiled, and only on the
    CPU: other devices' libraries choose their algorithm, and its rounding, by image size.

    Args:
        x: the images, or their codes.
        size: height and width of each in pixels, or samples; signals of other axes go in whole.
        module: what they pass, with attention to `contexts`.
        strides: tiles begin at multiples of it.
        contexts: pixels around a part that each network depends on; None is the whole image.
    """
    known = [context for context in contexts if context is not None]
    if (
        torch.compiler.is_compiling()
        or torch.is_grad_enabled()
        or module.training
        or x.device.type != "cpu"
        or len(size) not in (1, 2)
        or math.prod(size) <= WHOLE_PIXELS
        or len(known) < len(contexts)
        or not len(x)
    ):
        return []
    return list(tiles(size, strides[0], sum(known)))


def paint(signals: int, cut: Sequence[Tile], shown: Callable[[int, Tile], Tensor]) -> Tensor:
    """Signals (B, C, *extent) assembled tile by tile.

    Args:
        signals: B.
        cut: the tiles of each.
        shown: for a signal and a tile, what the network makes of all it sees, (1, C, *seen).
    """
    pairs = zip(cut[-1].ranges, cut[-1].size, strict=True)
    extent = [one.seen_first + size for one, size in pairs]
    found: Tensor | None = None
    for number in range(signals):
        for tile in cut:
            part = shown(number, tile)
            if found is None:
                found = part.new_empty(signals, part.shape[1], *extent)
            found[number : number + 1, :, *tile.at()] = part[:, :, *tile.kept()]
    assert found is not None, "there are large signals"
    return found


def gather(
    signals: int,
    cut: Sequence[Tile],
    strides: Sequence[int],
    coded: Callable[[int, Tile], Sequence[Tensor]],
) -> list[Tensor]:
    """Grids (B, *grid, ...) assembled tile by tile.

    Args:
        signals: B.
        cut: the tiles of each.
        strides: elements per position of each grid.
        coded: for a signal and a tile, the grids (1, *grid, ...) of all that the network sees.
            Grids of elements may end where the signal does, before the padding.
    """
    axes = len(cut[-1].ranges)
    found: list[Tensor] = []
    for number in range(signals):
        for tile in cut:
            parts = coded(number, tile)
            if not found:
                for part, s in zip(parts, strides, strict=True):
                    grid = (one.after // s for one in cut[-1].ranges)
                    found.append(part.new_empty(signals, *grid, *part.shape[1 + axes :]))
            for whole, part, stride in zip(found, parts, strides, strict=True):
                kept = part[:, *tile.kept(stride)]
                sizes = kept.shape[1 : 1 + axes]  # elements have no padding at the borders
                starts = zip(tile.at(stride), sizes, strict=True)
                at = (slice(one.start, one.start + size) for one, size in starts)
                whole[number : number + 1, *at] = kept
    return found
