"""Attributes of samples in tars: the member ``cls``, and the fields of the member ``json``."""

from __future__ import annotations

import json
import warnings
from array import array
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from vocabula.data.image_problems import DataWarning, summarize
from vocabula.data.labels import LARGEST, Labels, UnusableLabelsError, labels_of
from vocabula.data.parquet_columns import LABEL_NAMES
from vocabula.data.tar_index import Member, MemberError, read_member
from vocabula.signals.attributes import CLASS

CLASS_NAMES = ("cls", *LABEL_NAMES)
"""The member and the fields that are the class, the most wanted first."""
_LARGEST = 2**20  # bytes of a member
_MOST_FIELDS = 256


class TarFields:
    """Values of the samples of tars, kept as numbers: bounded memory for texts that all differ.

    Args:
        further: whether a field can be an attribute beside the class.
        most: values of a field that is an attribute.

    Attributes:
        problems: members that could not be understood.
    """

    def __init__(self, further: Callable[[str], bool], most: int) -> None:
        self._further, self._most = further, most
        self._known: dict[str, dict[Any, int]] = {}
        self._places: dict[str, array[int]] = {}
        self._count, self.problems = 0, list[str]()

    def add(self, file: Path, members: Mapping[str, Member]) -> None:
        """Read what a sample tells."""
        for name, value in self._values(file, members).items():
            known = self._known.get(name)
            if known is None:
                if not self._is_wanted(name):
                    continue
                known = self._known[name] = {}
                self._places[name] = array("i")
            places = self._places[name]
            most = LARGEST if name in CLASS_NAMES else self._most
            if value not in known and len(known) > most:
                continue  # it tells samples apart
            places.extend([-1] * (self._count - len(places)))
            places.append(known.setdefault(value, len(known)))
        self._count += 1

    def labels(self) -> dict[str, Labels]:
        """The attributes that samples have; fields of too many values are left out."""
        found: dict[str, Labels] = {}
        own = next((name for name in CLASS_NAMES if name in self._known), None)
        for name in self._known:
            attribute = CLASS if name == own else name
            most = LARGEST if attribute == CLASS else min(self._most, self._count // 2)
            if (name in CLASS_NAMES and name != own) or len(self._known[name]) > most:
                continue
            try:
                found[attribute] = labels_of(self._column(name))
            except UnusableLabelsError:
                continue
        return found

    def report(self, name: str) -> None:
        """Announce, in one warning, members that could not be understood."""
        if self.problems:
            warnings.warn(
                f"{name}: labels are unknown: {summarize(self.problems)}", DataWarning, stacklevel=3
            )

    def _is_wanted(self, name: str) -> bool:
        if name in CLASS_NAMES:
            return True
        return len(self._known) < _MOST_FIELDS and self._further(name)

    def _values(self, file: Path, members: Mapping[str, Member]) -> dict[str, str | int]:
        """What the members of a sample say; whole numbers and texts."""
        found: dict[str, str | int] = {}
        for ending, understood in (("json", _fields), ("cls", _class)):
            member = members.get(ending)
            if member is None:
                continue
            try:
                if member.size > _LARGEST:
                    raise ValueError("more than 1 MB")
                text = read_member(file, member.first, member.size)
                found |= understood(text)
            except (ValueError, RecursionError, MemberError) as error:
                got = "no JSON" if ending == "json" else str(error)
                self.problems.append(f"{file.name}/{member.name}: {got}")
        return found

    def _column(self, name: str) -> Any:
        """The values of a field in all samples, as an Arrow array."""
        known, places = list(self._known[name]), self._places[name]
        if all(isinstance(value, int) and abs(value) < 2**63 for value in known):
            values = pa.array(known, pa.int64())
        else:
            values = pa.array([str(value) for value in known], pa.string())
        where = np.full(self._count, -1, np.int64)
        where[: len(places)] = places
        return values.take(pa.array(where, mask=where < 0))


def _fields(text: bytes) -> dict[str, str | int]:
    """Fields of a JSON object that are texts or whole numbers."""
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("no object")
    return {
        name: value.strip() if isinstance(value, str) else int(value)
        for name, value in found.items()
        if isinstance(value, str | int)
    }


def _class(text: bytes) -> dict[str, str | int]:
    """A class as its number, or as its name."""
    word = text.decode("utf-8", "strict").strip()
    try:
        return {"cls": int(word)}
    except ValueError:
        return {"cls": word} if word else {}
