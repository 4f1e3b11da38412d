"""Captions in tar files laid out as WebDataset does."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from vocabula.data.tar_index import Member, MemberError, read_member
from vocabula.data.tar_samples import tar_samples
from vocabula.errors import DataError

_LARGEST = 2**20  # bytes of a member


def tar_captions(
    files: Sequence[Path], keys: Set[str], names: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """The captions of some samples.

    Args:
        files: the tars.
        keys: of the samples.
        names: members of text, or fields of the member ``json`` that hold texts or lists of texts,
            the most wanted first.

    Returns:
        By key: each line of a member of text, or the texts of a field.

    Raises:
        DataError: a tar is damaged, or a member is no text in UTF-8.
    """
    found: dict[str, tuple[str, ...]] = {}
    for file in files:
        for key, sample in tar_samples(file):
            if key in keys:
                found[key] = found.get(key, ()) + _texts(file, sample, names)
    return found


def _texts(file: Path, sample: Mapping[str, Member], names: Sequence[str]) -> tuple[str, ...]:
    for ending in names:
        if ending in sample:
            return tuple(_read(file, sample[ending]).splitlines())
    fields: Any = {}
    if "json" in sample:
        try:
            fields = json.loads(_read(file, sample["json"]))
        except (ValueError, RecursionError):
            raise _foreign(file, sample["json"], "JSON") from None
    own = next((fields[name] for name in names if isinstance(fields, dict) and name in fields), ())
    return tuple(map(str, own)) if isinstance(own, list) else (own,) if isinstance(own, str) else ()


def _read(file: Path, member: Member) -> str:
    if member.size > _LARGEST:
        raise _foreign(file, member, "at most 1 MB of text")
    try:
        return read_member(file, member.first, member.size).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _foreign(file, member, "text in UTF-8") from None
    except MemberError as error:
        raise DataError(f"{file}: expected {member.name}, got {error}; copy it again") from None


def _foreign(file: Path, member: Member, expected: str) -> DataError:
    return DataError(
        f"{file}: expected {expected} in member {member.name}, got something else; write it again"
    )
