"""The figures of an evaluation, their meaning, and their output formats."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vocabula.evaluation.histogram import CodeHistogram
from vocabula.evaluation.metrics import SSIM_WINDOW
from vocabula.files import printable

if TYPE_CHECKING:
    from rich.table import Table
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class BookUsage:
    """How one book was used over a whole data set.

    Attributes:
        name: ``book 1``, ``book 2``, ...; with several levels ``level 1``, or ``level 1, book 1``.
        size: K, its number of codewords.
        used: codewords used at least once.
        usage: `used` over `size`, in [0, 1].
        perplexity: exp of the entropy of the code histogram in nats, in [1, K].
        largest_share: fraction of the codes that the most used codeword takes.
    """

    name: str
    size: int
    used: int
    usage: float
    perplexity: float
    largest_share: float

    @classmethod
    def of(cls, name: str, histogram: CodeHistogram) -> BookUsage:
        """The figures of a histogram, under the book's name."""
        return cls(
            name=name,
            size=histogram.codebook_size,
            used=histogram.used,
            usage=histogram.usage,
            perplexity=histogram.perplexity,
            largest_share=histogram.largest_share,
        )


@dataclass(frozen=True, slots=True)
class LevelUsage:
    """How the codes of one of several levels were used over a whole data set.

    Attributes:
        name: ``level 1`` (the coarsest), ``level 2``, ...
        stride: pixels per position along each axis.
        code_bits_per_pixel: bits of the level's codes per pixel of the original images.
        usage: fraction of the codewords used, mean over the level's books.
        perplexity: perplexity of the codes, mean over the level's books.
    """

    name: str
    stride: int
    code_bits_per_pixel: float
    usage: float
    perplexity: float


@dataclass(frozen=True, slots=True)
class Row:
    """One figure to show: its name, its value as text, and what it means."""

    name: str
    value: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The result of `evaluate`. Images are on the scale [0, 1]; bits refer to 8-bit images.

    Attributes:
        data: name of the source.
        images: images measured.
        skipped: images that could not be read.
        seconds: time it took.
        mse: mean squared error over all values of all images.
        mse_over_variance: `mse` over the variance of all these values; None if that is 0.
        psnr: mean over the images of their PSNR, dB.
        psnr_all_pixels: PSNR of `mse`, dB; at most about `psnr`.
        ssim: mean over the images of their structural similarity, at most 1.
        ssim_window: side of the smallest window used; 11 is the standard.
        bits_per_dim_latent: bits of the codes at a fixed length (for a VAE: KL divergence) per
            channel of a pixel.
        bits_per_dim_likelihood: bits of the image given its latent, likewise.
        bits_per_dim: the sum of both.
        code_bits_per_pixel: bits of the codes of all levels, including padding, per pixel of the
            original images; None for a VAE.
        usage: fraction of the codewords used over the whole data, mean over books; None for a VAE.
        perplexity: perplexity over the whole data, mean over books; None for a VAE.
        books: figures of each book of every level; empty for a VAE.
        kl_per_dimension: mean KL divergence of each latent dimension, nats; None unless a VAE.
        variance_per_dimension: variance of each posterior mean over the data; None unless a VAE.
        active_units: dimensions whose variance exceeds 0.01; None unless a VAE.
        levels: figures of each level, the coarsest first; empty for a single level.
        histograms: the counts behind `books`; not part of the JSON.
        mean_values: (D,) of each level, the mean of its values over all positions; not part of
            the JSON.
    """

    data: str
    images: int
    skipped: int
    seconds: float
    mse: float
    mse_over_variance: float | None
    psnr: float
    psnr_all_pixels: float
    ssim: float
    ssim_window: int
    bits_per_dim_latent: float
    bits_per_dim_likelihood: float
    bits_per_dim: float
    code_bits_per_pixel: float | None
    usage: float | None
    perplexity: float | None
    books: list[BookUsage]
    kl_per_dimension: list[float] | None
    variance_per_dimension: list[float] | None
    active_units: int | None
    levels: list[LevelUsage] = field(default_factory=list)
    histograms: tuple[CodeHistogram, ...] = field(default=(), repr=False, compare=False)
    mean_values: tuple[Tensor, ...] = field(default=(), repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain data for JSON, with None for infinite or undefined ones."""
        names = [f.name for f in dataclasses.fields(self) if f.repr]
        if not self.levels:  # a single level's figures are those of the whole
            names.remove("levels")
        return {name: _plain(getattr(self, name)) for name in names}

    def rows(self) -> list[Row]:
        """The figures to show, in order, each with its meaning."""
        return [*self._fidelity(), *self._bits(), *self._use()]

    def _fidelity(self) -> list[Row]:
        small = "" if self.ssim_window == SSIM_WINDOW else f"; window {self.ssim_window}, not 11"
        skipped = f"; {self.skipped} could not be read" if self.skipped else ""
        relative = self.mse_over_variance
        return [
            Row("images", f"{self.images}", f"of {self.data}{skipped}"),
            Row("MSE", f"{self.mse:.6f}", "over all values, on the scale [0, 1]"),
            Row("MSE / variance", in_form(relative, ".4f"), "over the variance of these images"),
            Row("PSNR", f"{self.psnr:.2f} dB", "mean over images"),
            Row("PSNR, all pixels", f"{self.psnr_all_pixels:.2f} dB", "of the MSE above"),
            Row("SSIM", f"{self.ssim:.4f}", f"mean over images{small}"),
        ]

    def _bits(self) -> list[Row]:
        latent = "KL divergence to the prior" if self.kl_per_dimension else "codes, fixed length"
        rows = [
            Row("bits/dim, latent", f"{self.bits_per_dim_latent:.4f}", latent),
            Row(
                "bits/dim, likelihood",
                f"{self.bits_per_dim_likelihood:.4f}",
                "the 8-bit image given its latent",
            ),
            Row("bits/dim, total", f"{self.bits_per_dim:.4f}", "lossless: the sum of both"),
        ]
        if self.code_bits_per_pixel is not None:
            text = f"{self.code_bits_per_pixel:.4f}"
            rows.append(Row("code bits/pixel", text, "padding included, over original pixels"))
        for level in self.levels:
            text = f"{level.code_bits_per_pixel:.4f}"
            use = f"usage {level.usage:.1%}, perplexity {level.perplexity:.1f}"
            meaning = f"one position per {level.stride} x {level.stride} pixels; {use}"
            rows.append(Row(f"  {level.name}", text, meaning))
        return rows

    def _use(self) -> list[Row]:
        if self.kl_per_dimension is not None:
            dims = len(self.kl_per_dimension)
            return [
                Row("active units", f"{self.active_units} of {dims}", "variance of mean > 0.01"),
                Row("KL", f"{sum(self.kl_per_dimension):.3f} nats", "per position, all dimensions"),
            ]
        several = "mean over books, " if len(self.books) > 1 else ""
        whole = f"{several}over all these images"
        sizes = ", ".join(str(b.size) for b in self.books)
        rows = [
            Row("usage", in_form(self.usage, ".1%"), f"codewords used, {whole}"),
            Row("perplexity", in_form(self.perplexity, ".1f"), f"of {sizes}, {whole}"),
        ]
        for book in self.books if several else ():
            text = f"{book.usage:.1%}, {book.perplexity:.1f}"
            rows.append(Row(f"  {book.name}", text, f"usage, perplexity of {book.size}"))
        return rows

    def table(self, title: str | None = None) -> Table:
        """The figures as a `rich` table."""
        return _table(self.rows(), title or self.data)


def _table(rows: Sequence[Row], title: str) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(printable(title)), title_justify="left", box=None, pad_edge=False)
    table.add_column("figure", style="bold", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("meaning")
    for row in rows:
        table.add_row(row.name, row.value, Text(printable(row.meaning)))
    return table


def in_form(value: float | None, form: str) -> str:
    """A figure as formatted text, or a dash if there is none."""
    return "-" if value is None else format(value, form)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (BookUsage, LevelUsage)):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
