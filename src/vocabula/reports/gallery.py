"""The picture of each codeword alone: a patch in which all codes are the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vocabula.budgets import BATCH_PIXELS
from vocabula.evaluation.histogram import CodeHistogram
from vocabula.reports.pictures import data_uri, to_array
from vocabula.tokenizers import CodeLevel, SignalTokenizer
from vocabula.tokenizers.inference import inference

MOST_CODEWORDS = 256
"""Codewords shown of a book, the most used ones."""
MOST_BOOKS = 4
"""Books of each level that get a gallery."""
_GRID = 5  # coarsest codes along a patch's side; the outer ring, where padding shows, is cut off
_RING = 1


@dataclass(frozen=True, slots=True)
class Patch:
    """One codeword: its code, how often it was used, and a picture of what it decodes to."""

    code: int
    count: int
    share: str
    uri: str


@dataclass(frozen=True, slots=True)
class Gallery:
    """The most used codewords of one book."""

    title: str
    patches: list[Patch]


def make_galleries(
    tokenizer: SignalTokenizer, histograms: Sequence[CodeHistogram]
) -> list[Gallery]:
    """A gallery for each of the first books of every level, most used codewords first.

    With several books, the other books are held at their most used codeword.

    Args:
        tokenizer: a tokenizer with a codebook.
        histograms: the counts of each book, as `Evaluation.histograms` has them.
    """
    names = [name for level in tokenizer.levels for name in level.book_names()]
    ranked = [histogram.ranked() for histogram in histograms]
    usual = [int(codes[0]) if len(codes) else 0 for codes, _ in ranked]
    galleries = []
    for book in _shown(tokenizer.levels):
        codes, counts = ranked[book]
        shown = codes[:MOST_CODEWORDS]
        pictures = _decode(tokenizer, shown, book, usual)
        patches = [
            Patch(code, count, f"{count / histograms[book].total:.2%}", data_uri(to_array(picture)))
            for code, count, picture in zip(shown.tolist(), counts.tolist(), pictures, strict=False)
        ]
        name = f"{names[book].capitalize()}: the" if len(ranked) > 1 else "The"
        title = f"{name} {len(patches)} most used of {len(codes)} codewords in use"
        galleries.append(Gallery(title, patches))
    return galleries


def _shown(levels: Sequence[CodeLevel]) -> Iterator[int]:
    """The indices, among the books of all levels, of books that get a gallery."""
    first = 0
    for level in levels:
        books = len(level.codebook_sizes)
        yield from range(first, first + min(books, MOST_BOOKS))
        first += books


def _decode(tokenizer: SignalTokenizer, codes: Tensor, book: int, usual: Sequence[int]) -> Tensor:
    """Patches (N, C, side, side) of codes (N,) of one book."""
    stride = tokenizer.stride
    at_once = max(1, BATCH_PIXELS // (_GRID * stride) ** 2)
    inner = slice(_RING * stride, (_GRID - _RING) * stride)
    parts = []
    with inference(tokenizer) as device:
        for part in codes.split(at_once):
            joint = torch.tensor(usual).repeat(len(part), 1)
            joint[:, book] = part
            levels = _fields(tokenizer, joint.to(device))
            parts.append(
                tokenizer.decode(levels, tokenizer.first_values(len(part)))[..., inner, inner].cpu()
            )
    return torch.cat(parts) if parts else torch.empty(0)


def _fields(tokenizer: SignalTokenizer, joint: Tensor) -> list[Tensor]:
    """The codes of every level, (N, h, w, *code_shape), that repeat joint (N, all books)."""
    side = _GRID * tokenizer.stride
    grids = tokenizer.grids(side, side)
    books = joint.split([len(level.codebook_sizes) for level in tokenizer.levels], dim=1)
    return [
        own.reshape(len(own), 1, 1, *level.code_shape).expand(-1, *grid, *level.code_shape)
        for level, own, grid in zip(tokenizer.levels, books, grids, strict=True)
    ]
