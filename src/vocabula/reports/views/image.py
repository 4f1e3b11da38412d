"""The view of images: pictures beside their reconstructions, and what codewords decode to."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vocabula.data import ImageSource, Source
from vocabula.data.source import Sample
from vocabula.evaluation.metrics.similarity import mse, psnr
from vocabula.evaluation.result import Evaluation
from vocabula.evaluation.rival import Rival
from vocabula.reports.gallery import make_galleries
from vocabula.reports.pictures import to_array
from vocabula.reports.samples import Compared, DrawnRows
from vocabula.reports.views.base import View
from vocabula.reports.views.image_examples import (
    LARGEST_SIDE,
    Example,
    known_of,
    make_examples,
    picture_of,
)
from vocabula.reports.views.image_samples import comparison, sample_sheets
from vocabula.signals import Condition, Image
from vocabula.tokenizers import SignalTokenizer
from vocabula.tokenizers.inference import inference


class ImageView(View):
    """Pictures of images (B, C, H, W)."""

    templates = ("views/image.html.jinja",)
    sample_templates = ("views/image_samples.html.jinja",)
    nearness = "pixels"

    def sections(
        self,
        tokenizer: SignalTokenizer,
        source: Source,
        result: Evaluation,
        *,
        examples: int,
        beside: Callable[[NDArray[np.uint8]], Rival] | None = None,
        progress: bool = False,
    ) -> dict[str, Any]:
        """Pictures with their reconstructions, errors and codes, and what each level holds."""
        assert isinstance(source, ImageSource), "images have image sources"
        return _reconstructions(tokenizer, source, result, examples, beside, progress)

    def codewords(self, tokenizer: SignalTokenizer, result: Evaluation) -> dict[str, Any]:
        """A patch for each of the most used codewords."""
        if not result.histograms:
            return super().codewords(tokenizer, result)
        return {
            "galleries": make_galleries(tokenizer, result.histograms),
            "gallery_note": "Each patch is decoded from a field of one repeated code. Below it: "
            "the code and its share of all codes."
            + (
                " The other books are held at their most used codeword."
                if len(result.books) > 1
                else ""
            ),
        }

    def samples(self, drawn: DrawnRows, compared: Sequence[Compared]) -> dict[str, Any]:
        """A sheet of samples for each row, and pictures of the nearest training images."""
        return {
            "rows": sample_sheets(drawn),
            "comparisons": [comparison(one) for one in compared],
        }

    def compared(
        self, tokenizers: Mapping[str, SignalTokenizer], source: Source, count: int
    ) -> list[Any]:
        """Evenly spaced examples, each with every tokenizer's reconstruction."""
        assert isinstance(source, ImageSource), "images have image sources"
        wanted = np.unique(np.linspace(0, len(source) - 1, min(count, len(source))).round())
        samples = {sample.index: sample for sample in (source.read(int(i)) for i in wanted)}
        return [_compared(tokenizers, one, source) for one in samples.values()]


def _reconstructions(
    tokenizer: SignalTokenizer,
    source: ImageSource,
    result: Evaluation,
    count: int,
    beside: Callable[[NDArray[np.uint8]], Rival] | None,
    progress: bool,
) -> dict[str, Any]:
    scale = min(1.0, max(0.02, 4 * math.sqrt(result.mse)))
    note = (
        f"Error maps run from black (none) to white ({scale:.2f} of the full range, mean over "
        "channels). "
    )
    if result.books:
        note += "In code maps each colour is one code. "
    note += f"Pictures with a side above {LARGEST_SIDE} pixels are scaled down for this page."
    if beside is not None:
        note += " The other format's file is the largest that takes at most as many bytes."
    examples = make_examples(
        tokenizer,
        source,
        count,
        scale=scale,
        mean_values=result.mean_values,
        beside=beside,
        progress=progress,
    )
    return {
        "examples": examples,
        "compact": all(picture.pixels for e in examples for picture in e.pictures),
        "examples_note": note,
        **_levels(result, examples),
    }


def _levels(result: Evaluation, examples: Sequence[Example]) -> dict[str, Any]:
    """The cost and contribution of each of several levels; an empty list for a single level."""
    rows = [
        {
            "name": level.name,
            "stride": f"{level.stride} x {level.stride}",
            "bits": f"{level.code_bits:.4f}",
            "usage": f"{level.usage:.1%}",
            "perplexity": f"{level.perplexity:.1f}",
            "ablated": f"{fmean(example.ablated[i] for example in examples):.2f} dB",
        }
        for i, level in enumerate(result.levels)
    ]
    note = (
        "Without a level means: its values replaced by their mean over all these images, the other "
        "levels' codes as they were. What is then missing in the pictures above is what the level "
        f"holds. The last column is the mean over the {len(examples)} images above."
    )
    return {"levels": rows, "levels_note": note}


def _compared(
    tokenizers: Mapping[str, SignalTokenizer], sample: Sample, source: ImageSource
) -> Example:
    image = torch.from_numpy(np.ascontiguousarray(sample.image.transpose(2, 0, 1)))[None]
    height, width = image.shape[-2:]
    pictures = [picture_of(to_array(Image().to_values(image)[0]), "original", part="original")]
    for name, tokenizer in tokenizers.items():
        output, found = _reconstructed(tokenizer, image, known_of(tokenizer, sample, source))
        pictures.append(picture_of(to_array(output[0]), f"{name}, PSNR {found:.2f} dB"))
    return Example(sample.path, f"{width} x {height} px", pictures, [])


def _reconstructed(
    tokenizer: SignalTokenizer, image: Tensor, condition: Condition | None
) -> tuple[Tensor, float]:
    with inference(tokenizer) as device:
        x = tokenizer.signal.to_values(image.to(device))
        output = tokenizer.reconstruct(x, condition=condition)
        return output, float(psnr(mse(output, x))[0])
