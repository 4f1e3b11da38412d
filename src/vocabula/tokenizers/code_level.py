"""One level of codes, as seen by code that measures, shows or stores codes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from torch import Tensor

from vocabula.errors import OptionError
from vocabula.quantizers.base import Quantizer
from vocabula.quantizers.bottleneck import Bottleneck
from vocabula.signals import Condition
from vocabula.signals.codes import CodeSpec


@dataclass(frozen=True, slots=True)
class CodeLevel:
    """A grid of codes: the bottleneck that makes them, and how many pixels each stands for.

    Attributes:
        name: ``level1``, ``level2``, ... with several levels; empty for a single one.
        quantizer: the bottleneck, continuous for a VAE.
        strides: elements of the signal per cell, along each axis; a cell is one position, unless
            `factors` says otherwise.
        factors: positions of a cell along each axis; () is one.
    """

    name: str
    quantizer: Bottleneck
    strides: tuple[int, ...]
    factors: tuple[int, ...] = ()

    @property
    def stride(self) -> int | Fraction:
        """Elements per position along every axis, for 3 positions in 8 elements a fraction.

        Raises:
            OptionError: the axes differ; see `common_stride`.
        """
        stride = Fraction(common_stride(self.strides), common_stride(self.factors))
        return stride.numerator if stride.denominator == 1 else stride

    @property
    def sides(self) -> list[str]:
        """Elements per position along each axis, as text: for 3 positions in 8 elements 8/3."""
        factors = self.factors or (1,) * len(self.strides)
        return [str(Fraction(*pair)) for pair in zip(self.strides, factors, strict=True)]

    @property
    def bits_per_element(self) -> float:
        """Bits of the codes at a fixed length per element of the signal, such as a pixel."""
        return self.bits * math.prod(self.factors) / math.prod(self.strides)

    @property
    def prefix(self) -> str:
        """The prefix of the level's options, losses and figures: ``level1.``, or nothing."""
        return f"{self.name}." if self.name else ""

    @property
    def title(self) -> str:
        """The level in words, ``level 1``; empty for the only one."""
        return self.name.replace("level", "level ")

    @property
    def spec(self) -> CodeSpec:
        """What the codes are, with their strides; without books for a continuous bottleneck."""
        return replace(self.quantizer.spec, strides=self.strides, factors=self.factors)

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """K of each book; empty for a continuous bottleneck."""
        return self.quantizer.spec.codebook_sizes

    @property
    def code_shape(self) -> tuple[int, ...]:
        """() for one book, (books,) for several."""
        return self.quantizer.spec.code_shape

    @property
    def bits(self) -> float:
        """Bits of one position at a fixed length; 0 for a continuous bottleneck."""
        return self.quantizer.spec.bits

    def book_names(self) -> list[str]:
        """A name for each book that is unique across levels."""
        books = self.quantizer.spec.books
        if self.name and books == 1:
            return [self.title]
        begin = f"{self.title}, " if self.name else ""
        return [f"{begin}book {i + 1}" for i in range(books)]


def common_stride(strides: Sequence[int]) -> int:
    """The common stride of all axes, as for an image; 1 without an axis.

    Raises:
        OptionError: they differ.
    """
    first, *others = strides or (1,)
    if any(other != first for other in others):
        raise OptionError(f"stride: expected one for all axes, got {strides}; use strides")
    return first


def quantizers_of(levels: Sequence[CodeLevel], verb: str, advice: str) -> list[Quantizer]:
    """The quantizers of levels, which must have codes.

    Args:
        levels: of a tokenizer, the coarsest first.
        verb: what needs the codes, for the message.
        advice: what to do without them.

    Raises:
        OptionError: a bottleneck is continuous.
    """
    quantizers = []
    for level in levels:
        if not isinstance(level.quantizer, Quantizer):
            raise OptionError(
                f"{verb}: expected a discrete quantizer, got the continuous "
                f"{type(level.quantizer).__name__}, which has no codes; {advice}"
            )
        quantizers.append(level.quantizer)
    return quantizers


def rows_of(condition: Condition | None, which: slice | Tensor) -> Condition | None:
    """The condition of some of the signals, if there is one."""
    return None if condition is None else condition.rows(which)
