"""Data by name: what the name and the file system tell, without opening anything."""

from __future__ import annotations

import glob
from pathlib import Path

from vocabula.errors import DataError, suggest

KINDS = "a folder of pictures or recordings, a .parquet, .npy, .npz or .csv file, or sample:photos"
SAMPLE_NAMES = ("photos", "digits", "tones", "tones/melodies")
SPLIT_SUFFIXES = ("", "/train", "/test")


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
    path = Path(name).expanduser()
    if not path.exists() and not matches(name, path):
        raise DataError(f"{name}: expected {KINDS}, got nothing at that place; check the path")


def matches(name: str, path: Path) -> list[Path]:
    """The .parquet files that match a name as a pattern, sorted; empty if it is not a pattern."""
    if not any(character in name for character in "*?["):
        return []
    return [Path(file) for file in sorted(glob.glob(str(path))) if file.endswith(".parquet")]


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
