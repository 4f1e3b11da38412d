"""Alignments: what is said when, as tables of path, start, end and label."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from vocabula.data.tables import TableFile
from vocabula.errors import DataError
from vocabula.files import check_plain, one_line

COLUMNS = ("path", "start", "end", "label")
SILENCE = ("_", "sil", "sp", "spn", "pau", "h#", "<sil>", "<eps>")
"""Labels of silence, as tools of alignment write them."""
NONE = -1
"""The label's number where nothing is said to be."""
_TOLERANCE = 1e-6  # seconds by which neighbours may overlap: times are rounded
_BEYOND = 0.1  # seconds after the end of a recording that an alignment may still name


@dataclass(frozen=True, slots=True)
class Segments:
    """The segments of one recording, in order: starts and ends in seconds, numbers of labels."""

    starts: NDArray[np.float64]
    ends: NDArray[np.float64]
    labels: NDArray[np.int64]


class Alignment:
    """The segments of recordings, by path.

    Args:
        name: what messages call the table.
        segments: of each recording, by its path relative to the data, with forward slashes.
        labels: what the numbers in the segments mean, in order.

    Attributes:
        labels: see above.
    """

    def __init__(self, name: str, segments: dict[str, Segments], labels: Sequence[str]) -> None:
        self.name, self.segments, self.labels = name, segments, tuple(labels)

    def at(self, path: str, seconds: NDArray[np.float64], duration: float) -> NDArray[np.int64]:
        """The label's number at each of some times, `NONE` between segments.

        Args:
            path: of the recording, as the data name it.
            seconds: the times.
            duration: of the recording, in seconds.

        Raises:
            DataError: the recording has no segment, or one lies after its end.
        """
        found = self.segments.get(_key(path))
        if found is None:
            known = next(iter(self.segments), "no path")
            raise DataError(
                f"{self.name}: expected segments of {path}, got none; name paths relative to the "
                f"data, as in {known}"
            )
        if found.ends[-1] > duration + _BEYOND:
            raise DataError(
                f"{self.name}: expected times within the {duration:.2f} seconds of {path}, got an "
                f"end at {found.ends[-1]:g}; give seconds, of the same recordings"
            )
        place = np.searchsorted(found.starts, seconds, side="right") - 1
        inside = (place >= 0) & (seconds < found.ends[place])
        return np.where(inside, found.labels[place], NONE)


def read_alignment(path: str | os.PathLike[str]) -> Alignment:
    """Read a table with the columns path, start, end (seconds) and label; others are not looked at.

    Args:
        path: a .csv (comma or, as .tsv, tab) or .parquet file, with a row for every segment, as a
            TextGrid's tier has intervals.

    Raises:
        DataError: the file cannot be read, a column or a label is missing, a time is negative or
            not finite, a segment ends before it begins, or two of a recording overlap.

    Example:
        >>> from pathlib import Path
        >>> rows = ("path,start,end,label", "a.wav,0,0.1,t", "a.wav,0.1,0.3,oʊ")
        >>> _ = Path("a.csv").write_text(chr(10).join(rows))
        >>> read_alignment("a.csv").at("a.wav", np.array([0.05, 0.1, 0.3]), 0.3).tolist()
        [1, 0, -1]
    """
    name = os.fspath(path)
    paths, starts, ends, words = _columns(Path(name).expanduser(), name)
    _check_rows(name, paths, starts, ends, words)
    labels = sorted(set(words))
    numbers = {label: number for number, label in enumerate(labels)}
    known = np.array([numbers[word] for word in words], np.int64)
    rows: dict[str, list[int]] = {}
    for row, recording in enumerate(paths):
        rows.setdefault(_key(recording), []).append(row)
    segments = {}
    for recording, own in rows.items():
        order = np.array(own)[np.argsort(starts[own], kind="stable")]
        segments[recording] = Segments(starts[order], ends[order], known[order])
        over = np.flatnonzero(starts[order][1:] < ends[order][:-1] - _TOLERANCE)
        if len(over):
            first, second = order[over[0]], order[over[0] + 1]
            raise DataError(
                f"{name}: expected segments that follow one another, got {words[second]!r} of "
                f"{recording} at {starts[second]:g} s before the end of {words[first]!r} at "
                f"{ends[first]:g} s; keep one tier"
            )
    return Alignment(name, segments, labels)


def _columns(
    place: Path, name: str
) -> tuple[list[str], NDArray[np.float64], NDArray[np.float64], list[str]]:
    """The four columns of a table."""
    expected = "a table of path, start, end and label"
    suffix = place.suffix.lower()
    if suffix not in (".csv", ".tsv", ".parquet"):
        raise DataError(
            f"{name}: expected {expected} in .csv, .tsv or .parquet, got the suffix "
            f"{suffix or 'none'}; convert it"
        )
    check_plain(place, expected)
    if suffix == ".parquet":
        file = TableFile(place, expected=expected)
        for column in COLUMNS:
            file.type_of(column)
        table = file.read(COLUMNS)
    else:
        table = _text_table(place, name, "," if suffix == ".csv" else "\t")
    if not table.num_rows:
        raise DataError(f"{name}: expected segments, got a table without rows; add some")
    times = [_times(table.column(column), name, column) for column in ("start", "end")]
    texts = [
        ["" if word is None else str(word).strip() for word in table.column(column).to_pylist()]
        for column in ("path", "label")
    ]
    return texts[0], times[0], times[1], texts[1]


def _text_table(place: Path, name: str, delimiter: str) -> pa.Table:
    kinds = {"path": pa.string(), "label": pa.string(), "start": pa.string(), "end": pa.string()}
    convert = pa.csv.ConvertOptions(column_types=kinds, strings_can_be_null=False)
    try:
        table = pa.csv.read_csv(
            place,
            read_options=pa.csv.ReadOptions(use_threads=False),
            parse_options=pa.csv.ParseOptions(delimiter=delimiter),
            convert_options=convert,
        )
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"{name}: expected a table of path, start, end and label, got a file that is none "
            f"('{one_line(str(error))[:120]}'); check it"
        ) from error
    for column in COLUMNS:
        if table.column_names.count(column) != 1:
            raise DataError(
                f"{name}: expected one column {column}, got "
                f"{table.column_names.count(column) or 'none'}; name it so"
            )
    return table


def _times(column: pa.ChunkedArray, name: str, title: str) -> NDArray[np.float64]:
    try:
        return np.array(column.cast(pa.float64()).to_pylist(), np.float64)  # None becomes NaN
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise DataError(
            f"{name}: expected numbers of seconds in the column {title}, got others "
            f"('{one_line(str(error))[:100]}'); correct them"
        ) from error


def _check_rows(
    name: str,
    paths: Sequence[str],
    starts: NDArray[np.float64],
    ends: NDArray[np.float64],
    words: Sequence[str],
) -> None:
    """Refuse the first row that is wrong."""
    known = np.array([bool(path) and bool(word) for path, word in zip(paths, words, strict=True)])
    bad = ~known | ~np.isfinite(starts) | ~np.isfinite(ends) | (starts < 0) | (ends <= starts)
    if not bad.any():
        return
    row = int(np.argmax(bad))
    start, end = starts[row], ends[row]
    where = f"{name}: row {row + 1}"
    if not words[row]:
        raise DataError(f"{where}: expected a label, got none; write _ for silence")
    if not paths[row]:
        raise DataError(f"{where}: expected the path of a recording, got none; give it")
    if start < 0:
        raise DataError(f"{where}: expected a start of 0 s or later, got {start:g}; correct it")
    raise DataError(
        f"{where}: expected an end after its start, got {start:g} to {end:g} s; correct it"
    )


def _key(path: str) -> str:
    """A path as tables and data name it alike."""
    return str(PurePosixPath(path.replace("\\", "/")))
