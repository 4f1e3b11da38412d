"""Codes of many signals, checked, and as the columns of a table of tokens."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vocabula.data.row_names import RowNames
from vocabula.data.token_layout import IMAGE, LARGEST_SIDE, check_levels
from vocabula.errors import TokensError
from vocabula.files import unicode_text
from vocabula.levels import array_of, levels_of
from vocabula.signals.codes import CodeSpec


@dataclass(frozen=True, slots=True)
class TokenRows:
    """Signals whose codes have equal shapes, in the form that a file stores.

    Attributes:
        codes: (B, n) the codes of all levels of each signal, flattened.
        shapes: the shape of the codes of each level.
        extents: (B, axes) int64, the size of each signal along each axis.
        paths: (B,) where each signal came from, texts or an Arrow array.
        labels: (B,) int64, -1 where there is none.
        further: (B,) int64 values of each further attribute, -1 where there is none.
    """

    codes: NDArray[Any]
    shapes: tuple[tuple[int, ...], ...]
    extents: NDArray[np.int64]
    paths: Any
    labels: NDArray[np.int64]
    further: Mapping[str, NDArray[np.int64]]

    def __len__(self) -> int:
        """The number of signals B."""
        return len(self.codes)

    def stored(self, first: int, last: int, kind: np.dtype[Any]) -> TokenRows:
        """A copy of the rows from `first` to before `last`, with codes of the type `kind`."""
        span = slice(first, last)
        return TokenRows(
            self.codes[span].astype(kind),
            self.shapes,
            self.extents[span],
            self.paths[span],
            self.labels[span],
            {name: values[span] for name, values in self.further.items()},
        )


def checked_rows(
    specs: Sequence[CodeSpec],
    signal: str,
    levels: Any,
    paths: Any = None,
    labels: Any = None,
    extent: Any = (),
    further: Mapping[str, Any] = MappingProxyType({}),
    *,
    first: int = 0,
) -> TokenRows:
    """Rows for a file whose levels are `specs`; see `TokenWriter.extend` for the other arguments.

    Args:
        specs: what the codes of each level are.
        signal: the kind of signal.
        levels: the codes.
        paths: where each signal came from.
        labels: classes.
        extent: size along each axis.
        further: values of each further attribute, None where no signal has one.
        first: number of the first signal, which a message gives where there is no path.

    Raises:
        TokensError: levels, shapes, codes or extents do not fit, or there are more or fewer paths,
            labels or extents than signals.
    """
    arrays = [array_of(level) for level in levels_of(levels)]
    count = len(arrays[0]) if arrays and arrays[0].ndim else 0
    texts, classes = _texts(paths, count), _classes(labels, count)
    sides = np.array(extent, np.int64)
    sides = np.repeat(sides[None], count, axis=0) if sides.ndim == 1 else sides
    others = {name: _classes(values, count) for name, values in further.items()}
    given = {"paths": texts, "labels": classes, "extents": sides}
    given |= {f"values of {name}": values for name, values in others.items()}
    given |= {f"codes of level {i + 1}": codes for i, codes in enumerate(arrays) if codes.ndim}
    for what, values in given.items():
        if len(values) != count:
            raise TokensError(
                f"codes: expected {count} {what}, one for each signal, got {len(values)}; give as"
                " many"
            )

    def named(row: int) -> str:
        return (str(texts[row]) if count else "") or f"record {first + row}"

    check_levels(arrays, specs, None if signal == IMAGE else sides.shape[1], named)
    _check_sides(sides, signal, named)
    flat = [codes.reshape(count, math.prod(codes.shape[1:])) for codes in arrays]
    return TokenRows(
        flat[0] if len(flat) == 1 else np.concatenate(flat, axis=1),
        tuple(codes.shape[1:] for codes in arrays),
        sides,
        texts,
        classes,
        others,
    )


def table_of(pieces: Sequence[TokenRows], columns: pa.Schema) -> pa.Table:
    """Rows as a table of tokens.

    Args:
        pieces: rows that follow one another; there is at least one piece.
        columns: the columns of the table.
    """
    counts = [len(piece) for piece in pieces]
    codes = pa.array(np.concatenate([piece.codes.reshape(-1) for piece in pieces]))
    extents = np.concatenate([piece.extents.reshape(-1) for piece in pieces]).astype(np.int32)
    ranks = [[len(shape) for shape in piece.shapes] for piece in pieces]
    sides = [[side for shape in piece.shapes for side in shape] for piece in pieces]
    shapes = _lists(pa.array(_repeated(sides, counts)), _repeated(ranks, counts))
    if pa.types.is_list(columns.field("shape").type.value_type):
        shapes = _lists(shapes, np.full(sum(counts), len(ranks[0])))
    found = {
        "codes": _lists(codes, np.repeat([piece.codes.shape[1] for piece in pieces], counts)),
        "shape": shapes,
        "path": pa.concat_arrays(_arrow(pieces)),
        "label": _nullable([piece.labels for piece in pieces]),
    }
    for name in pieces[0].further:
        found[name] = _nullable([piece.further[name] for piece in pieces])
    if "extent" in columns.names:
        axes = [piece.extents.shape[1] for piece in pieces]
        found["extent"] = _lists(pa.array(extents), np.repeat(axes, counts))
    else:
        found["height"], found["width"] = (pa.array(extents[axis::2]) for axis in (0, 1))
    return pa.Table.from_arrays([found[name] for name in columns.names], schema=columns)


def _nullable(parts: Sequence[NDArray[np.int64]]) -> pa.Array:
    """Values in one column, null where they are -1."""
    values = np.concatenate(parts)
    return pa.array(values, mask=values == -1)


def _repeated(numbers: Sequence[Sequence[int]], counts: Sequence[int]) -> NDArray[np.int32]:
    """The numbers of each piece, as often as it has rows."""
    if all(other == numbers[0] for other in numbers):
        return np.tile(np.array(numbers[0], np.int32), sum(counts))
    repeated = (list(own) * count for own, count in zip(numbers, counts, strict=True))
    return np.array([*itertools.chain.from_iterable(repeated)], np.int32)


def _lists(values: pa.Array, lengths: NDArray[Any]) -> pa.ListArray:
    """The values in lists of some lengths."""
    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return pa.ListArray.from_arrays(pa.array(offsets), values)


def _texts(paths: Any, count: int) -> Any:
    """Paths as a list of texts or an Arrow array of them."""
    if paths is None:
        return pa.repeat("", count)
    if isinstance(paths, RowNames):
        return paths.arrow()
    if isinstance(paths, pa.ChunkedArray):
        paths = paths.combine_chunks()
    return paths.cast(pa.string()).fill_null("") if isinstance(paths, pa.Array) else list(paths)


def _arrow(pieces: Sequence[TokenRows]) -> list[pa.Array]:
    """The paths of all pieces as Arrow arrays; lists that follow one another are one array."""
    found: list[pa.Array] = []
    for listed, group in itertools.groupby(pieces, lambda piece: isinstance(piece.paths, list)):
        if not listed:
            found += [piece.paths for piece in group]
            continue
        texts = [path for piece in group for path in piece.paths]
        found.append(pa.array(map(unicode_text, texts), pa.string()))  # names may hold any bytes
    return found


def _classes(labels: Any, count: int) -> NDArray[np.int64]:
    """Labels as integers, -1 where there is none."""
    if labels is None:
        return np.full(count, -1, np.int64)
    if isinstance(labels, np.ndarray):
        return labels.astype(np.int64)
    return np.array([-1 if label is None else label for label in labels], np.int64)


def _check_sides(sides: NDArray[np.int64], signal: str, named: Callable[[int], str]) -> None:
    """Refuse an image without height and width, and sizes that no signal has."""
    if sides.ndim != 2 or (signal == IMAGE and sides.shape[1] != 2):
        raise TokensError(
            f"{named(0)}: expected a size for each axis of the {signal}, got an extent of shape"
            f" {sides.shape[1:]}; give as many numbers as it has axes"
        )
    wrong = (sides < 1) | (sides >= LARGEST_SIDE)
    if wrong.any():
        row = int(np.argmax(wrong.any(axis=1)))
        raise TokensError(
            f"{named(row)}: expected sizes in [1, 2^31), got {tuple(sides[row].tolist())};"
            " give the size of the encoded signal"
        )
