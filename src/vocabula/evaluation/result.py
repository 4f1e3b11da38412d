"""The figures of an evaluation, their meaning, and their output formats."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vocabula.evaluation.histogram import CodeHistogram
from vocabula.evaluation.metrics import METRICS, Row
from vocabula.evaluation.metrics.base import Figures, in_form
from vocabula.files import printable
from vocabula.signals import Signal

if TYPE_CHECKING:
    from rich.table import Table
    from torch import Tensor
from vocabula.evaluation.usage import BookUsage, LevelUsage


@dataclass(frozen=True)
class Evaluation:
    """The result of `evaluate`.

    The figures of fidelity, such as ``mse``, are attributes too, under their names in `fidelity`;
    `count` and `code_bits` also have the names that they have in the JSON, such as ``images`` and
    ``code_bits_per_pixel``.

    Attributes:
        signal: the kind of the signals.
        data: name of the source.
        count: signals measured.
        skipped: signals that could not be read.
        seconds: time it took.
        fidelity: how close reconstructions are, by the figures of the kind; see its `Fidelity`.
        bits_per_dim_latent: bits of the codes at a fixed length (for a VAE: KL divergence) per
            dimension, such as a channel of a pixel; None if signals are not stored in whole bits.
        bits_per_dim_likelihood: bits of the stored signal given its latent, likewise.
        code_bits: bits of the codes of all levels, including padding, per unit of the original
            signals, such as a pixel; None for a VAE.
        usage: fraction of the codewords used over the whole data, mean over books; None for a VAE.
        perplexity: perplexity over the whole data, mean over books; None for a VAE.
        books: figures of each book of every level; empty for a VAE.
        kl_per_dimension: mean KL divergence of each latent dimension, nats; None unless a VAE.
        variance_per_dimension: variance of each posterior mean over the data; None unless a VAE.
        active_units: dimensions whose variance exceeds 0.01; None unless a VAE.
        levels: figures of each level, the coarsest first; empty for a single level.
        codes_differ: share of the codes of a sample that differ from those of the CPU in float32,
            each signal in a batch of its own; None if they were not compared.
        codes_compared: how many codes of all levels and books the sample has; None likewise.
        rates: of codes in time, see `code_rates`; empty for signals that have no time.
        histograms: the counts behind `books`; not part of the JSON.
        mean_values: (D,) of each level, the mean of its values over all positions; not part of
            the JSON.
    """

    signal: Signal = field(repr=False)
    data: str
    count: int
    skipped: int
    seconds: float
    fidelity: Figures
    bits_per_dim_latent: float | None
    bits_per_dim_likelihood: float | None
    code_bits: float | None
    usage: float | None
    perplexity: float | None
    books: list[BookUsage]
    kl_per_dimension: list[float] | None
    variance_per_dimension: list[float] | None
    active_units: int | None
    levels: list[LevelUsage] = field(default_factory=list)
    codes_differ: float | None = None
    codes_compared: int | None = None
    rates: Mapping[str, float] = field(default_factory=dict)
    histograms: tuple[CodeHistogram, ...] = field(default=(), repr=False, compare=False)
    mean_values: tuple[Tensor, ...] = field(default=(), repr=False, compare=False)

    def __getattr__(self, name: str) -> Any:
        """A figure by its name in the JSON."""
        named = {} if name.startswith("_") else {**self._named(), **self.rates, **self.fidelity}
        if name not in named:
            raise AttributeError(f"{type(self).__name__} has no figure {name!r}")
        return named[name]

    @property
    def bits_per_dim(self) -> float | None:
        """Bits per dimension of latent and likelihood together: the size of a lossless code."""
        if self.bits_per_dim_latent is None or self.bits_per_dim_likelihood is None:
            return None
        return self.bits_per_dim_latent + self.bits_per_dim_likelihood

    @property
    def rate(self) -> str:
        """The name of `code_bits` in the JSON, such as ``code_bits_per_pixel``."""
        return f"code_bits_per_{self.signal.unit}"

    def _named(self) -> dict[str, Any]:
        return {self.signal.plural: self.count, self.rate: self.code_bits}

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain data for JSON, with None for infinite or undefined ones."""
        bits = ("bits_per_dim_latent", "bits_per_dim_likelihood", "bits_per_dim")
        figures: dict[str, Any] = {"data": self.data, self.signal.plural: self.count}
        figures |= {"skipped": self.skipped, "seconds": self.seconds, **self.fidelity}
        if self.bits_per_dim is not None:
            figures |= {name: getattr(self, name) for name in bits}
        figures |= {self.rate: self.code_bits, **self.rates}
        names = ("usage", "perplexity", "books", "kl_per_dimension", "variance_per_dimension")
        figures |= {name: getattr(self, name) for name in (*names, "active_units")}
        if self.levels:  # a single level's figures are those of the whole
            figures["levels"] = [level.to_dict(self.rate) for level in self.levels]
        if self.codes_differ is not None:
            figures |= {name: getattr(self, name) for name in ("codes_differ", "codes_compared")}
        return {name: _plain(value) for name, value in figures.items()}

    def rows(self) -> list[Row]:
        """The figures to show, in order, each with its meaning."""
        skipped = f"; {self.skipped} could not be read" if self.skipped else ""
        read = Row(self.signal.plural, f"{self.count}", f"of {self.data}{skipped}")
        close = METRICS.of(self.signal.kind).rows(self.fidelity)
        return [read, *close, *self._bits(), *self._use()]

    def _bits(self) -> list[Row]:
        rows, unit = [], self.signal.unit
        if self.bits_per_dim is not None:
            latent = (
                "KL divergence to the prior" if self.kl_per_dimension else "codes, fixed length"
            )
            given = f"the {self.signal.depth}-bit {self.signal.kind} given its latent"
            parts = (
                ("latent", self.bits_per_dim_latent, latent),
                ("likelihood", self.bits_per_dim_likelihood, given),
                ("total", self.bits_per_dim, "lossless: the sum of both"),
            )
            rows = [
                Row(f"bits/dim, {name}", f"{bits:.4f}", meaning) for name, bits, meaning in parts
            ]
        if self.code_bits is not None:
            meaning = f"padding included, over original {unit}s" if self.signal.axes else "codes"
            rows.append(Row(f"code bits/{unit}", f"{self.code_bits:.4f}", meaning))
        if self.rates:
            frames, tokens, bits = self.rates.values()
            meaning = f"per {unit}: {tokens:g} codes, {bits:g} bits at a fixed length"
            rows.append(Row("frame rate", f"{frames:g}", meaning))
        for level in self.levels:
            use = f"usage {level.usage:.1%}, perplexity {level.perplexity:.1f}"
            sides = " x ".join([str(level.stride)] * len(self.signal.axes))
            meaning = f"one position per {sides} {self.signal.element or unit}s; {use}"
            rows.append(Row(f"  {level.name}", f"{level.code_bits:.4f}", meaning))
        return rows

    def _use(self) -> list[Row]:
        if self.kl_per_dimension is not None:
            dims = len(self.kl_per_dimension)
            return [
                Row("active units", f"{self.active_units} of {dims}", "variance of mean > 0.01"),
                Row("KL", f"{sum(self.kl_per_dimension):.3f} nats", "per position, all dimensions"),
            ]
        several = "mean over books, " if len(self.books) > 1 else ""
        whole = f"{several}over all these {self.signal.plural}"
        sizes = ", ".join(str(b.size) for b in self.books)
        rows = [
            Row("usage", in_form(self.usage, ".1%"), f"codewords used, {whole}"),
            Row("perplexity", in_form(self.perplexity, ".1f"), f"of {sizes}, {whole}"),
        ]
        for book in self.books if several else ():
            text = f"{book.usage:.1%}, {book.perplexity:.1f}"
            rows.append(Row(f"  {book.name}", text, f"usage, perplexity of {book.size}"))
        if self.codes_differ is not None:
            meaning = f"of {self.codes_compared}, from float32 on the CPU, one signal a batch"
            rows.append(Row("codes differ", f"{self.codes_differ:.3%}", meaning))
        return rows

    def table(self, title: str | None = None) -> Table:
        """The figures as a `rich` table."""
        return figure_table(self.rows(), title or self.data)


def figure_table(rows: Sequence[Row], title: str) -> Table:
    """Figures as a `rich` table."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(printable(title)), title_justify="left", box=None, pad_edge=False)
    table.add_column("figure", style="bold", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("meaning")
    for row in rows:
        table.add_row(row.name, row.value, Text(printable(row.meaning)))
    return table


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, BookUsage):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
