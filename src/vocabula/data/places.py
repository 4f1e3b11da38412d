"""Data by name: what the name and the file system tell, without opening anything."""

from __future__ import annotations

import glob
import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path

from vocabula.errors import DataError, suggest

KINDS = (
    "a folder of pictures or recordings, a .parquet, .tar, .npy, .npz or .csv file, or "
    "sample:photos"
)
HUB = "hf:"
"""How names of data in the layout of Hugging Face begin; see `hub_data`."""
SHARD_SUFFIXES = (".parquet", ".tar")
"""Ends of the names of files that hold many signals each and come in numbers."""
COMPRESSED = (".gz", ".tgz", ".bz2", ".xz", ".zst")
OF_COMPRESSED = "unpack it, parts of a compressed file cannot be read alone"
SAMPLE_NAMES = ("photos", "digits", "tones", "tones/melodies")
SPLIT_SUFFIXES = ("", "/train", "/test")
_MOST_FILES = 1_000_000


def check_place(name: str) -> None:
    """Refuse names of missing data and unknown samples.

    Args:
        name: see `open_source`.

    Raises:
        DataError: the data are missing or the sample is unknown.
    """
    if name.startswith("sample:"):
        _check_sample(name)
        return
    if name.startswith(HUB):
        return  # opening says more
    path = Path(name).expanduser()
    if not path.exists() and not matches(name, path):
        raise DataError(f"{name}: expected {KINDS}, got nothing at that place; check the path")


def matches(name: str, path: Path) -> list[Path]:
    """The shards that a pattern stands for, those of each text in braces sorted; empty without any.

    ``*``, ``?`` and ``[...]`` match names; ``{000..099}`` and ``{a,b}`` are written out, and every
    file that they name must be there.

    Raises:
        DataError: some of the files are missing, or they are of several kinds.
    """
    if not any(character in name for character in "*?[{"):
        return []
    found, missing = list[str](), list[str]()
    for text in _written_out(str(path)):
        own = sorted(glob.glob(text)) if glob.has_magic(text) else [text] * Path(text).exists()
        found += own
        missing += [text] * (not own)
    files = [Path(file) for file in dict.fromkeys(found) if file.endswith(SHARD_SUFFIXES)]
    if missing and files:
        raise DataError(
            f"{name}: expected {len(missing) + len(files)} files, got none at {missing[0]}; bring "
            "it back, or correct the pattern"
        )
    kinds = sorted({file.suffix for file in files})
    if len(kinds) > 1:
        raise DataError(
            f"{name}: expected files of one kind, got {' and '.join(kinds)}; name one, as in "
            f"*{kinds[0]}"
        )
    return files


def _written_out(pattern: str) -> Iterator[str]:
    """The texts that braces stand for.

    Raises:
        DataError: there are too many.

    Example:
        >>> list(_written_out("a{08..10}{b,c}.tar"))[:3], list(_written_out("{x}"))
        (['a08b.tar', 'a08c.tar', 'a09b.tar'], ['{x}'])
    """
    parts = re.split(r"(\{\d+\.\.\d+\}|\{[^{}]*,[^{}]*\})", pattern)
    choices, count = [_choices(part) for part in parts], 1
    for each in choices:
        count *= len(each)
    if count > _MOST_FILES:
        raise DataError(
            f"{pattern}: expected at most {_MOST_FILES:,} files, got {count:,}; correct the numbers"
        )
    return ("".join(texts) for texts in itertools.product(*choices))


def _choices(part: str) -> list[str]:
    numbers = re.fullmatch(r"\{(\d+)\.\.(\d+)\}", part)
    if numbers is None:
        return part[1:-1].split(",") if part[:1] == "{" and "," in part else [part]
    first, last = numbers.groups()
    padded = any(text[0] == "0" and len(text) > 1 for text in (first, last))
    width, (low, high) = max(len(first), len(last)) if padded else 0, (int(first), int(last))
    if abs(high - low) >= _MOST_FILES:
        raise DataError(
            f"{part}: expected at most {_MOST_FILES:,} numbers, got {abs(high - low) + 1:,}; "
            "correct them"
        )
    step = 1 if low <= high else -1
    return [f"{number:0{width}}" for number in range(low, high + step, step)]


def lasting_name(name: str) -> str:
    """A name of data that means the same in another working folder."""
    if name.startswith("sample:"):
        return name
    hub, place = (HUB, name.removeprefix(HUB)) if name.startswith(HUB) else ("", name)
    if hub and place[:1] not in ("", ".", "/", "~") and not Path(place.partition(":")[0]).is_dir():
        return name  # of the hub
    return hub + os.path.abspath(os.path.expanduser(place))


def sample_split(name: str) -> tuple[str, str]:
    """The sample and the split of a name such as ``sample:photos/test``; any other is unchanged.

    Example:
        >>> sample_split("sample:tones/melodies/test"), sample_split("sample:photos")
        (('tones/melodies', 'test'), ('photos', 'train'))
    """
    sample = name.removeprefix("sample:")
    for split in ("train", "test"):
        if sample.endswith(f"/{split}"):
            return sample.removesuffix(f"/{split}"), split
    return sample, "train"


def _check_sample(name: str) -> None:
    if sample_split(name)[0] not in SAMPLE_NAMES:
        choices = [f"sample:{each}{part}" for each in SAMPLE_NAMES for part in SPLIT_SUFFIXES]
        raise DataError(
            f"{name}: expected one of {', '.join(choices)}, got an unknown sample"
            f"{suggest(name, choices)}"
        )
