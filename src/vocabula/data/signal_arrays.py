"""Signals of any kind in one array (N, channels, *extent): the data of kinds without their own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vocabula.data.numpy_files import map_npy
from vocabula.data.vector_data import VectorData, check_channels
from vocabula.data.vectors import VectorSource, check_values
from vocabula.errors import DataError
from vocabula.files import check_plain
from vocabula.registry import component

_KINDS = "signals of equal size in a .npy file"


class SignalArrays(VectorSource):
    """Signals (N, channels, *extent) of real numbers, in memory or memory-mapped.

    See `VectorSource`; broken signals are left out and counted in the same way.
    """

    @staticmethod
    def check_array(vectors: NDArray[Any], name: str) -> None:
        """Refuse an array without an axis of channels, of another type, or without signals."""
        if vectors.ndim < 2:
            raise DataError(
                f"{name}: expected signals (N, channels, ...), got shape {vectors.shape}; add the "
                "missing axes"
            )
        check_values(vectors, name)


@component("data", "arrays")
class ArrayData(VectorData):
    """How signals of equal size in one array are read and batched.

    Args:
        strict: refuse signals with NaN or infinity instead of leaving them out.
    """

    def open(
        self, path_or_name: str | os.PathLike[str], *, channels: int | None = None
    ) -> SignalArrays:
        """Open an .npy file (N, channels, *extent), memory-mapped.

        Raises:
            DataError: the file is missing, damaged, or holds no signals of so many channels.
        """
        name, file = os.fspath(path_or_name), Path(path_or_name).expanduser()
        check_plain(file, _KINDS)
        if not file.is_file() or file.suffix.lower() != ".npy":
            got = f"a file ending in '{file.suffix}'" if file.is_file() else "nothing there"
            raise DataError(f"{name}: expected {_KINDS}, got {got}; check the path")
        source = SignalArrays(np.asanyarray(map_npy(file)), name=name, strict=self.strict)
        check_channels(source, channels)
        return source
