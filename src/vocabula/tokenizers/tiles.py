"""Large images in tiles: the codes and pixels of the whole image in a fraction of the memory.

::

    +---------------+   the network sees a tile and `context` pixels around it, where the image
    |  context      |   has them; what it makes of those is dropped, so that the results of the
    |   +-------+   |   tiles, side by side, are those of the whole image
    |   | tile  |   |
    |   +-------+   |   a side of the tile at the image's border has the network's own padding
    +---------------+

Tiles begin at multiples of the tokenizer's stride, and no tile is small unless the image is:
convolutions of small maps round differently.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

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
    """One tile of an image.

    Attributes:
        rows: along the height.
        columns: along the width.
        size: height and width of what the network sees, without padding.
    """

    rows: Range
    columns: Range
    size: tuple[int, int]

    def at(self, stride: int | Fraction = 1) -> tuple[slice, slice]:
        """The tile in the image, or in a grid of codes of `stride` pixels."""
        return self.rows.codes(stride), self.columns.codes(stride)

    def seen(self, stride: int | Fraction = 1) -> tuple[slice, slice]:
        """What the network sees, in the image or in a grid of codes of `stride` pixels."""
        return self.rows.seen(stride), self.columns.seen(stride)

    def kept(self, stride: int | Fraction = 1) -> tuple[slice, slice]:
        """The tile within what the network sees, in pixels or in positions of `stride` pixels."""
        return self.rows.kept(stride), self.columns.kept(stride)


def tiles(size: Sequence[int], stride: int, context: int) -> Iterator[Tile]:
    """The tiles of an image, row by row.

    Args:
        size: height and width of the image in pixels.
        stride: tiles begin at multiples of it.
        context: pixels around a tile that it depends on; rounded up to a multiple of `stride`.

    Example:
        >>> [tile.at() for tile in tiles((100, 4000), 8, 16)][1]
        (slice(0, 104, None), slice(2000, 4000, None))
    """
    around = -(-context // stride) * stride
    side = max(math.isqrt(TILE_PIXELS), _LEAST_CONTEXTS * around)
    short = min(*size, side)
    long = side * side // short  # a long and narrow image has long tiles
    height, width = (short, long) if size[0] <= size[1] else (long, short)
    for rows in _ranges(size[0], height, stride, around):
        for columns in _ranges(size[1], width, stride, around):
            seen = (
                min(one.seen_after, length) - one.seen_first
                for one, length in zip((rows, columns), size, strict=True)
            )
            yield Tile(rows, columns, (next(seen), next(seen)))


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
        size: height and width of each in pixels; signals of other axes go in whole.
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
        or len(size) != 2
        or math.prod(size) <= WHOLE_PIXELS
        or len(known) < len(contexts)
        or not len(x)
    ):
        return []
    return list(tiles(size, strides[0], sum(known)))


def paint(images: int, cut: Sequence[Tile], shown: Callable[[int, Tile], Tensor]) -> Tensor:
    """Images (B, C, H, W) assembled tile by tile.

    Args:
        images: B.
        cut: the tiles of each.
        shown: for an image and a tile, what the network makes of all it sees, (1, C, h, w).
    """
    height, width = cut[-1].rows.seen_first, cut[-1].columns.seen_first
    height, width = height + cut[-1].size[0], width + cut[-1].size[1]
    found: Tensor | None = None
    for image in range(images):
        for tile in cut:
            part = shown(image, tile)
            if found is None:
                found = part.new_empty(images, part.shape[1], height, width)
            (top, left), (rows, columns) = tile.at(), tile.kept()
            found[image : image + 1, :, top, left] = part[:, :, rows, columns]
    assert found is not None, "there are large images"
    return found


def gather(
    images: int,
    cut: Sequence[Tile],
    strides: Sequence[int],
    coded: Callable[[int, Tile], Sequence[Tensor]],
) -> list[Tensor]:
    """Grids (B, h, w, ...) assembled tile by tile.

    Args:
        images: B.
        cut: the tiles of each.
        strides: pixels per position of each grid.
        coded: for an image and a tile, the grids (1, h, w, ...) of all that the network sees.
            Grids of pixels may end where the image does, before the padding.
    """
    found: list[Tensor] = []
    for image in range(images):
        for tile in cut:
            parts = coded(image, tile)
            if not found:
                last = cut[-1]
                for part, s in zip(parts, strides, strict=True):
                    grid = last.rows.after // s, last.columns.after // s
                    found.append(part.new_empty(images, *grid, *part.shape[3:]))
            for whole, part, stride in zip(found, parts, strides, strict=True):
                (top, left), kept = tile.at(stride), part[:, *tile.kept(stride)]
                rows, columns = kept.shape[1:3]  # pixels have no padding at the borders
                at = (slice(top.start, top.start + rows), slice(left.start, left.start + columns))
                whole[image : image + 1, *at] = kept
    return found
