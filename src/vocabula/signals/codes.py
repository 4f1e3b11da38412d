"""What codes are: one description for tokenizers, token files, priors and compressed files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vocabula.errors import OptionError

if TYPE_CHECKING:
    from vocabula.signals.base import Signal

OUTSIDE = -1
"""The code of every position after the end of a signal that shares a batch with longer ones."""
_TYPES = ((2**8, np.uint8), (2**16, np.uint16), (2**31, np.int32), (2**63, np.int64))


def cells(extent: Sequence[int], strides: Sequence[int]) -> tuple[int, ...]:
    """The number of cells of some sides that cover an extent, along each axis.

    Example:
        >>> cells((30, 32), (8, 8))
        (4, 4)
    """
    return tuple(-(-n // stride) for n, stride in zip(extent, strides, strict=True))


def positions_of(grid: Sequence[int]) -> tuple[int, ...]:
    """The grid that priors model: a signal without axes has one position.

    Example:
        >>> positions_of((4, 4)), positions_of(())
        ((4, 4), (1,))
    """
    return tuple(grid) or (1,)


def on_positions(codes: Any, code_shape: Sequence[int]) -> Any:
    """Codes (B, *grid, *code_shape) as priors take them: (B, 1, *code_shape) without axes.

    Args:
        codes: of a tokenizer, in NumPy or torch.
        code_shape: of one position.
    """
    return codes[:, None] if codes.ndim == 1 + len(code_shape) else codes


def off_positions(codes: Any, axes: int) -> Any:
    """Codes of a prior as the tokenizer takes them; undoes `on_positions`.

    Args:
        codes: (B, *grid, *code_shape), in NumPy or torch.
        axes: of the signal.
    """
    return codes if axes else codes[:, 0]


@dataclass(frozen=True, slots=True)
class CodeSpec:
    """The codes of one level: arrays or tensors (..., *grid, *code_shape) of integers.

    The code of a book is in [0, K). A continuous bottleneck has no book.

    Args:
        codebook_sizes: K of each book.
        code_shape: () for one book, (books,) for several.
        strides: elements of the signal per position, along each axis; () where they do not matter.
        factors: positions along each axis in every cell of `strides` elements; () is one.

    Raises:
        OptionError: the number of sizes differs from the number of books, or a size is not
            positive.

    Example:
        >>> spec = CodeSpec((1024, 1024), (2,), strides=(8, 8))
        >>> spec.bits, spec.dtype, spec.grid((30, 32))
        (20.0, dtype('uint16'), (4, 4))
    """

    codebook_sizes: tuple[int, ...]
    code_shape: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    factors: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in self.__slots__:
            object.__setattr__(self, name, tuple(map(int, getattr(self, name))))
        sizes, shape = self.codebook_sizes, self.code_shape
        known = all(0 < size < 2**63 for size in sizes) and all(side > 0 for side in shape)
        if not known or len(sizes) != (math.prod(shape) if sizes or shape else 0):
            raise OptionError(
                f"codes: expected one codebook size for each book of code_shape {shape}, got "
                f"{sizes}; take both from the quantizer"
            )

    @property
    def books(self) -> int:
        """The number of books; 0 for a continuous bottleneck."""
        return len(self.codebook_sizes)

    @property
    def bits(self) -> float:
        """Bits of one position at a fixed length: the sum of log2 K over the books."""
        return float(sum(math.log2(size) for size in self.codebook_sizes))

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest of uint8, uint16, int32 and int64 that holds the codes of every book."""
        largest = max(self.codebook_sizes, default=1)
        return np.dtype(next(kind for limit, kind in _TYPES if largest <= limit))

    def grid(self, extent: Sequence[int]) -> tuple[int, ...]:
        """The positions along each axis that cover a signal of an extent."""
        counts = cells(extent, self.strides)
        each = self.factors or (1,) * len(counts)
        return tuple(n * factor for n, factor in zip(counts, each, strict=True))

    def fits(self, shape: Sequence[int], axes: int | None = None) -> bool:
        """Whether codes may have a shape (*grid, *code_shape).

        Args:
            shape: of the codes of one signal.
            axes: the number of axes of the grid; None takes any.
        """
        rank = len(shape) - len(self.code_shape)
        return rank >= 0 and tuple(shape[rank:]) == self.code_shape and axes in (None, rank)

    def outside(self, codes: Any) -> Any:
        """Which codes are not in their book, as an array or tensor of the shape of `codes`.

        Args:
            codes: (..., *code_shape) integers, in NumPy or torch.
        """
        same = len(set(self.codebook_sizes)) == 1
        sizes = np.asarray(self.codebook_sizes, np.int64).reshape(self.code_shape)
        limits: Any = self.codebook_sizes[0] if same else sizes
        if not isinstance(codes, np.ndarray):
            codes = codes.long()  # a smaller type would wrap the limit
            limits = limits if same else codes.new_tensor(sizes)
        return (codes < 0) | (codes >= limits)


def code_rates(signal: Signal, specs: Sequence[CodeSpec]) -> dict[str, float]:
    """How many positions, codes and bits of all levels there are in a unit of time.

    Args:
        signal: the kind; one whose elements are units has none of these rates.
        specs: the codes of each level.

    Returns:
        ``frame_rate`` of the finest level, ``tokens_per_second`` and ``bits_per_second`` at a fixed
        length, with the signal's unit in their names; nothing without codes or time.
    """
    if signal.per_unit == 1 or not any(spec.books for spec in specs):
        return {}
    frames = [signal.per_unit * math.prod(spec.factors) / math.prod(spec.strides) for spec in specs]
    pairs = list(zip(frames, specs, strict=True))
    return {
        "frame_rate": max(frames),
        f"tokens_per_{signal.unit}": sum(rate * spec.books for rate, spec in pairs),
        f"bits_per_{signal.unit}": sum(rate * spec.bits for rate, spec in pairs),
    }
