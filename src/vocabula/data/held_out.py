"""The splits of data that are named, and the one to evaluate on."""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path

from vocabula.data.hub_data import hub_splits
from vocabula.data.places import HUB, SAMPLE_NAMES
from vocabula.data.splits import EVALUATION_SPLITS, SPLITS, beside, find_splits, split_shards


def default_evaluation(path_or_name: str | os.PathLike[str]) -> str | None:
    """The data for evaluating a model trained on `path_or_name`, if they can be determined.

    For ``sample:photos`` it is ``sample:photos/test``; for a file, pattern or folder whose name
    says train, and for a folder of splits, it is the neighbouring test (or validation) split.

    Returns:
        An argument for `open_source`, or None.
    """
    name = os.fspath(path_or_name)
    parts = split_names(name)
    inside = held_out_split(name)
    if inside is not None and "train" in parts:
        return inside
    if name.startswith(HUB):
        return _beside_of_hub(name)
    if name.startswith("sample:"):
        trained = name.removesuffix("/train")
        return split_names(trained).get("test") if trained != name else None
    path = Path(name).expanduser()
    folders = beside(path) if path.is_dir() else {}
    for split in EVALUATION_SPLITS:
        if split in folders:
            return str(folders[split])
        if "train" in path.name:
            other = path.with_name(path.name.replace("train", split, 1))
            if other.exists() or glob.glob(str(other)):
                return str(other)
    return None


def _beside_of_hub(name: str) -> str | None:
    """The held-out split of the same data set as a split for training."""
    place, _, split = name.rpartition(":")
    parts = hub_splits(place) if split == "train" and place.startswith(HUB) else {}
    return next((parts[each] for each in EVALUATION_SPLITS if each in parts), None)


def split_names(path_or_name: str | os.PathLike[str]) -> dict[str, str]:
    """The splits of data with several splits, each as an argument for `open_source`.

    Returns:
        Names by split, for a built-in sample named without a split or a folder whose sub-folders or
        shards are named after splits; empty if there are no splits.

    Raises:
        DataError: see `find_splits`.
    """
    name = os.fspath(path_or_name)
    if name.startswith(HUB):
        return hub_splits(name)
    if name.startswith("sample:"):
        known = name.removeprefix("sample:") in SAMPLE_NAMES
        return {split: f"{name}/{split}" for split in ("train", "test")} if known else {}
    path = Path(name).expanduser()
    if not path.is_dir() or not os.access(path, os.R_OK | os.X_OK):
        return {}
    found = {split: str(folder) for split, folder in find_splits(path).folders.items()}
    if found:
        return found
    shards = split_shards(path)
    found = {s: shard_pattern(shards[s], s) for s in SPLITS if s in shards}
    return found if len(found) > 1 else {}


def held_out_split(path_or_name: str | os.PathLike[str]) -> str | None:
    """The split to evaluate on, as an argument for `open_source`; None unless there are several."""
    parts = split_names(path_or_name)
    return next((parts[split] for split in EVALUATION_SPLITS if split in parts), None)


def shard_pattern(files: list[Path], split: str) -> str:
    """One file, or the pattern that matches the files of a split."""
    if len(files) == 1:
        return str(files[0])
    word = re.search(split, files[0].name, re.IGNORECASE)
    start = files[0].name[: word.end() if word else 4]
    return str(Path(glob.escape(str(files[0].parent))) / f"{glob.escape(start)}*{files[0].suffix}")
