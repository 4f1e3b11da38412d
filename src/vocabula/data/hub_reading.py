"""Parquet files of the hub that are read where they are: by byte range, without fetching them.

Such a file has the name that it would have in the cache of huggingface_hub,
``.../datasets--USER--NAME/snapshots/COMMIT/PATH``, so that it is read from there once it has been
fetched. The commit fixes what it holds.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vocabula.errors import DataError
from vocabula.files import one_line

FETCHED = 2 * 2**30
"""Bytes of the parquet files of a split up to which they are fetched, not read in place."""

_PREFIX, _SNAPSHOTS = "datasets--", "snapshots"


@dataclass(frozen=True, slots=True)
class HubPlace:
    """A file of a data set of the hub.

    Attributes:
        source: name of the data set.
        commit: of its content.
        path: within it.
    """

    source: str
    commit: str
    path: str

    @classmethod
    def of(cls, file: Path) -> HubPlace | None:
        """The place that a name in the cache stands for, if nothing is there; else None.

        Example:
            >>> HubPlace.of(Path("hub/datasets--user--name/snapshots/c0/data/train.parquet"))
            HubPlace(source='user/name', commit='c0', path='data/train.parquet')
        """
        parts = file.parts
        for number, part in enumerate(parts[:-3]):
            if part.startswith(_PREFIX) and parts[number + 1] == _SNAPSHOTS:
                if file.exists():
                    return None
                source = part.removeprefix(_PREFIX).replace("--", "/", 1)
                return cls(source, parts[number + 2], "/".join(parts[number + 3 :]))
        return None

    def open(self) -> HubFile:
        """The file, for reading.

        Raises:
            DataError: there is no connection, or no such file.
        """
        return HubFile(self)

    def __str__(self) -> str:
        return f"hf:{self.source}@{self.commit[:12]}/{self.path}"


class HubFile(io.RawIOBase):
    """A file of the hub whose bytes are asked for when they are read, and no others.

    Args:
        place: which file.

    Raises:
        DataError: the hub does not answer; also when it is read.
    """

    def __init__(self, place: HubPlace) -> None:
        super().__init__()
        self._place = place
        try:
            from huggingface_hub import HfFileSystem, constants

            name = f"datasets/{place.source}@{place.commit}/{place.path}"
            system = HfFileSystem(endpoint=constants.ENDPOINT)
            self._file: Any = system.open(name, "rb", cache_type="none")
        except Exception as error:  # of the client or of what it is built on, by its version
            raise self._lost(error) from None

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes."""
        try:
            return bytes(self._file.read(size))
        except Exception as error:
            raise self._lost(error) from None

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a place; nothing is read."""
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        """The place of the next byte."""
        return int(self._file.tell())

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def _lost(self, error: Exception) -> DataError:
        return DataError(
            f"{self._place}: expected to read this file of the hub, got "
            f"'{one_line(str(error))[:120]}'; try again when there is a connection, or fetch the "
            "data with hf download"
        )


def read_in_place(root: Path, files: Sequence[str], sizes: Mapping[str, int]) -> bool:
    """Whether files of the hub are read where they are: parquet files of more than `FETCHED`.

    Args:
        root: their folder in the cache; what is there does not count.
        files: paths in the data set.
        sizes: bytes of each file that the hub has.
    """
    missing = [sizes.get(file, 0) for file in files if not (root / file).exists()]
    return all(file.endswith(".parquet") for file in files) and sum(missing) > FETCHED


def content_in_place(files: Sequence[Path]) -> str | None:
    """The identity of files of which some are read in place: their commit; None if none is."""
    places = [HubPlace.of(file) for file in files]
    if not any(places):
        return None
    names = [str(place or file.name) for place, file in zip(places, files, strict=True)]
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]
