"""Some images of a source beside their reconstructions, errors and codes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vocabula.data import ImageSource, Sample
from vocabula.evaluation.batches import as_unit
from vocabula.evaluation.histogram import books_of
from vocabula.evaluation.metrics import mse, psnr, ssim
from vocabula.evaluation.pictures import code_colours, data_uri, error_map, shrink, to_array
from vocabula.quantizers.base import Quantizer
from vocabula.tokenizers import Tokenizer
from vocabula.tokenizers.inference import inference

LARGEST_SIDE = 512
"""Larger pictures are scaled down to this side for the page, in pixels."""
SHARP_SIDE = 128
"""Pictures up to this side are stored without loss and drawn with square pixels."""
MOST_BOOKS = 4
"""Books whose code maps are drawn."""
_QUALITY = 92


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture on the page: a data URI, its caption, and whether its pixels stay square."""

    uri: str
    caption: str
    pixels: bool


@dataclass(frozen=True, slots=True)
class Example:
    """One image with its reconstruction, error map and code maps."""

    path: str
    caption: str
    pictures: list[Picture]


def make_examples(
    tokenizer: Tokenizer, source: ImageSource, count: int, *, scale: float
) -> list[Example]:
    """Examples at even distances over the source.

    Args:
        tokenizer: the tokenizer.
        source: the images.
        count: number of examples at most.
        scale: absolute error, on [0, 1], that the error maps draw white.
    """
    wanted = np.unique(np.linspace(0, len(source) - 1, min(count, len(source))).round())
    samples = [source.read(int(index)) for index in wanted]
    distinct = {sample.index: sample for sample in samples}  # broken ones hand out a neighbour
    with inference(tokenizer) as device:
        return [_example(tokenizer, s, device, scale) for s in distinct.values()]


def _example(tokenizer: Tokenizer, sample: Sample, device: torch.device, scale: float) -> Example:
    image = torch.from_numpy(np.ascontiguousarray(sample.image.transpose(2, 0, 1)))[None]
    x = as_unit(image.to(device))
    height, width = x.shape[-2:]
    found = tokenizer.analyse(x)
    output = found.output
    error, similarity = mse(output, x), float(ssim(output, x)[0])
    caption = f"{width} x {height} px, PSNR {float(psnr(error)[0]):.2f} dB, SSIM {similarity:.3f}"
    original, decoded = to_array(x[0]), to_array(output[0])
    pictures = [
        _picture(original, "original"),
        _picture(decoded, "reconstruction"),
        _picture(error_map(decoded, original, scale=scale), "error"),
        *_code_maps(tokenizer, found.codes),
    ]
    return Example(sample.path, caption, pictures)


def _picture(pixels: np.ndarray, caption: str) -> Picture:
    small = shrink(pixels, LARGEST_SIDE)
    sharp = max(small.shape[:2]) <= SHARP_SIDE
    uri = data_uri(small, quality=None if sharp else _QUALITY)
    return Picture(uri, caption, sharp)


def _code_maps(tokenizer: Tokenizer, codes: Tensor | None) -> list[Picture]:
    """One map a book, a pixel a code; none for a continuous bottleneck."""
    if codes is None or not isinstance(tokenizer.quantizer, Quantizer):
        return []
    books = tokenizer.quantizer.books
    grid = codes.shape[1:3]
    maps = []
    for i, book in enumerate(books_of(codes, books)[:MOST_BOOKS]):
        name = "codes" if books == 1 else f"codes of book {i + 1}"
        colours = code_colours(book.reshape(grid).cpu().numpy())
        caption = f"{name}, {grid[1]} x {grid[0]}"
        maps.append(Picture(data_uri(shrink(colours, LARGEST_SIDE)), caption, pixels=True))
    return maps
