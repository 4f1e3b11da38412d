"""Grids of codes as sequences of symbols, with large books written in digits."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from vocabula.errors import CodeError, OptionError
from vocabula.functional._checks import check_tensor
from vocabula.registry import component
from vocabula.signals.codes import OUTSIDE, CodeSpec

LARGEST_SYMBOL = 2**14


@dataclass(frozen=True, slots=True)
class Slot:
    """One symbol of a position: a digit of a code.

    Attributes:
        book: index of the book.
        size: number of values V of the symbol, 0 to V - 1.
        unit: what one step of the digit adds to the code.
        limited: whether some values are impossible after some earlier digits.
    """

    book: int
    size: int
    unit: int
    limited: bool


@component("code_grid", "codes")
@dataclass(frozen=True)
class CodeGrid:
    """The layout of a signal's codes, and their order.

    Positions are in raster order (last axis fastest), and the books of a position in order. A book
    of more than ``largest_symbol`` codes is written in the fewest digits of base
    ``b = ceil(K^(1/digits))``, most significant first; digits that would lead to a code >= K have
    probability 0. So p(codes) = prod over positions, books, digits of p(digit | all before it).

    Args:
        codebook_sizes: K of each book.
        grid: positions of the training data along each of 1, 2 or 3 axes.
        code_shape: () for one book, (books,) for several; None: () if there is one book.
        largest_symbol: largest book that is predicted in one piece.

    Raises:
        OptionError: sizes do not fit one another.

    Example:
        >>> codes = CodeGrid((2**18,), (16, 16))
        >>> codes.symbol_sizes
        (512, 512)
        >>> codes.split(torch.full((1, 16, 16), 1000))[0, 0, 0]
        tensor([  1, 488])

    Source: Yu et al. 2024, "Language Model Beats Diffusion" (MAGVIT-v2), factorised prediction
    of 2^18 codes in two sub-tokens of 2^9.
    """

    component_kind = "code_grid"

    codebook_sizes: tuple[Annotated[int, Ge(1)], ...]
    grid: tuple[Annotated[int, Ge(1)], ...]
    code_shape: tuple[Annotated[int, Ge(1)], ...] | None = None
    largest_symbol: Annotated[int, Ge(2)] = LARGEST_SYMBOL

    def __post_init__(self) -> None:
        if self.code_shape is None:
            books = len(self.codebook_sizes)
            object.__setattr__(self, "code_shape", () if books == 1 else (books,))
        if not 1 <= len(self.grid) <= 3:
            raise OptionError(
                f"code_grid.grid: expected 1, 2 or 3 axes, got {len(self.grid)}; "
                "give the positions along each axis"
            )
        try:
            known = self.spec.books > 0
        except OptionError:
            known = False
        if not known:
            raise OptionError(
                f"code_grid.code_shape: expected a shape for {len(self.codebook_sizes)} books, got "
                f"{self.code_shape}; give the quantizer's code_shape and codebook_sizes"
            )

    @functools.cached_property
    def spec(self) -> CodeSpec:
        """What the codes of one position are."""
        return CodeSpec(self.codebook_sizes, self.shape_of_code)

    @property
    def shape_of_code(self) -> tuple[int, ...]:
        """`code_shape` with its default filled in."""
        return self.code_shape or ()

    @property
    def positions(self) -> int:
        """Number of positions n of the training grid."""
        return math.prod(self.grid)

    @functools.cached_property
    def slots(self) -> tuple[Slot, ...]:
        """The symbols of one position, in order."""
        return tuple(
            slot
            for book, size in enumerate(self.codebook_sizes)
            for slot in _digits(book, size, self.largest_symbol)
        )

    @functools.cached_property
    def symbol_sizes(self) -> tuple[int, ...]:
        """Number of values of each symbol of a position."""
        return tuple(slot.size for slot in self.slots)

    def split(self, codes: Tensor) -> Tensor:
        """Symbols (B, *grid, S) of codes (B, *grid, *code_shape) that `check` has accepted."""
        codes = codes.long().reshape(*codes.shape[: 1 + len(self.grid)], -1)
        digits = [codes[..., slot.book] // slot.unit % slot.size for slot in self.slots]
        return torch.stack(digits, -1)

    def join(self, symbols: Tensor) -> Tensor:
        """Codes (B, *grid, *code_shape) of symbols (B, *grid, S)."""
        books = [torch.zeros_like(symbols[..., 0]) for _ in self.codebook_sizes]
        for index, slot in enumerate(self.slots):
            books[slot.book] = books[slot.book] + symbols[..., index] * slot.unit
        return torch.stack(books, -1).reshape(*symbols.shape[:-1], *self.shape_of_code)

    def forbid(self, logits: Tensor, slot: int, symbols: Tensor) -> Tensor:
        """Logits (..., V) of a symbol, minus infinity for values that no code has after `symbols`.

        Args:
            logits: logits of symbol `slot`.
            slot: index of the symbol in its position.
            symbols: (..., S or fewer) the position's earlier symbols; later ones are ignored.
        """
        this = self.slots[slot]
        if not this.limited:
            return logits
        value = torch.zeros_like(symbols[..., 0])
        for index in range(slot):
            if self.slots[index].book == this.book:
                value = value + symbols[..., index] * self.slots[index].unit
        highest = (self.codebook_sizes[this.book] - 1 - value) // this.unit
        values = torch.arange(this.size, device=logits.device)
        return logits.masked_fill(values > highest[..., None], -math.inf)

    def filled(self, codes: Tensor) -> tuple[Tensor, Tensor | None]:
        """Codes with 0 after the end of shorter signals, and where there are codes.

        Args:
            codes: (B, n, *code_shape) of one axis, with `OUTSIDE` in every book after the end of a
                signal; of other grids nothing is outside.

        Returns:
            Codes that `check` may accept, and (B, n) booleans, or None where nothing is outside.

        Raises:
            CodeError: a signal has no code, or codes follow after its end.
        """
        if len(self.grid) != 1 or not isinstance(codes, Tensor) or codes.ndim < 2:
            return codes, None
        outside = codes == OUTSIDE
        if not bool(outside.any()):
            return codes, None
        books = outside.flatten(2) if outside.ndim > 2 else outside[..., None]
        after = books.all(-1)
        ended = after.long().cummax(1).values.bool()
        if bool((books.any(-1) != after).any() or (ended != after).any() or after[:, 0].any()):
            raise CodeError(
                f"codes: expected {OUTSIDE} only after the codes of a signal, in all its books, "
                "got some before; give codes as encode does under a mask"
            )
        return codes.masked_fill(outside, 0), ~after

    def check(self, codes: Tensor, grid: Sequence[int] | None = None) -> None:
        """Check codes against the codebooks and the number of axes.

        Args:
            codes: (B, *grid, *code_shape) integers.
            grid: the positions that they must have; None takes any.

        Raises:
            CodeError: wrong shape, type or values.
        """
        check_tensor("codes", codes, CodeError)
        axes, shape = len(self.grid), tuple(codes.shape)
        right = self.spec.fits(shape[1:], axes) and 0 not in shape[1:]
        right = right and (grid is None or shape[1 : 1 + axes] == tuple(grid))
        if not right or codes.is_floating_point() or codes.dtype == torch.bool:
            wanted = ", ".join(map(str, (*(grid or "n" * axes), *self.shape_of_code)))
            raise CodeError(
                f"codes: expected integers of shape (batch, {wanted}), got "
                f"{str(codes.dtype).removeprefix('torch.')} of shape {shape}; "
                "use codes of the tokenizer that the prior was made for"
            )
        wrong = self.spec.outside(codes)
        if bool(wrong.any()):
            raise CodeError(
                f"codes: expected values below {' x '.join(map(str, self.codebook_sizes))}, got "
                f"{int(codes[wrong][0])}; use codes of the tokenizer that the prior was made for"
            )


def _digits(book: int, size: int, largest: int) -> list[Slot]:
    """The digits of a book of `size` codes, most significant first."""
    count = 1
    while largest**count < size:
        count += 1
    base = next(
        b for b in range(max(int(size ** (1 / count)) - 1, 1), size + 1) if b**count >= size
    )
    slots: list[Slot] = []
    for unit in (base**power for power in reversed(range(count))):
        first = not slots
        values = -(-size // unit) if first else base
        slots.append(Slot(book, values, unit, not first and size % (unit * base) != 0))
    return slots
