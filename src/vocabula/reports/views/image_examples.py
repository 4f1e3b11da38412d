"""Some images of a source beside their reconstructions, errors and codes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vocabula.data import ImageSource, Sample
from vocabula.evaluation.ablation import without_each_level
from vocabula.evaluation.counting import counted
from vocabula.evaluation.histogram import books_of
from vocabula.evaluation.metrics.similarity import mse, psnr, ssim
from vocabula.evaluation.rival import Rival
from vocabula.reports.pictures import code_colours, data_uri, error_map, shrink, to_array
from vocabula.signals import Condition, Image
from vocabula.signals.attributes import CLASS, NOT_GIVEN
from vocabula.tokenizers import CodeLevel, SignalTokenizer
from vocabula.tokenizers.inference import inference
from vocabula.types import Reconstruction

LARGEST_SIDE = 768
"""Larger pictures are scaled down to this side for the page, in pixels."""
SHARP_SIDE = 128
"""Pictures up to this side are stored without loss and drawn with square pixels."""
MOST_BOOKS = 4
"""Books whose code maps are drawn."""
_QUALITY = 92


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture on the page.

    Attributes:
        uri: a data URI.
        caption: the text below it.
        pixels: whether its pixels stay sharp squares.
        part: ``original`` or ``reconstruction``, which the page's slider joins; otherwise empty.
    """

    uri: str
    caption: str
    pixels: bool
    part: str = ""


@dataclass(frozen=True, slots=True)
class Example:
    """One image with its reconstruction, error map, code maps and ablations.

    Attributes:
        path: where the image came from.
        caption: its size and how close the reconstruction is.
        pictures: the pictures shown.
        ablated: PSNR in dB without each of several levels; empty for a single level.
    """

    path: str
    caption: str
    pictures: list[Picture]
    ablated: list[float]


def make_examples(
    tokenizer: SignalTokenizer,
    source: ImageSource,
    count: int,
    *,
    scale: float,
    mean_values: Sequence[Tensor] = (),
    beside: Callable[[NDArray[np.uint8]], Rival] | None = None,
    progress: bool = False,
) -> list[Example]:
    """Evenly spaced examples of the source.

    Args:
        tokenizer: the tokenizer.
        source: the images.
        count: number of examples at most.
        scale: absolute error on [0, 1] that the error maps draw white.
        mean_values: (D,) of each level, as `Evaluation.mean_values` has them: with several levels,
            each example is also decoded with one level's values replaced by their mean.
        beside: gives the rival of a picture (H, W, C), to show beside the reconstruction.
        progress: show a progress bar on a terminal.
    """
    wanted = np.unique(np.linspace(0, len(source) - 1, min(count, len(source))).round())
    samples = [source.read(int(index)) for index in wanted]
    distinct = {sample.index: sample for sample in samples}  # broken ones hand out a neighbour
    examples = []
    with (
        inference(tokenizer) as device,
        counted("drawing examples", len(distinct), show=progress) as advance,
    ):
        for one in distinct.values():
            examples.append(
                _example(
                    tokenizer,
                    one,
                    known_of(tokenizer, one, source),
                    device,
                    scale,
                    mean_values,
                    beside,
                )
            )
            advance(1)
    return examples


def _example(
    tokenizer: SignalTokenizer,
    sample: Sample,
    condition: Condition | None,
    device: torch.device,
    scale: float,
    mean_values: Sequence[Tensor],
    beside: Callable[[NDArray[np.uint8]], Rival] | None,
) -> Example:
    image = torch.from_numpy(np.ascontiguousarray(sample.image.transpose(2, 0, 1)))[None]
    x = tokenizer.signal.to_values(image.to(device))
    height, width = x.shape[-2:]
    found = tokenizer.analyse(x, condition=condition)
    output = found.output
    error, similarity = mse(output, x), float(ssim(output, x)[0])
    caption = f"{width} x {height} px, PSNR {float(psnr(error)[0]):.2f} dB, SSIM {similarity:.3f}"
    original, decoded = to_array(x[0]), to_array(output[0])
    rival = None if beside is None else beside(sample.image)
    size = "" if rival is None else f", {rival.own_bytes:,} bytes as a file"
    pictures = [
        picture_of(original, "original", part="original"),
        picture_of(decoded, f"reconstruction{size}", part="reconstruction"),
        *([] if rival is None else [_rival_picture(rival, x)]),
        picture_of(error_map(decoded, original, scale=scale), "error"),
        *_code_maps(tokenizer.levels, found),
    ]
    ablated = []
    each = without_each_level(tokenizer, found, x.shape[-2:], mean_values, condition)
    for level, picture in each:
        ablated.append(float(psnr(mse(picture, x))[0]))
        name = f"without {level.title}, PSNR {ablated[-1]:.2f} dB"
        pictures.append(picture_of(to_array(picture[0]), name))
    return Example(sample.path, caption, pictures, ablated)


def known_of(tokenizer: SignalTokenizer, sample: Sample, source: ImageSource) -> Condition | None:
    """The condition of one image of a source; None where the decoder takes none."""
    label = torch.tensor([NOT_GIVEN if sample.label is None else sample.label])
    return tokenizer.known({CLASS: label}, source.names)


def _rival_picture(rival: Rival, x: Tensor) -> Picture:
    """The rival's picture with its size and PSNR; x (1, C, H, W) is the original."""
    found = torch.from_numpy(rival.pixels.copy()).permute(2, 0, 1)[None].to(x.device)
    values = Image().to_values(found)
    error = float(psnr(mse(values, x))[0])
    smallest = "smallest " if rival.bytes > rival.own_bytes else ""
    caption = f"{smallest}{rival.name}, {rival.bytes:,} bytes, PSNR {error:.2f} dB"
    return picture_of(to_array(values[0]), caption)


def picture_of(pixels: np.ndarray, caption: str, *, part: str = "") -> Picture:
    """A picture (H, W, 3) uint8 for the page, scaled down if it is large."""
    small = shrink(pixels, LARGEST_SIDE)
    sharp = max(small.shape[:2]) <= SHARP_SIDE
    uri = data_uri(small, quality=None if sharp else _QUALITY)
    return Picture(uri, caption, sharp, part)


def _code_maps(levels: Sequence[CodeLevel], found: Reconstruction) -> list[Picture]:
    """One map per book of every level, one pixel per code; none for a continuous bottleneck."""
    return [
        picture
        for level, result in zip(levels, found.levels, strict=True)
        for picture in _level_maps(level, result.codes)
    ]


def _level_maps(level: CodeLevel, codes: Tensor) -> list[Picture]:
    if not level.codebook_sizes:
        return []
    books = len(level.codebook_sizes)
    names = level.book_names() if level.name or books > 1 else [""]
    grid = codes.shape[1:3]
    maps = []
    for name, book in list(zip(names, books_of(codes, books), strict=True))[:MOST_BOOKS]:
        colours = code_colours(book.reshape(grid).cpu().numpy())
        caption = f"codes{' of ' if name else ''}{name}, {grid[1]} x {grid[0]}"
        maps.append(Picture(data_uri(shrink(colours, LARGEST_SIDE)), caption, pixels=True))
    return maps
