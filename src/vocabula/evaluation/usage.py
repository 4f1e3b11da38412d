"""How a book and a level of codes are used."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from vocabula.evaluation.histogram import CodeHistogram

if TYPE_CHECKING:
    pass


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
        stride: elements of the signal per position along each axis; a fraction where cells of
            several positions have no whole one.
        code_bits: bits of the level's codes per unit of the original signals, such as a pixel.
        usage: fraction of the codewords used, mean over the level's books.
        perplexity: perplexity of the codes, mean over the level's books.
    """

    name: str
    stride: int | Fraction
    code_bits: float
    usage: float
    perplexity: float

    def to_dict(self, rate: str) -> dict[str, Any]:
        """The figures as plain data; `rate` is the name of `code_bits` there."""
        figures = dataclasses.asdict(self)
        if isinstance(self.stride, Fraction):
            figures["stride"] = float(self.stride)
        return {rate if k == "code_bits" else k: v for k, v in figures.items()}
