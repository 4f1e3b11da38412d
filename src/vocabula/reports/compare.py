"""Several tokenizers on the same images: one table, and one page with pictures side by side."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from vocabula.data import ImageSource
from vocabula.errors import OptionError
from vocabula.evaluation.batches import as_unit
from vocabula.evaluation.measurement import evaluate
from vocabula.evaluation.metrics.base import in_form
from vocabula.evaluation.metrics.image import mse, psnr
from vocabula.evaluation.result import Evaluation
from vocabula.files import check_new_file, new_file
from vocabula.reports.examples import Example, picture_of
from vocabula.reports.page import render, versions
from vocabula.reports.pictures import to_array
from vocabula.reports.plots import points
from vocabula.tokenizers import SignalTokenizer
from vocabula.tokenizers.inference import inference

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = ("run", "parameters", "code bits/pixel", "PSNR, dB", "SSIM", "usage", "perplexity")


@dataclass(frozen=True, slots=True)
class Compared:
    """One of several tokenizers.

    Attributes:
        name: how it is called, such as its folder.
        figures: its measured figures.
        parameters: number of values that it learned.
        fingerprint: the hash that identifies it.
    """

    name: str
    figures: Evaluation
    parameters: int
    fingerprint: str

    def cells(self) -> tuple[str, ...]:
        """The row of the table, in the order of `COLUMNS`; a VAE has no codes."""
        found = self.figures
        return (
            self.name,
            f"{self.parameters:,}",
            in_form(found.code_bits_per_pixel, ".3f"),
            f"{found.psnr:.2f}",
            f"{found.ssim:.4f}",
            in_form(found.usage, ".1%"),
            in_form(found.perplexity, ".1f"),
        )

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain data for JSON."""
        about = {
            "run": self.name,
            "fingerprint": self.fingerprint,
            "parameters": self.parameters,
        }
        return {**about, **self.figures.to_dict()}


def compare_tokenizers(
    tokenizers: Mapping[str, SignalTokenizer],
    source: ImageSource,
    *,
    batch_size: int = 64,
    limit: int | None = None,
    workers: int | None = None,
    progress: bool = False,
) -> list[Compared]:
    """Measure several tokenizers on the same images.

    Args:
        tokenizers: at least two, by name.
        source: the images, with the tokenizers' number of channels.
        batch_size: most images of a batch.
        limit: measure the first `limit` images only.
        workers: threads that decode ahead; None takes one for each core, 0 decodes in this one.
        progress: show a progress bar on a terminal.

    Raises:
        OptionError: there are fewer than two, or their channels differ.
        DataError: no image can be read, or the channels differ from the tokenizers'.
    """
    if len(tokenizers) < 2:
        raise OptionError(
            f"compare: expected two or more tokenizers, got {len(tokenizers)}; use evaluate for one"
        )
    channels = {name: tokenizer.channels for name, tokenizer in tokenizers.items()}
    if len(set(channels.values())) > 1:
        each = ", ".join(f"{count} in {name}" for name, count in channels.items())
        raise OptionError(
            f"compare: expected tokenizers of equal channels, got {each}; compare those that take "
            "the same images"
        )
    return [
        Compared(
            name,
            evaluate(
                tokenizer,
                source,
                batch_size=batch_size,
                limit=limit,
                workers=workers,
                progress=progress,
            ),
            sum(parameter.numel() for parameter in tokenizer.parameters()),
            tokenizer.fingerprint(),
        )
        for name, tokenizer in tokenizers.items()
    ]


def build_comparison(
    tokenizers: Mapping[str, SignalTokenizer],
    compared: Sequence[Compared],
    source: ImageSource,
    out: str | os.PathLike[str],
    *,
    examples: int = 6,
    overwrite: bool = False,
) -> None:
    """Write a self-contained HTML page: the table, a plot, and pictures side by side.

    Args:
        tokenizers: tokenizers by name.
        compared: the result of `compare_tokenizers` for them.
        source: the images.
        out: the file to write.
        examples: how many images are shown.
        overwrite: replace an existing file.

    Raises:
        OptionError: `examples` is below 1.
        OutputError: the file exists, its folder cannot be written or the disk is full.
    """
    if examples < 1:
        raise OptionError(f"examples: expected an integer >= 1, got {examples}")
    out = Path(out)
    check_new_file(out, overwrite=overwrite)
    rated = [one for one in compared if one.figures.code_bits_per_pixel is not None]
    first = compared[0].figures
    best = max(compared, key=lambda one: one.figures.psnr)
    context = {
        "title": " and ".join(one.name for one in compared),
        "measured_on": first.data,
        "subtitle": f"measured on the same images, {first.images} of {first.data}",
        "tiles": [
            {"label": f"PSNR of {one.name}", "value": f"{one.figures.psnr:.2f}", "unit": "dB"}
            for one in compared
        ],
        "columns_shown": COLUMNS,
        "rows": [one.cells() for one in compared],
        "plot": points(
            [one.name for one in rated],
            [one.figures.code_bits_per_pixel or 0.0 for one in rated],
            [one.figures.psnr for one in rated],
            x_label="code bits per pixel",
            y_label="PSNR, dB",
        ),
        "examples": side_by_side(tokenizers, source, examples),
        "versions": versions({}, best.fingerprint),
    }
    page = render("compare.html.jinja", context)
    with new_file(out, overwrite=overwrite) as draft:
        draft.write_text(page, encoding="utf-8")


def comparison_table(compared: Sequence[Compared], title: str) -> Table:
    """The figures as a `rich` table that fits 80 columns."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left", box=None, pad_edge=False)
    for place, name in enumerate(COLUMNS):
        table.add_column(name, justify="right" if place else "left", overflow="fold")
    for one in compared:
        table.add_row(*map(Text, one.cells()))
    return table


def side_by_side(
    tokenizers: Mapping[str, SignalTokenizer], source: ImageSource, count: int
) -> list[Example]:
    """Evenly spaced examples of the source, each with every tokenizer's reconstruction."""
    wanted = np.unique(np.linspace(0, len(source) - 1, min(count, len(source))).round())
    samples = {sample.index: sample for sample in (source.read(int(i)) for i in wanted)}
    return [_example(tokenizers, sample.path, sample.image) for sample in samples.values()]


def _example(tokenizers: Mapping[str, SignalTokenizer], path: str, pixels: np.ndarray) -> Example:
    image = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None]
    height, width = image.shape[-2:]
    pictures = [picture_of(to_array(as_unit(image)[0]), "original", part="original")]
    for name, tokenizer in tokenizers.items():
        output, found = _reconstructed(tokenizer, image)
        pictures.append(picture_of(to_array(output[0]), f"{name}, PSNR {found:.2f} dB"))
    return Example(path, f"{width} x {height} px", pictures, [])


def _reconstructed(tokenizer: SignalTokenizer, image: Tensor) -> tuple[Tensor, float]:
    with inference(tokenizer) as device:
        x = as_unit(image.to(device))
        output = tokenizer.reconstruct(x)
        return output, float(psnr(mse(output, x))[0])
