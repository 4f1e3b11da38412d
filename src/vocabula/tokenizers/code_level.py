"""One level of codes, as everything sees it that measures, shows or stores codes."""

from __future__ import annotations

from dataclasses import dataclass

from vocabula.quantizers.base import Bottleneck, Quantizer


@dataclass(frozen=True, slots=True)
class CodeLevel:
    """A grid of codes: the bottleneck that makes them, and how many pixels each stands for.

    Attributes:
        name: ``level1``, ``level2``, ... of several levels; empty for the only one.
        quantizer: the bottleneck, continuous for a VAE.
        stride: pixels per position along each axis.
    """

    name: str
    quantizer: Bottleneck
    stride: int

    @property
    def prefix(self) -> str:
        """What the level's options, losses and figures begin with: ``level1.``, or nothing."""
        return f"{self.name}." if self.name else ""

    @property
    def title(self) -> str:
        """The level in words, ``level 1``; empty for the only one."""
        return self.name.replace("level", "level ")

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """K of each book; empty for a continuous bottleneck."""
        return self.quantizer.codebook_sizes if isinstance(self.quantizer, Quantizer) else ()

    @property
    def code_shape(self) -> tuple[int, ...]:
        """() for one book, (books,) for several."""
        return self.quantizer.code_shape if isinstance(self.quantizer, Quantizer) else ()

    @property
    def bits(self) -> float:
        """Bits of one position at a fixed length; 0 for a continuous bottleneck."""
        return self.quantizer.bits if isinstance(self.quantizer, Quantizer) else 0.0

    def book_names(self) -> list[str]:
        """A name for each book that tells it from those of every level."""
        books = len(self.codebook_sizes)
        if self.name and books == 1:
            return [self.title]
        begin = f"{self.title}, " if self.name else ""
        return [f"{begin}book {i + 1}" for i in range(books)]
