"""Writing files of codes: streamed by row groups, complete or absent."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vocabula.data.token_layout import (
    FORMAT,
    KEY,
    CodeLayout,
    TokenRecord,
    check_record,
    header_fields,
    schema,
)
from vocabula.errors import OptionError, OutputError, TokensError
from vocabula.files import Draft, output_error, unicode_text

_GROUP_ROWS = 1024
_GROUP_CODES = 4_000_000
_OTHER_FORMATS = re.compile(
    r"\.(npy|npz|csv|tsv|txt|jsonl?|arrow|feather|h5|hdf5|pth?|pkl|pickle|zip|safetensors|toml|vcb"
    r"|md|html|xlsx|tar|gz|db|sqlite|jpe?g|png|webp|bmp|gif|tiff?)",
    re.IGNORECASE,
)
"""Ends of names of which a reader would expect something else than parquet."""


class TokenWriter:
    """Writes records one by one, by row groups; the file appears, complete, when it is closed.

    Use it in a ``with`` block: if the block fails, nothing is left behind.

    Args:
        path: the file to write.
        fingerprint: the tokenizer's hash.
        codebook_sizes: K of each book, where there is one level.
        code_shape: () for one book, (books,) for several, where there is one level.
        levels: the layout of each level's codes, the coarsest first, instead of these two.
        source: name of the data that were encoded.
        label_names: class names by label, or None.
        crops: the number of squares encoded per picture; `crop_name` gives their paths.
        overwrite: replace an existing file.

    Attributes:
        count: records written so far.

    Raises:
        OutputError: the file exists, its folder is not writable, or the disk is full.
        OptionError: the file's name indicates another format.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        fingerprint: str,
        codebook_sizes: Sequence[int] = (),
        code_shape: Sequence[int] = (),
        levels: Sequence[CodeLayout] = (),
        source: str = "",
        label_names: Sequence[str] | None = None,
        crops: int = 1,
        overwrite: bool = False,
    ) -> None:
        self._path = Path(path)
        check_name(self._path)
        if not (levels or codebook_sizes):
            raise TokensError(
                f"{path}: expected a tokenizer with a codebook, got a continuous one;"
                " its values are no codes, encode with another tokenizer"
            )
        self._layouts = tuple(levels) or (CodeLayout.of(codebook_sizes, code_shape),)
        about = header_fields(self._layouts)
        header = {
            "format": FORMAT,
            "version": about.pop("version"),
            "fingerprint": fingerprint,
            **about,
            "source": source,
            "label_names": None if label_names is None else list(label_names),
            **({"crops": crops} if crops > 1 else {}),
        }
        self._schema = schema(self._layouts).with_metadata({KEY: json.dumps(header)})
        self._kind = self._schema.field("codes").type.value_type
        self._rows: list[TokenRecord] = []
        self._pending = 0
        self.count = 0
        self._draft = Draft(self._path, overwrite=overwrite)
        with self._reporting():
            self._file = _open_new(self._draft.hidden)
            self._writer = pq.ParquetWriter(
                self._file, self._schema, compression="zstd", write_page_checksum=True
            )

    def append(self, record: TokenRecord) -> None:
        """Add the codes of one signal.

        Raises:
            TokensError: levels, shapes or codes do not fit the codebooks.
            OutputError: the disk is full.
        """
        check_record(record, self._layouts, record.path)
        kind = self._kind.to_pandas_dtype()
        levels = [codes.astype(kind) for codes in record.levels]
        self._rows.append(
            TokenRecord(levels, record.path, record.label, record.height, record.width)
        )
        self._pending += sum(codes.size for codes in record.levels)
        self.count += 1
        if len(self._rows) >= _GROUP_ROWS or self._pending >= _GROUP_CODES:
            self._flush()

    def close(self) -> int:
        """Finish the file and put it in its place.

        Returns:
            The number of records.

        Raises:
            OutputError: the disk is full, or the file was created in the meantime.
        """
        self._flush()
        with self._reporting():
            self._writer.close()
            self._file.close()
            self._draft.publish()
        return self.count

    def discard(self) -> None:
        """Abort: remove what was written so far."""
        # Closing writes the footer, which fails on a full disk; the file is removed anyway.
        with contextlib.suppress(OSError, pa.ArrowException, ValueError, AttributeError):
            self._writer.close()
        with contextlib.suppress(OSError, AttributeError):
            self._file.close()
        self._draft.discard()

    def __enter__(self) -> TokenWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def _flush(self) -> None:
        if not self._rows:
            return
        codes = [
            np.concatenate([level.reshape(-1) for level in record.levels]) for record in self._rows
        ]
        offsets = np.concatenate([[0], np.cumsum([len(c) for c in codes])]).astype(np.int32)
        flat = pa.array(np.concatenate(codes), self._kind)
        sides = [[list(level.shape) for level in record.levels] for record in self._rows]
        if len(self._layouts) == 1:
            sides = [shapes[0] for shapes in sides]
        shapes = pa.array(sides, self._schema.field("shape").type)
        columns = [
            pa.ListArray.from_arrays(pa.array(offsets), flat),
            shapes,
            pa.array([r.height for r in self._rows], pa.int32()),
            pa.array([r.width for r in self._rows], pa.int32()),
            pa.array([unicode_text(r.path) for r in self._rows], pa.string()),
            pa.array([r.label for r in self._rows], pa.int64()),
        ]
        with self._reporting():
            self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))
        self._rows, self._pending = [], 0

    @contextlib.contextmanager
    def _reporting(self) -> Iterator[None]:
        """Turn a failed write into one line, and leave no partial file."""
        try:
            yield
        except OutputError:
            self.discard()
            raise
        except (OSError, pa.ArrowException) as error:
            self.discard()
            raise output_error(self._path, error) from error


def write_tokens(
    path: str | os.PathLike[str], records: Iterable[TokenRecord], **options: Any
) -> int:
    """Write all records to one file, at once or not at all.

    Args:
        path: the file to write.
        records: the codes, one record per signal.
        **options: fingerprint, codebook_sizes, code_shape, levels, source, label_names, crops and
            overwrite of `TokenWriter`.

    Returns:
        The number of records.

    Raises:
        OutputError: the file exists, its folder is not writable, or the disk is full.
        TokensError: codes do not fit the codebooks.
    """
    with TokenWriter(path, **options) as writer:
        for record in records:
            writer.append(record)
    return writer.count


def check_name(path: Path) -> None:
    """Refuse a name that indicates a format other than parquet, before any work is done.

    Raises:
        OptionError: the name has such an ending.
    """
    if _OTHER_FORMATS.fullmatch(path.suffix):
        raise OptionError(
            f"{path}: expected a name that ends in .parquet, got {path.suffix}; tokens are written"
            f" as parquet, take {path.with_suffix('.parquet')}"
        )


def _open_new(path: Path) -> BinaryIO:
    return open(path, "xb")
