"""Signals of equal size in one file: an .npy array, or a parquet table with their keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.lib.format import write_array_header_1_0
from numpy.typing import NDArray
from torch import Tensor

from vocabula.data.media.base import Batches, Media, whole_batches
from vocabula.errors import DataError, OptionError
from vocabula.files import check_new_file, new_file, output_errors, unicode_text

SUFFIXES = (".npy", ".parquet")
_FIRST = "["  # rows without a key are named by their number in brackets


class ArrayFile(Media):
    """One file of float32 signals of equal size, by the suffix of its name.

    - ``.npy``: an array (N, channels, *extent).
    - ``.parquet``: a column ``vectors`` of lists of channels * extent floats and, where the signals
      have keys, a column ``key``.
    """

    def check(self, out: Path, *, overwrite: bool) -> None:
        """Refuse another suffix, and an existing file."""
        if out.suffix.lower() not in SUFFIXES:
            raise OptionError(
                f"{out}: expected a name that ends in {' or '.join(SUFFIXES)}, got "
                f"{out.suffix or 'none'}; add one"
            )
        check_new_file(out, overwrite=overwrite)

    def write(
        self,
        out: Path,
        batches: Batches,
        count: int | None,
        *,
        overwrite: bool,
    ) -> list[Path]:
        """Write signals (B, channels, *extent) to one file, batch by batch."""
        arrays = ((_array(signals), paths) for signals, paths in whole_batches(batches))
        self.check(out, overwrite=overwrite)
        with output_errors(out), new_file(out, overwrite=overwrite) as draft:
            if out.suffix.lower() == ".npy":
                _write_npy(draft, arrays, count)
            else:
                _write_parquet(draft, arrays)
        return [out]


def _array(signals: Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(signals.float().cpu().numpy())


def _write_npy(
    path: Path, arrays: Iterator[tuple[NDArray[np.float32], Sequence[str]]], count: int | None
) -> None:
    written, shape = 0, None
    with open(path, "xb") as file:
        for array, _ in arrays:
            if shape is None:
                shape = array.shape[1:]
                _write_header(file, (count or 0, *shape))
            _check_equal(shape, array)
            file.write(array.astype("<f4", copy=False).data)
            written += len(array)
        if count is None and shape is not None:  # NumPy leaves room for the length in the header
            file.seek(0)
            _write_header(file, (written, *shape))
    if count is not None and written != count:
        raise DataError(f"{path.name}: expected {count} signals, got {written}; run it again")


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})


def _write_parquet(path: Path, arrays: Iterator[tuple[NDArray[np.float32], Sequence[str]]]) -> None:
    writer: pq.ParquetWriter | None = None
    shape: tuple[int, ...] | None = None
    try:
        for array, paths in arrays:
            shape = array.shape[1:] if shape is None else shape
            _check_equal(shape, array)
            flat = pa.array(array.reshape(-1))
            columns = {"vectors": pa.FixedSizeListArray.from_arrays(flat, int(np.prod(shape)))}
            if not all(path.startswith(_FIRST) or not path for path in paths):
                columns = {"key": pa.array([unicode_text(path) for path in paths]), **columns}
            table = pa.table(columns)
            writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()


def _check_equal(shape: tuple[int, ...], array: NDArray[np.float32]) -> None:
    if array.shape[1:] != shape:
        raise DataError(
            f"decode: expected signals of one size in a file, got {shape} and {array.shape[1:]}; "
            "decode them in Python with vocabula.load(path).decode(codes)"
        )
