"""A tar of tokens as a table: the same columns and header as a parquet file of tokens has."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vocabula.data.tables import TableFile
from vocabula.data.tar_index import Member, MemberError, read_member
from vocabula.data.tar_samples import Sample, tar_samples
from vocabula.data.token_layout import IMAGE, KEY, attributes_of, schema, specs_of
from vocabula.data.token_tar_writer import HEADER
from vocabula.errors import DataError, TokensError
from vocabula.files import one_line

_GROUP_ROWS = 4096
_GROUP_BYTES = 2**23
_LARGEST = 2**24  # bytes of the header: names of classes and attributes


class TarTokenTable(TableFile):
    """A tar that `TarTokenWriter` has written, as the table that `TokenFile` reads.

    Args:
        path: the tar.

    Raises:
        TokensError: it is damaged, or no tar of tokens.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._kind, self._expected, self._fix = TokensError, "a tar of tokens", "encode again"
        with self.reporting():
            self._samples = [sample for _, sample in self._walked()]
            header = json.loads(self._header())
            self._levels = len(specs_of(header))
            further = attributes_of(header)
            columns = schema(specs_of(header), header.get("signal", IMAGE), further)
        self._further = tuple(further)
        self.schema = columns.with_metadata({KEY: json.dumps(header)})
        self.names = list(self.schema.names)
        self._bounds = self._divided()
        pairs = zip(self._bounds, self._bounds[1:], strict=False)
        self.groups = [(last - first, self._bytes(first, last)) for first, last in pairs]

    def read(self, columns: Sequence[str], group: int | None = None) -> pa.Table:
        """See `TableFile.read`."""
        first, last = 0, len(self._samples)
        if group is not None:
            first, last = self._bounds[group], self._bounds[group + 1]
        if group is None and len(self.groups) > 1:
            return pa.concat_tables([self.read(columns, g) for g in range(len(self.groups))])
        with self.reporting():
            return self._rows(first, last).select(list(columns))

    def _walked(self) -> list[tuple[str, Sample]]:
        try:
            return tar_samples(self.path)
        except DataError as error:
            raise TokensError(str(error)) from error

    def _header(self) -> bytes:
        """The first member."""
        head = Member("", 512, 0)
        start = read_member(self.path, 0, 512)
        size = int(start[124:136].strip(b" \0") or b"0", 8)
        if start[:100].rstrip(b"\0").decode("ascii", "replace") != HEADER or size > _LARGEST:
            raise TokensError(
                f"{self.path}: expected a tar of tokens, got another tar; make one with vocabula "
                "encode --shards N --format webdataset"
            )
        return read_member(self.path, head.first, size)

    def _divided(self) -> list[int]:
        """Where row groups begin, and the end."""
        bounds, size = [0], 0
        for row, sample in enumerate(self._samples):
            size += sum(member.size for member in sample.values())
            if row + 1 - bounds[-1] == _GROUP_ROWS or size >= _GROUP_BYTES:
                bounds.append(row + 1)
                size = 0
        return bounds if bounds[-1] == len(self._samples) else [*bounds, len(self._samples)]

    def _bytes(self, first: int, last: int) -> int:
        return sum(m.size for sample in self._samples[first:last] for m in sample.values())

    def _rows(self, first: int, last: int) -> pa.Table:
        """Some rows, from one read of the bytes that hold them."""
        samples = self._samples[first:last]
        if not samples:
            return self.schema.empty_table()
        members = [member for sample in samples for member in sample.values()]
        start = min(member.first for member in members)
        end = max(member.first + member.size for member in members)
        try:
            data = memoryview(read_member(self.path, start, end - start))
        except MemberError as error:
            raise ValueError(str(error)) from None
        columns: dict[str, list[Any]] = {name: [] for name in self.names}
        for sample in samples:
            held = {e: bytes(data[m.first - start :][: m.size]) for e, m in sample.items()}
            for name, value in self._row(held).items():
                columns[name].append(value)
        return pa.Table.from_pydict(columns, schema=self.schema)

    def _row(self, held: Mapping[str, bytes]) -> dict[str, Any]:
        """The columns of one signal."""
        many = self._levels > 1
        names = [f"codes{n}.npy" for n in range(self._levels)] if many else ["codes.npy"]
        missing = [name for name in (*names, "json") if name not in held]
        if missing:
            raise ValueError(f"a signal without its member {missing[0]}")
        levels = [_array(held[name]) for name in names]
        about = json.loads(held["json"])
        shapes = [list(codes.shape) for codes in levels]
        extent = about["extent"]
        sides = {"height": extent[0], "width": extent[1]} if "height" in self.names else {}
        return {
            "codes": np.concatenate([codes.reshape(-1) for codes in levels]),
            "shape": shapes if many else shapes[0],
            **(sides or {"extent": extent}),
            "path": str(about["path"]),
            "label": int(held["cls"]) if "cls" in held else None,
            **{name: about.get(name) for name in self._further},
        }

    def _damaged(self, error: Exception) -> TokensError:
        reason = one_line(str(error))[:120] or type(error).__name__
        return TokensError(
            f"{self.path}: expected {self._expected}, got a damaged or foreign one ('{reason}'); "
            f"{self._fix}"
        )


def _array(data: bytes) -> NDArray[Any]:
    found = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    if found.dtype.kind not in "iu":
        raise ValueError(f"codes of type {found.dtype}")
    return found
