"""Tokens in several files: a folder of parts, or all files that match a pattern."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from vocabula.data.shard_plan import PLAN, ShardPlan
from vocabula.data.token_file import TokenFile, open_tokens
from vocabula.data.token_records import TokenBatch
from vocabula.data.token_tables import FORMATS
from vocabula.errors import TokensError, plural

MANIFEST = "manifest.json"
"""Name of the file that says that all parts are there."""
_PART = re.compile(r"part-\d+\.(parquet|tar)")


def token_files(path: Path) -> list[Path] | None:
    """The files of tokens that a folder or a pattern stands for; None for one file.

    A folder with a plan must be complete. Of another folder all parquet files count, or else tars.

    Raises:
        TokensError: there are none, or a folder is not complete.
    """
    if path.is_dir():
        return _in_folder(path)
    if path.exists() or not any(character in str(path) for character in "*?["):
        return None
    found = [Path(name) for name in sorted(glob.glob(str(path)))]
    if not found:
        raise TokensError(f"{path}: expected files of tokens, got no match; check the pattern")
    return found


def _in_folder(path: Path) -> list[Path]:
    names = sorted(name for name in os.listdir(path) if not name.startswith("."))
    parts = [path / name for name in names if _PART.fullmatch(name)]
    if PLAN in names:
        plan = ShardPlan(path)
        shards = len(plan)
        if shards != len(parts):
            suffix = FORMATS[plan.facts.format].suffix
            aside = [name for name in names if name.startswith("failed-")]
            why = f" ({aside[0]} says why one was set aside)" if aside else ""
            raise TokensError(
                f"{path}: expected all parts of a finished encoding, got "
                f"{len(parts)} of {plural(shards, 'part')}{why}; run vocabula encode again, or "
                f"read those there are: '{path / f'part-*{suffix}'}'"
            )
        return parts
    found = parts
    for form in FORMATS.values():
        found = found or [path / name for name in names if name.endswith(form.suffix)]
    if not found:
        raise TokensError(
            f"{path}: expected a folder of token files, got none in it; check the path"
        )
    return found


def part_counts(path: Path) -> list[int] | None:
    """The signals of each part, as the manifest of a folder says; None without one."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        told = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        return [int(part["signals"]) for part in told["parts"]]
    return None


class TokenParts(TokenFile):
    """Files of codes of one encoding, read one after the other as one.

    Args:
        path: the folder or the pattern.
        files: in order, at least one.

    Raises:
        TokensError: a file is damaged, or of another encoding than the first.
    """

    def __init__(self, path: Path, files: Sequence[Path]) -> None:
        first = open_tokens(files[0])
        self.__dict__.update(first.__dict__)
        self.path, self.files = path, list(files)
        self._first = first
        self._counts = part_counts(path) if path.is_dir() else None
        if self._counts is None or len(self._counts) != len(files):
            self._counts = [len(first), *(len(self._open(file)) for file in files[1:])]

    def __len__(self) -> int:
        """The number of records in all files."""
        return sum(self._counts or ())

    def batches(self) -> Iterator[TokenBatch]:
        """The records of all files; a batch never spans two."""
        for file in self.files:
            yield from self._open(file).batches()

    def parts(self) -> Iterator[TokenFile]:
        """The files one by one, opened when it is their turn."""
        return map(self._open, self.files)

    def _open(self, file: Path) -> TokenFile:
        found = open_tokens(file)
        for what in ("fingerprint", "signal", "levels", "crops", "names"):
            own, wanted = getattr(found, what), getattr(self._first, what)
            if own != wanted:
                raise TokensError(
                    f"{file}: expected the {what} of {self._first.path.name}, {_short(wanted)},"
                    f" got {_short(own)}; give the files of one encoding"
                )
        return found


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
