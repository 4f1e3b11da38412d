"""Turns the rows of a table of tokens into batches of codes, and checks that they fit together."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vocabula.data.column_types import plain
from vocabula.data.token_columns import REDO, Columns, chunk, exact
from vocabula.data.token_layout import check_levels
from vocabula.data.token_records import TokenBatch
from vocabula.errors import TokensError
from vocabula.signals.attributes import CLASS
from vocabula.signals.codes import CodeSpec


def batches_of(
    rows: pa.Table,
    specs: Sequence[CodeSpec],
    names: Mapping[str, Sequence[str] | None],
    file: str,
    *,
    first: int = 0,
) -> Iterator[TokenBatch]:
    """The records of some rows, checked, in batches of equal shapes.

    Args:
        rows: the columns of a file of tokens, without faults in their types.
        specs: what the codes of each level are.
        names: what the values of each attribute are called, if they are texts; ``class`` is the
            column ``label``.
        file: what messages call the file.
        first: number of the first row in the file.

    Raises:
        TokensError: at the first batch with a wrong record.
    """
    columns = Columns(rows, file, first)
    extents, codes = columns.extents(), columns.lists("codes")
    labels = columns.attribute("label", names[CLASS])
    further = {name: columns.attribute(name, own) for name, own in names.items() if name != CLASS}
    free = "extent" in rows.column_names
    for start, end, sides in _runs(chunk(plain(rows["shape"])), len(specs)):
        listed = sides if len(specs) > 1 else [sides]
        shapes = _shapes(listed, len(specs), free)
        found = codes.counts[start:end]
        wrong = found != sum(math.prod(shape) for shape in shapes or ())
        if shapes is None or wrong.any():
            row = 0 if shapes is None else int(np.argmax(wrong))
            raise TokensError(
                f"{columns.place(start + row)}: expected codes of shape"
                f" {' and '.join(str(tuple(side or ())) for side in listed or ((),))[:80]},"
                f" got {found[row]} codes; {REDO}"
            )
        levels = _split(codes.block(start, end), shapes)
        axes = int(extents.counts[start])
        others = extents.counts[start:end] != axes
        if others.any():
            row = start + int(np.argmax(others))
            raise TokensError(
                f"{columns.place(row)}: expected an extent of {axes} numbers, one for each axis of"
                f" the codes, got {extents.counts[row]}; {REDO}"
            )
        named = functools.partial(_named, columns, start)
        check_levels(levels, specs, axes if free else None, named)
        yield TokenBatch(
            levels,
            columns.paths[start:end],
            labels[start:end],
            extents.block(start, end),
            {name: values[start:end] for name, values in further.items()},
        )


def _named(columns: Columns, start: int, row: int) -> str:
    return columns.place(start + row)


def _split(
    codes: NDArray[np.int64], shapes: Sequence[tuple[int, ...]]
) -> tuple[NDArray[np.int64], ...]:
    """The codes (B, n) of all levels as one array per level."""
    if len(shapes) == 1:
        return (codes.reshape(len(codes), *shapes[0]),)
    ends = np.cumsum([math.prod(shape) for shape in shapes])[:-1]
    pieces = np.split(codes, ends, axis=1)
    return tuple(
        piece.reshape(len(codes), *shape) for piece, shape in zip(pieces, shapes, strict=True)
    )


def _shapes(listed: Any, levels: int, free: bool) -> list[tuple[int, ...]] | None:
    """The shapes of all levels; None if they are not those of so many levels.

    Args:
        listed: one list of numbers for each level, as the file says it.
        levels: the number of levels.
        free: whether a shape may be empty.
    """
    shapes = [_shape(sides, free) for sides in listed or ()]
    known = [shape for shape in shapes if shape is not None]
    return known if len(known) == len(shapes) == levels else None


def _shape(sides: Any, free: bool) -> tuple[int, ...] | None:
    """Sides as whole numbers; None if they are not."""
    if sides is None or not (sides or free) or len(sides) > 32:
        return None
    whole = all(side is not None and 0 <= side < 2**31 and side == int(side) for side in sides)
    return tuple(int(side) for side in sides) if whole else None


def _runs(column: Any, levels: int) -> Iterator[tuple[int, int, Any]]:
    """Records that follow one another and have equal shapes: the first, the end and the shapes."""
    if not len(column):
        return
    starts = np.flatnonzero(~_repeats(column, 1 if levels == 1 else 2))
    shapes = column.take(pa.array(starts)).to_pylist()
    yield from zip(starts.tolist(), [*starts[1:].tolist(), len(column)], shapes, strict=True)


def _repeats(column: Any, depth: int) -> NDArray[np.bool_]:
    """Whether each list, to any depth, certainly equals the one before it."""
    count = len(column)
    same = np.zeros(count, np.bool_)
    for _ in range(depth):
        if column.null_count:
            return same
        lengths = pc.list_value_length(column).to_numpy(zero_copy_only=False).reshape(count, -1)
        if (lengths != lengths[0]).any():
            return same
        column = plain(column.flatten())
    numbers = pc.fill_null(exact(column).cast(pa.float64(), safe=False), math.nan)
    table = numbers.to_numpy(zero_copy_only=False).reshape(count, int(lengths[0].sum()))
    same[1:] = (table[1:] == table[:-1]).all(1)
    return same
