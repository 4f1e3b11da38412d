"""Training and test splits as people lay them out: sub-folders and shards named by the split."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from vocabula.data.folder import IMAGE_SUFFIXES

EVALUATION_SPLITS = ("test", "validation", "valid", "val", "dev")
"""Names of splits to evaluate on, the most wanted first."""
SPLITS = ("train", *EVALUATION_SPLITS)
"""Names of splits that are recognised."""

_SHARD = re.compile(rf"({'|'.join(SPLITS)})([-_.].*)?\.parquet$")


def split_folder(root: Path, wanted: Sequence[str]) -> Path | None:
    """The sub-folder of the first wanted split, if all sub-folders of `root` are named by splits.

    Returns None where pictures or parquet files lie in `root` itself, or where there is only one
    sub-folder, which may as well be a class.
    """
    entries = [entry for entry in root.iterdir() if not entry.name.startswith(".")]
    folders = {entry.name: entry for entry in entries if entry.is_dir()}
    data = (*IMAGE_SUFFIXES, ".parquet")
    if any(entry.suffix.lower() in data for entry in entries if entry.is_file()):
        return None
    if len(folders) < 2 or not folders.keys() <= set(SPLITS):
        return None
    return next((folders[split] for split in wanted if split in folders), None)


def split_shards(root: Path) -> dict[str, list[Path]]:
    """The parquet files of a folder by split; those that name no split are under "".

    Files are looked for in the folder itself and, where it has none, in its folder ``data``. A
    folder that holds pictures as well is a folder of pictures, so it has no shards.
    """
    if any(entry.suffix.lower() in IMAGE_SUFFIXES for entry in root.iterdir()):
        return {}
    for folder in (root, root / "data"):
        files = sorted(folder.glob("*.parquet")) if folder.is_dir() else []
        if files:
            break
    shards: dict[str, list[Path]] = {}
    for file in files:
        match = _SHARD.match(file.name)
        shards.setdefault(match.group(1) if match else "", []).append(file)
    return shards
