"""Writing files of codes: streamed by row groups, complete or absent."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from vocabula.data.token_layout import (
    FORMAT,
    IMAGE,
    KEY,
    check_attributes,
    header_fields,
    schema,
    stored_type,
)
from vocabula.data.token_records import TokenRecord
from vocabula.data.token_rows import TokenRows, checked_rows, table_of
from vocabula.errors import OptionError, OutputError, TokensError
from vocabula.files import Draft, output_error
from vocabula.signals.codes import CodeSpec

_GROUP_ROWS = 65_536
_GROUP_PIECES = 1024  # records that came one by one
_GROUP_CODES = 4_000_000
_OTHER_FORMATS = re.compile(
    r"\.(npy|npz|csv|tsv|txt|jsonl?|arrow|feather|h5|hdf5|pth?|pkl|pickle|zip|safetensors|toml|vcb"
    r"|md|html|xlsx|tar|gz|db|sqlite|jpe?g|png|webp|bmp|gif|tiff?"
    r"|wav|flac|mp3|ogg|opus)",
    re.IGNORECASE,
)
"""Ends of names of which a reader would expect something else than parquet."""


class TokenWriter:
    """Writes codes by row groups; the file appears, complete, when it is closed.

    Use it in a ``with`` block: if the block fails, nothing is left behind.

    Args:
        path: the file to write.
        fingerprint: the tokenizer's hash.
        levels: what the codes of each level are, the coarsest first.
        signal: the name of the kind of signal.
        source: name of the data that were encoded.
        label_names: class names by label, or None.
        attributes: the further attributes, such as the speaker, and what their values are called;
            empty where they have no names.
        crops: the number of squares encoded per picture; `crop_name` gives their paths.
        part: further entries of the header, such as the plan and the shard of a part.
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
        levels: Sequence[CodeSpec],
        signal: str = IMAGE,
        source: str = "",
        label_names: Sequence[str] | None = None,
        attributes: Mapping[str, Sequence[str]] = MappingProxyType({}),
        crops: int = 1,
        part: Mapping[str, str | int] = MappingProxyType({}),
        overwrite: bool = False,
    ) -> None:
        self._path = Path(path)
        self._check_name()
        check_attributes(attributes, path)
        if not levels or not all(spec.books for spec in levels):
            raise TokensError(
                f"{path}: expected a tokenizer with a codebook, got a continuous one;"
                " its values are no codes, encode with another tokenizer"
            )
        self._specs, self._signal, self._kind = tuple(levels), signal, stored_type(levels)
        words = {name: [*own] or None for name, own in attributes.items()}
        about = header_fields(self._specs, signal)
        header = {
            "format": FORMAT,
            "version": about.pop("version"),
            "fingerprint": fingerprint,
            **about,
            "source": source,
            "label_names": None if label_names is None else list(label_names),
            **({"crops": crops} if crops > 1 else {}),
            **({"attributes": words} if attributes else {}),
            **part,
        }
        self._attributes = tuple(attributes)
        self._schema = schema(self._specs, signal, attributes).with_metadata(
            {KEY: json.dumps(header)}
        )
        self._pieces: list[TokenRows] = []
        self._rows = self._codes = self.count = 0
        self._draft = Draft(self._path, overwrite=overwrite)
        with self._reporting():
            self._file = _open_new(self._draft.hidden)
            self._start()

    # ------------------------------------------------ what another format does otherwise

    def _check_name(self) -> None:
        """Refuse a name that indicates another format."""
        check_name(self._path)

    def _start(self) -> None:
        """Write what comes before all codes."""
        self._writer = pq.ParquetWriter(
            self._file,
            self._schema,
            compression="zstd",
            write_page_checksum=True,
            # names that all differ gain nothing from a dictionary, and take its time
            use_dictionary=True if self._signal == IMAGE else ["codes.list.element"],
        )

    def _store(self, pieces: Sequence[TokenRows]) -> None:
        """Write some rows."""
        self._writer.write_table(table_of(pieces, self._schema))

    def _finish(self) -> None:
        """Write what comes after all codes."""
        self._writer.close()

    # -------------------------------------------------------------------------------------

    def append(self, record: TokenRecord) -> None:
        """Add the codes of one signal.

        Raises:
            TokensError: levels, shapes or codes do not fit the codebooks.
            OutputError: the disk is full.
        """
        levels = [codes[None] for codes in record.levels]
        further = {name: [value] for name, value in record.attributes.items()}
        self.extend(levels, [record.path], [record.label], record.extent, further)

    def extend(
        self,
        levels: Any,
        paths: Any = None,
        labels: Any = None,
        extent: Any = (),
        attributes: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """Add the codes of many signals of equal shapes.

        Args:
            levels: integers (B, *grid, *code_shape); for several levels one array or tensor each,
                the coarsest first.
            paths: where each signal came from, texts or an Arrow array; None writes empty texts.
            labels: the class of each signal, None or -1 where there is none; None for no labels.
            extent: the size along each axis, of all signals or (B, axes) of each.
            attributes: the value of each further attribute of each signal, None or -1 where there
                is none.

        Raises:
            TokensError: levels, shapes, codes or extents do not fit, there are more or fewer
                paths, labels or extents than signals, or the file has no such attribute.
            OutputError: the disk is full.
        """
        for name in attributes:
            if name not in self._attributes:
                known = ", ".join(self._attributes) or "no further attribute"
                raise TokensError(
                    f"{self._path}: expected {known}, got {name}; name it when the file is opened"
                )
        further = {name: attributes.get(name) for name in self._attributes}
        rows = checked_rows(
            self._specs, self._signal, levels, paths, labels, extent, further, first=self.count
        )
        first, width = 0, max(1, rows.codes.shape[1])
        while first < len(rows):
            room = min(_GROUP_ROWS - self._rows, -(-(_GROUP_CODES - self._codes) // width))
            piece = rows.stored(first, first + room, self._kind)
            self._pieces.append(piece)
            self._rows += len(piece)
            self._codes += piece.codes.size
            self.count += len(piece)
            first += len(piece)
            full = self._rows >= _GROUP_ROWS or self._codes >= _GROUP_CODES
            if full or len(self._pieces) >= _GROUP_PIECES:
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
            self._finish()
            self._file.close()
            self._draft.publish()
        return self.count

    def discard(self) -> None:
        """Abort: remove what was written so far."""
        # Closing writes the footer, which fails on a full disk; the file is removed anyway.
        with contextlib.suppress(OSError, pa.ArrowException, ValueError, AttributeError):
            self._finish()
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
        if not self._pieces:
            return
        with self._reporting():
            self._store(self._pieces)
        self._pieces, self._rows, self._codes = [], 0, 0

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
        **options: fingerprint, levels, signal, source, label_names, attributes, crops and overwrite
            of `TokenWriter`.

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
