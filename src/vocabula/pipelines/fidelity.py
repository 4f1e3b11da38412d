"""How close compressed pictures are to the originals, measured on a few of their pixels.

Decoding takes as long as encoding, so only tiles of up to `COMPARED_PIXELS` pixels in total are
decoded, spread evenly over all pictures. If there are fewer pixels, all are decoded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vocabula.budgets import COMPARED_PIXELS
from vocabula.codec.layouts import from_signals
from vocabula.codec.writer import CodedSignal
from vocabula.quantizers.dropout import ABSENT
from vocabula.tokenizers import SignalTokenizer
from vocabula.tokenizers.inference import inference
from vocabula.tokenizers.tiles import Range, Tile, tiles


@dataclass(frozen=True, slots=True)
class _Part:
    picture: int
    tile: Tile
    pixels: Tensor
    codes: list[Tensor]


class Fidelity:
    """The peak signal-to-noise ratio of compressed pictures, for `compress_files` to fill in.

    Attributes:
        psnr: PSNR in dB over all measured pixels, infinite if they are exact; None before, and if
            the pictures are too large for a network that sees everything.
        share: fraction of pixels that were measured.
    """

    def __init__(self) -> None:
        self.psnr: float | None = None
        self.share = 0.0
        self._parts: list[_Part] = []
        self._due = self._total = self._seen = 0

    @property
    def words(self) -> str:
        """The result for the last line of a command; empty where nothing was measured."""
        if self.psnr is None:
            return ""
        if math.isinf(self.psnr):
            return "exact pixels"
        about = "" if self.share > 0.999 else f" (on {self.share:.1%} of the pixels)"
        return f"PSNR {self.psnr:.1f} dB{about}"

    def begin(self, tokenizer: SignalTokenizer, sizes: Sequence[tuple[int, int]]) -> None:
        """Say what will be compressed."""
        self._tokenizer, self._parts, self._due = tokenizer, [], 0
        self._total, self._seen = sum(map(math.prod, sizes)), 0
        self._budget = min(self._total, COMPARED_PIXELS)

    def exact(self) -> None:
        """Note that the files hold the exact pixels."""
        self.psnr, self.share = math.inf, 1.0

    def look(self, picture: int, image: Tensor, signal: CodedSignal) -> None:
        """Keep some tiles of a picture (C, H, W), uint8, and their codes."""
        levels: list[Tensor] = []
        self._seen += math.prod(signal.size)
        for tile in self._tiles(signal.size):
            height, width = image[:, *tile.at()].shape[1:]
            self._due += height * width * self._budget
            if self._due < height * width * self._total:
                continue
            self._due -= height * width * self._total
            levels = levels or from_signals([signal], self._tokenizer)
            pairs = zip(levels, self._tokenizer.levels, strict=True)
            codes = [code[0][tile.seen(level.stride)].clone() for code, level in pairs]
            self._parts.append(_Part(picture, tile, image[:, *tile.at()].clone(), codes))

    def finish(self, kept: Callable[[int], int]) -> None:
        """Decode the kept tiles.

        Args:
            kept: the number of streams of codes in a picture's file.
        """
        error, values = 0.0, 0
        with inference(self._tokenizer) as device:
            for left, parts in self._alike(kept):
                grids = zip(*(part.codes for part in parts), strict=True)
                levels = without([torch.stack(codes) for codes in grids], left, self._tokenizer)
                cut = [codes.to(device) for codes in levels]
                tile = parts[0].tile
                inside: tuple[Any, ...] = (..., *tile.kept())
                shown = self._tokenizer.decode_stored(cut, size=tile.size)[inside]
                wanted = torch.stack([part.pixels for part in parts])
                error += float((shown.cpu().float() - wanted).square().sum(dtype=torch.float64))
                values += wanted.numel()
        self._parts = []
        if values:
            mean = error / values
            self.psnr = 10 * math.log10(255**2 / mean) if mean else math.inf
            self.share = values / self._tokenizer.channels / self._seen

    def _tiles(self, size: tuple[int, ...]) -> list[Tile]:
        height, width = size
        context, stride = self._tokenizer.decode_context, self._tokenizer.stride
        if context is not None:
            return list(tiles((height, width), stride, context))
        if height * width > COMPARED_PIXELS:
            return []
        rows, columns = (-(-side // stride) * stride for side in (height, width))
        whole = (Range(0, side, 0, side) for side in (rows, columns))
        return [Tile(tuple(whole), (height, width))]

    def _alike(self, kept: Callable[[int], int]) -> Iterator[tuple[int, list[_Part]]]:
        """Neighbours with equal tiles and streams, with few pixels together."""
        group: list[_Part] = []
        streams = 0
        for part in self._parts:
            mine = kept(part.picture)
            full = (len(group) + 1) * math.prod(part.tile.size) > COMPARED_PIXELS // 4
            if group and (full or mine != streams or part.tile != group[0].tile):
                yield streams, group
                group = []
            group.append(part)
            streams = mine
        if group:
            yield streams, group


def without(levels: list[Tensor], left: int, tokenizer: SignalTokenizer) -> list[Tensor]:
    """Codes of the first `left` books of all levels; the others become absent, in place."""
    first, axes = 0, len(tokenizer.strides)
    for codes, level in zip(levels, tokenizer.levels, strict=True):
        books = len(level.codebook_sizes)
        if first + books > left:
            codes.reshape(*codes.shape[: 1 + axes], books)[..., max(left - first, 0) :] = ABSENT
        first += books
    return levels
