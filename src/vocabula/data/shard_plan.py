"""The plan of a sharded encoding: which inputs each shard has, frozen in one file.

A parquet table: one row is one piece of one shard, in order.

    shard      int32          number of the shard, rising
    path       string         the file, or the name of data that are no file
    first      int64          number of the first signal in the file
    count      int64          signals
    size       int64          bytes of the file, -1 for no file
    modified   int64          date of the file in nanoseconds, -1 for no file
    =NAME      list<int64>    the value of an attribute of each signal

Without columns of attributes only reading tells them.

The file's metadata hold JSON under the key ``vocabula``: the facts that `PlanFacts` lists.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vocabula.data.pieces import Piece
from vocabula.data.tables import TableFile
from vocabula.data.token_layout import KEY
from vocabula.errors import TokensError
from vocabula.files import Draft, output_errors, sync_folder

PLAN = "plan.parquet"
"""Name of the file in the folder of tokens."""
FORMAT, VERSION = "vocabula shards", 1
PARQUET = "parquet"
"""The format of parts unless a plan says another."""

_GROUP = 2**16  # rows of a row group; a shard is never divided between two
_COLUMNS = {"shard": pa.int32(), "path": pa.string()} | dict.fromkeys(
    ("first", "count", "size", "modified"), pa.int64()
)
Values = Mapping[str, NDArray[np.int64]]


@dataclass(frozen=True)
class PlanFacts:
    """What a plan says beside its pieces.

    Attributes:
        data: as the user named them.
        signal: the kind of signal.
        fingerprint: hash of the tokenizer.
        shards: how many.
        signals: how many are shared out; of pictures that are cut, the pictures.
        options: those of the kind's `SignalData`, such as ``strict``.
        limit: how many of the first signals were asked for; None for all.
        batch_size: most signals of a batch; None for the source's own.
        cut: the options of `Cut`; None for whole signals.
        most_broken: share of a shard's signals that may be broken.
        root: the folder that paths are relative to, or None.
        source: name of the source that was opened.
        label_names: class names by label, or None.
        attributes: the further attributes and what their values are called.
        folders: date of each folder that the data were found in.
        unreadable: path and reason of what was left out while the data were opened.
        format: of the parts, see `FORMATS` in token_tables.py.
        quality: how little bits weigh in the search for codes; None as in training.
    """

    data: str
    signal: str
    fingerprint: str
    shards: int
    signals: int
    options: Mapping[str, Any]
    batch_size: int | None
    limit: int | None
    cut: Mapping[str, Any] | None
    most_broken: float
    root: str | None
    source: str
    label_names: Sequence[str] | None
    attributes: Mapping[str, Sequence[str]]
    folders: Mapping[str, int] = field(default_factory=dict)
    unreadable: Sequence[Sequence[str]] = ()
    format: str = PARQUET
    quality: float | None = None

    @property
    def crops(self) -> int:
        """Squares of each picture."""
        return int(self.cut["crops"]) if self.cut else 1


@dataclass(frozen=True)
class Shard:
    """The inputs of one shard.

    Attributes:
        number: of the shard.
        pieces: its inputs, in order.
        first: number of its first signal in the data.
        values: (n,) value of each attribute of its signals; None where only reading tells.
    """

    number: int
    pieces: Sequence[Piece]
    first: int
    values: Values | None

    @property
    def signals(self) -> int:
        """How many signals it has."""
        return sum(piece.count for piece in self.pieces)


def write_plan(
    folder: Path, facts: PlanFacts, pieces: Iterable[tuple[int, Piece]], values: Values | None
) -> None:
    """Write the plan of a folder, unless one has come to exist: the first of several stays.

    Args:
        folder: the folder of tokens, which exists.
        facts: what it says beside the pieces.
        pieces: the number of the shard of each, rising.
        values: (N,) value of each attribute of all signals, or None.

    Raises:
        OutputError: it cannot be written.
    """
    names = [f"={name}" for name in values or {}]
    schema = pa.schema(_COLUMNS | dict.fromkeys(names, pa.list_(pa.int64())))
    told = {"parts" if name == "format" else name: own for name, own in asdict(facts).items()}
    if facts.format == PARQUET:
        del told["parts"]  # as plans always told
    if facts.quality is None:
        del told["quality"]
    header = {"format": FORMAT, "version": VERSION, **told}
    schema = schema.with_metadata({KEY: json.dumps(header, sort_keys=True)})
    place = folder / PLAN
    with output_errors(place):
        draft = Draft(place, overwrite=True)
        try:
            with pq.ParquetWriter(draft.hidden, schema, compression="zstd") as writer:
                for rows in _groups(pieces, values):
                    writer.write_table(pa.Table.from_pydict(rows, schema=schema))
            _publish(draft, place)
        finally:
            draft.discard()


def _publish(draft: Draft, place: Path) -> None:
    """Put a complete file into its place unless another process was faster."""
    with open(draft.hidden, "rb+") as file:
        os.fsync(file.fileno())
    try:
        os.link(draft.hidden, place)
        sync_folder(place.parent)
    except FileExistsError:
        return
    except OSError:  # a disk without links: of several that start at once, the last one wins
        draft.publish()


def _groups(
    pieces: Iterable[tuple[int, Piece]], values: Values | None
) -> Iterator[dict[str, list[Any]]]:
    """The rows of each row group."""
    names = [*_COLUMNS, *(f"={name}" for name in values or {})]
    rows: dict[str, list[Any]] = {name: [] for name in names}
    start = 0
    for shard, piece in pieces:
        if len(rows["shard"]) >= _GROUP and shard != rows["shard"][-1]:
            yield rows
            rows = {name: [] for name in names}
        for name in ("path", "first", "count", "size", "modified"):
            rows[name].append(getattr(piece, name))
        rows["shard"].append(shard)
        for name, own in (values or {}).items():
            rows[f"={name}"].append(own[start : start + piece.count])
        start += piece.count
    yield rows


class ShardPlan:
    """The plan in a folder of tokens.

    Args:
        folder: the folder.

    Attributes:
        facts: what it says beside the pieces.
        id: hash of the plan, which its parts carry.

    Raises:
        TokensError: the plan is damaged or foreign.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / PLAN
        words = {"kind": TokensError, "expected": "the plan of shards", "fix": "start anew"}
        self._table = TableFile(self.path, **words)  # type: ignore[arg-type]
        try:
            header = json.loads((self._table.schema.metadata or {})[KEY])
            if header.pop("format") != FORMAT or header.pop("version") > VERSION:
                raise ValueError
            self.facts = PlanFacts(format=header.pop("parts", PARQUET), **header)
        except (KeyError, TypeError, ValueError):
            raise TokensError(
                f"{self.path}: expected the plan of shards, got another or a newer file; update "
                "vocabula, or start anew in another folder"
            ) from None
        with open(self.path, "rb") as file:
            self.id = hashlib.file_digest(file, "sha256").hexdigest()[:16]
        self._firsts: list[tuple[int, int]] | None = None
        self._group = functools.lru_cache(maxsize=1)(self._read)

    def __len__(self) -> int:
        """The number of shards."""
        return self.facts.shards

    def shard(self, number: int) -> Shard:
        """The inputs of one shard."""
        group, first = self._place(number)
        rows, signals = self._group(group)
        shards = _numbers(rows["shard"])
        a, b = np.searchsorted(shards, [number, number + 1]).tolist()
        own = rows.slice(a, b - a)
        columns = [own[name].to_pylist() for name in ("path", "first", "count", "size", "modified")]
        return Shard(
            number,
            [Piece(*row) for row in zip(*columns, strict=True)],
            first + int(signals[:a].sum()),
            _values(own),
        )

    def pieces(self) -> Iterator[Piece]:
        """The pieces of all shards, in order."""
        names = ("path", "first", "count", "size", "modified")
        for group in range(len(self._table.groups)):
            rows = self._table.read(names, group)
            columns = [rows[name].to_pylist() for name in names]
            yield from (Piece(*row) for row in zip(*columns, strict=True))

    def counts(self) -> NDArray[np.int64]:
        """The signals of each shard."""
        found = np.zeros(len(self), np.int64)
        for group in range(len(self._table.groups)):
            rows = self._table.read(["shard", "count"], group)
            np.add.at(found, _numbers(rows["shard"]), _numbers(rows["count"]))
        return found

    def _place(self, number: int) -> tuple[int, int]:
        """The row group of a shard, and the number of the first signal in it."""
        if self._firsts is None:
            self._firsts, signals = [], 0
            for group in range(len(self._table.groups)):
                rows = self._table.read(["shard", "count"], group)
                self._firsts.append((rows["shard"][0].as_py(), signals))
                signals += int(_numbers(rows["count"]).sum())
        group = sum(first <= number for first, _ in self._firsts) - 1
        return group, self._firsts[group][1]

    def _read(self, group: int) -> tuple[Any, NDArray[np.int64]]:
        rows = self._table.read(self._table.names, group).combine_chunks()
        return rows, _numbers(rows["count"])


def _numbers(column: Any) -> NDArray[Any]:
    """A column without gaps; `to_numpy` would import pandas where it is there."""
    found: NDArray[Any] = np.from_dlpack(column.combine_chunks())
    return found


def _values(rows: Any) -> Values | None:
    """The attributes of the signals of some rows."""
    names = [name for name in rows.column_names if name.startswith("=")]
    if not names:
        return None
    return {
        name[1:]: np.asarray(rows[name].combine_chunks().flatten().to_numpy(zero_copy_only=False))
        for name in names
    }
