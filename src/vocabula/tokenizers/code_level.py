"""One level of codes, as everything sees it that measures, shows or stores codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from vocabula.errors import CodeError, OptionError, picture_size, plural
from vocabula.functional._checks import check_tensor
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


def check_codes(levels: Sequence[CodeLevel], codes: Sequence[Tensor]) -> Sequence[Tensor]:
    """Codes of each level, of the right number, rank and relative size.

    Args:
        levels: of the tokenizer, the coarsest first.
        codes: (B, h, w, *code_shape) of each.

    Raises:
        CodeError: they are of other levels, or of different images.
    """
    if len(codes) != len(levels):
        raise CodeError(
            f"decode: expected codes of {plural(len(levels), 'level')}, the coarsest first, got "
            f"{len(codes)}; give what encode returned"
        )
    for level, code in zip(levels, codes, strict=True):
        check_tensor("decode, codes", code, CodeError)
        if code.ndim != 3 + len(level.code_shape):
            where = f"decode, {level.title}" if level.name else "decode"
            books = "".join(f", {n}" for n in level.code_shape)
            raise CodeError(
                f"{where}: expected codes (B, h, w{books}), got {tuple(code.shape)}; "
                "add the missing batch or grid dimension"
            )
    grids = [tuple(code.shape[1:3]) for code in codes]
    batch = codes[0].shape[0]
    if not nested(levels, grids) or any(code.shape[0] != batch for code in codes[1:]):
        factors = [levels[0].stride // level.stride for level in levels]
        rows, columns = grids[0]
        fitting = [(batch, rows * f, columns * f) for f in factors]
        raise CodeError(
            f"decode: expected levels of {fitting} codes (B, h, w), got "
            f"{[tuple(code.shape[:3]) for code in codes]}; give the levels of the same images"
        )
    return codes


def nested(levels: Sequence[CodeLevel], grids: Sequence[tuple[int, ...]]) -> bool:
    """Whether the grids (h, w) of the levels cover the same pixels."""
    if len(grids) != len(levels):
        return False
    pairs = zip(levels, grids, strict=True)
    first, *others = [[side * level.stride for side in grid] for level, grid in pairs]
    # Compared one by one: a traced size has no hash.
    return all(side == top for other in others for side, top in zip(other, first, strict=True))


def image_size(stride: int, size: tuple[int, int] | None, grid: Sequence[int]) -> tuple[int, int]:
    """The size (H, W) of an image of the coarsest `grid` of codes, all that they cover if None.

    Raises:
        OptionError: `size` is not that of an image with so many codes.
    """
    largest = (grid[0] * stride, grid[1] * stride)
    if size is None:
        return largest
    if len(size) != 2 or any(
        not top - stride < n <= top for n, top in zip(size, largest, strict=True)
    ):
        raise OptionError(
            f"decode: expected a size of {picture_size(*grid)} codes of {stride} pixels, "
            f"at most {largest}, got {tuple(size)}; give the (H, W) of the encoded image"
        )
    return size
