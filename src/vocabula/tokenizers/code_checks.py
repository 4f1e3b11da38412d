"""Checks of codes, vectors, sizes and conditions before they are decoded."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from vocabula.errors import CodeError, OptionError, ShapeError, picture_size, plural
from vocabula.functional._checks import check_tensor
from vocabula.nn.base import Decoder
from vocabula.signals import Condition
from vocabula.tokenizers.code_level import CodeLevel


def check_codes(levels: Sequence[CodeLevel], codes: Sequence[Tensor]) -> Sequence[Tensor]:
    """Codes of each level, of the right number, rank and relative size.

    Args:
        levels: of the tokenizer, the coarsest first.
        codes: (B, *grid, *code_shape) of each.

    Raises:
        CodeError: they belong to other levels or to different signals.
    """
    if len(codes) != len(levels):
        raise CodeError(
            f"decode: expected codes of {plural(len(levels), 'level')}, the coarsest first, got "
            f"{len(codes)}; give what encode returned"
        )
    axes = len(levels[0].strides)
    names = "".join(f", {name}" for name in grid_names(axes))
    for level, code in zip(levels, codes, strict=True):
        check_tensor("decode, codes", code, CodeError)
        if code.ndim != 1 + axes + len(level.code_shape):
            where = f"decode, {level.title}" if level.name else "decode"
            books = "".join(f", {n}" for n in level.code_shape)
            raise CodeError(
                f"{where}: expected codes (B{names}{books}), got {tuple(code.shape)}; "
                "add the missing batch or grid dimension"
            )
    grids = [tuple(code.shape[1 : 1 + axes]) for code in codes]
    batch = codes[0].shape[0]
    if not nested(levels, grids) or any(code.shape[0] != batch for code in codes[1:]):
        whole = _covered(levels[0], grids[0])
        fitting = [(batch, *level.spec.grid(whole)) for level in levels]
        raise CodeError(
            f"decode: expected levels of {fitting} codes (B{names}), got "
            f"{[tuple(code.shape[: 1 + axes]) for code in codes]}; give the levels of the same "
            "images"
        )
    return codes


def check_values(levels: Sequence[CodeLevel], values: Sequence[Tensor]) -> None:
    """Check the number, shapes and relative size of the vectors of each level.

    Args:
        levels: of the tokenizer, the coarsest first.
        values: (B, *grid, D) of each.

    Raises:
        ShapeError: they are not those of the levels of one signal.
    """
    axes = len(levels[0].strides)
    grids = [tuple(v.shape[1 : 1 + axes]) for v in values]
    widths = [(*v.shape[1 + axes :],) for v in values]
    if widths != [(level.quantizer.dim,) for level in levels] or not nested(levels, grids):
        names = "".join(f", {name}" for name in grid_names(axes))
        raise ShapeError(
            f"decode_values: expected vectors (B{names}, D) for each of {len(levels)} "
            f"levels, got {[tuple(v.shape) for v in values]}; take them from analyse(x).levels"
        )


def grid_names(axes: int) -> tuple[str, ...]:
    """Names in messages for the axes of a grid of codes: ("h", "w") for an image."""
    return ("t", "h", "w")[-axes:] if axes > 1 else ("t",) * axes


def nested(levels: Sequence[CodeLevel], grids: Sequence[tuple[int, ...]]) -> bool:
    """Whether the levels' grids, one number per axis, cover the same part of a signal."""
    if len(grids) != len(levels):
        return False
    first, *others = [_covered(level, grid) for level, grid in zip(levels, grids, strict=True)]
    exact = all(
        size % factor == 0
        for level, grid in zip(levels, grids, strict=True)
        for size, factor in zip(grid, level.factors, strict=False)
    )
    # Compared one by one: a traced size has no hash.
    same = (side == top for other in others for side, top in zip(other, first, strict=True))
    return exact and all(same)


def _covered(level: CodeLevel, grid: Sequence[int]) -> list[int]:
    """The elements along each axis that a grid covers."""
    factors = level.factors or (1,) * len(grid)
    sides = zip(grid, level.strides, factors, strict=True)
    return [size // factor * stride for size, stride, factor in sides]


def check_condition(condition: Condition | None, decoder: Decoder, batch: int, verb: str) -> None:
    """Check that a decoder takes a condition, if one is given.

    Args:
        condition: what is known of the signals, or None.
        decoder: the decoder that gets it.
        batch: number of signals B.
        verb: the beginning of the message.

    Raises:
        OptionError: the decoder takes none, or it is no `Condition`.
        DataError: a part of it is not of B signals, or the decoder does not know it.
    """
    if condition is None:
        return decoder.check_condition(None)
    if not decoder.conditional:
        raise OptionError(
            f"{verb}: expected condition=None, got {type(condition).__name__}; "
            "this tokenizer's decoder takes no condition"
        )
    if not isinstance(condition, Condition):
        raise OptionError(
            f"{verb}: expected a Condition, got {type(condition).__name__}; "
            "make one with vocabula.signals.Condition"
        )
    condition.check_batch(batch)
    decoder.check_condition(condition)


def signal_size(
    strides: Sequence[int], size: Sequence[int] | None, grid: Sequence[int], unit: str
) -> tuple[int, ...]:
    """The extent of a signal with the coarsest `grid` of codes; if None, all that they cover.

    Args:
        strides: of the coarsest level, along each axis.
        size: the requested extent, or None.
        grid: positions of the coarsest level, along each axis.
        unit: what the message counts in.

    Raises:
        OptionError: `size` is not that of a signal with so many codes.
    """
    largest = tuple(n * stride for n, stride in zip(grid, strides, strict=True))
    if size is None:
        return largest
    if len(size) != len(largest) or any(
        not top - stride < n <= top for n, top, stride in zip(size, largest, strides, strict=True)
    ):
        each = " x ".join(str(stride) for stride in dict.fromkeys(reversed(strides)))
        raise OptionError(
            f"decode: expected a size of {picture_size(*grid)} codes of {each or 1} {unit}s, "
            f"at most {largest}, got {tuple(size)}; give the size of the encoded signal"
        )
    return tuple(size)
