"""Samples of tar files as WebDataset lays them out: the members of one name belong together.

::

    a/7.jpg  a/7.cls  a/7.json   ->   key a/7: {"jpg": ..., "cls": ..., "json": ...}
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vocabula.data.audio_names import folder_classes
from vocabula.data.content import content_of_files
from vocabula.data.image_files import is_left_out
from vocabula.data.labels import Labels
from vocabula.data.pieces import Piece
from vocabula.data.tar_index import Member, read_member, tar_members
from vocabula.errors import DataError
from vocabula.files import input_errors
from vocabula.signals.attributes import CLASS

Sample = dict[str, Member]
"""The members of a key by ending, which is all behind the first dot of a name, in small letters."""


def key_and_ending(name: str) -> tuple[str, str] | None:
    """The key and the ending of a member; None for hidden files and those about the tar itself.

    Example:
        >>> key_and_ending("a.b/7.left.JPG"), key_and_ending("a/.7.jpg"), key_and_ending("README")
        (('a.b/7', 'left.jpg'), None, None)
    """
    folder, slash, last = name.rpartition("/")
    stem, _, ending = last.partition(".")
    if not stem or not ending or is_left_out(last) or re.match(r"__[^/]*__(/|$)", name):
        return None
    return f"{folder}{slash}{stem}", ending.lower()


def tar_samples(path: Path) -> list[tuple[str, Sample]]:
    """The samples of a tar by key, in order of their first members.

    A member whose key and ending came before begins a new sample.

    Raises:
        DataError: see `tar_members`.
    """
    found, latest = list[tuple[str, Sample]](), dict[str, Sample]()
    for member in tar_members(path):
        parted = key_and_ending(member.name)
        if parted is None:
            continue
        key, ending = parted
        sample = latest.get(key)
        if sample is None or ending in sample:
            sample = latest[key] = {}
            found.append((key, sample))
        sample[ending] = member
    return found


class TarItems:
    """One member of each sample in some tars, by number; read by byte range.

    Args:
        files: the tars, in order.
        wanted: whether a file's name is that of an item. Of several members those whose ending has
            one part come first: ``7.jpg`` before ``7.mask.png``.
        thing: what an item is, in words.
        about: receives the tar and the members of each sample that has an item, in order.

    Attributes:
        files: the tars.
        bounds: (files + 1,) rising numbers of items, from 0 to that of all.
        passed_over: samples without an item, and further items of a sample, each with the reason.

    Raises:
        DataError: a tar is damaged, or there is no item.
    """

    def __init__(
        self,
        files: Sequence[Path],
        wanted: Callable[[PurePath], bool],
        thing: str,
        about: Callable[[Path, Mapping[str, Member]], None],
    ) -> None:
        self.files, self.passed_over, self._thing = list(files), list[str](), thing
        names, firsts, sizes, counts = list[pa.Array](), array("q"), array("q"), [0]
        endings: Counter[str] = Counter()
        for file in files:
            own = []
            for key, sample in tar_samples(file):
                members = [m for ending, m in sample.items() if wanted(PurePath(f"x.{ending}"))]
                plain = [m for m in members if m.name.rpartition("/")[2].count(".") == 1]
                endings.update(sample.keys())
                self._pass_over(file, key, members, plain)
                if not members:
                    continue
                member = (plain or members)[0]
                own.append(member.name)
                firsts.append(member.first)
                sizes.append(member.size)
                about(file, sample)
            names.append(pa.array(own, pa.string()))
            counts.append(len(own))
        self.bounds: NDArray[np.int64] = np.cumsum(counts, dtype=np.int64)
        self._names = pa.chunked_array(names, pa.string())
        self._firsts, self._sizes = np.asarray(firsts, np.int64), np.asarray(sizes, np.int64)
        self.endings = [ending for ending, _ in endings.most_common()]

    def __len__(self) -> int:
        """The number of items."""
        return int(self.bounds[-1])

    def path(self, index: int) -> str:
        """The name of a member."""
        return str(self._names[index])

    def paths(self) -> list[str]:
        """The names of all members."""
        return [str(name) for name in self._names.to_pylist()]

    def describe(self, index: int) -> str:
        """The tar and the member in it."""
        return f"{self._file(index).name}/{self.path(index)}"

    def read(self, index: int) -> bytes:
        """The bytes of an item. Several threads may call it.

        Raises:
            MemberError: the tar is gone or has changed.
        """
        return read_member(self._file(index), int(self._firsts[index]), int(self._sizes[index]))

    def content(self) -> str:
        """Hash of the tars' sizes and of a sample of their bytes; see `content_of_files`."""
        with input_errors(self.files[0]):
            return content_of_files(self.files)

    def pieces(self) -> Iterator[Piece]:
        """Each tar is a piece."""
        for file, count in zip(self.files, np.diff(self.bounds).tolist(), strict=True):
            if count:
                yield Piece.of(file.absolute(), 0, count)

    def folders(self) -> set[Path]:
        """The folders of the tars."""
        return {file.absolute().parent for file in self.files}

    def nothing(self, name: str, expected: str, advice: str) -> DataError:
        """The error for tars without an item."""
        got = ", ".join(f".{ending}" for ending in self.endings[:5])
        return DataError(
            f"{name}: expected {expected} as members, got "
            + (f"members that end in {got}" if got else "no members with a name and an ending")
            + f"; {advice}"
        )

    def _file(self, index: int) -> Path:
        return self.files[int(np.searchsorted(self.bounds, index, side="right")) - 1]

    def _pass_over(
        self, file: Path, key: str, members: Sequence[Member], plain: Sequence[Member]
    ) -> None:
        """Note what is not read: `key.mask.png` beside `key.jpg` is no item of its own."""
        if not members:
            self.passed_over.append(f"{file.name}/{key}: no {self._thing} of this key")
        elif not plain:
            for member in members[1:]:
                self.passed_over.append(
                    f"{file.name}/{member.name}: another {self._thing} of key {key}"
                )


def several_folders(names: Sequence[str]) -> dict[str, Labels]:
    """The first folders of members as classes, if every name has one and there are several."""
    found = folder_classes(names)
    return found if found and len(found[CLASS].names or ()) > 1 else {}
