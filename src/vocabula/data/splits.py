"""Common layouts of training and test splits: sub-folders and shards named after the split."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from vocabula.data.audio_formats import named_like_audio
from vocabula.data.image_files import is_left_out, is_picture
from vocabula.data.places import SHARD_SUFFIXES
from vocabula.errors import DataError

EVALUATION_SPLITS = ("test", "validation", "valid", "val", "dev", "eval")
"""Names of splits to evaluate on, the most wanted first."""
SPLITS = ("train", *EVALUATION_SPLITS)
"""Names of splits that are recognised, in small or capital letters."""

_SPELLINGS = {
    **{split: split for split in SPLITS},
    **dict.fromkeys(("training", "trainset", "trainval"), "train"),
    **dict.fromkeys(("testing", "testset", "holdout", "heldout"), "test"),
    "validate": "validation",
    "valset": "val",
    "evaluation": "eval",
}
_PLAIN = {"set", "split", "data", "images", "image", "imgs", "img", "pictures", "photos"}
_COMPANIONS = {"annotation", "annotations", "ann", "anns", "label", "labels", "mask", "masks"}
_COMPANIONS |= {"gt", "groundtruth"}  # any pictures in them annotate others
_DEEPEST = 4


@dataclass(frozen=True)
class Splits:
    """The splits of a folder.

    Attributes:
        folders: the folder of each split; empty where there are none.
        doubt: a sentence, if a folder that is taken for a class may be a split.
    """

    folders: dict[str, Path] = field(default_factory=dict)
    doubt: str = ""


def find_splits(root: Path, depth: int = _DEEPEST) -> Splits:
    """The splits that the sub-folders of a folder are named after.

    Names count in any letter case, with numbers, and with words that two splits' names share:
    ``Train``, ``train2017``, ``test_images``, ``seg_train`` beside ``seg_test``. Folders without
    data do not count, nor do hidden folders, annotation folders and folders that operating systems
    add. If there is only one folder, it is searched too, `depth` times.

    Raises:
        DataError: it is unclear what to read: a split has two folders, or there are other pictures
            beside the splits, or several folders have splits.
    """
    folders = {f.name: f for f in _sub_folders(root) if _joined(f.name) not in _COMPANIONS}
    by_split: dict[str, list[str]] = {}
    for name, split in split_names_among(folders).items():
        if _holds_data(folders[name]):
            by_split.setdefault(split, []).append(name)
    named = [name for names in by_split.values() for name in names]
    others = [name for name in folders if name not in named and _holds_data(folders[name])]
    if not named:
        return _inside(root, [folders[name] for name in others], depth)
    loose = any(_is_data(file) for file in _files(root))
    if len(named) == 1 and (others or loose):
        return _one_beside(folders[named[0]], [folders[name] for name in others], loose)
    if others or len(named) > len(by_split):
        raise _unclear(root, [*named, *others], by_split.get("train", named)[0])
    return Splits({split: folders[names[0]] for split, names in by_split.items()})


def beside(folder: Path) -> dict[str, Path]:
    """The splits whose folders lie next to a split's folder, ignoring everything else there."""
    folders = {f.name: f for f in _sub_folders(folder.parent)}
    named = split_names_among(folders)
    own = named.get(folder.name)
    return {
        split: folders[name]
        for name, split in named.items()
        if own not in (None, split) and _holds_data(folders[name])
    }


def split_shards(root: Path) -> dict[str, list[Path]]:
    """The parquet files of a folder, or else its tars, by split; "" has files that name no split.

    Files are searched in the folder itself and, if it has none, in its folder ``data`` or in the
    only folder that holds data. A folder that also holds pictures is a folder of pictures, so it
    has no shards.
    """
    if any(is_picture(file) or named_like_audio(file) for file in _files(root)):
        return {}
    folders = _sub_folders(root)
    inner = [f for f in folders if f.name == "data"] or [f for f in folders if _holds_data(f)]
    for folder, suffix in product((root, *inner[: len(inner) == 1]), SHARD_SUFFIXES):
        files = {file.name: file for file in _files(folder) if file.suffix.lower() == suffix}
        if files:
            break
    return {split: [files[name] for name in own] for split, own in shards_by_split(files).items()}


def shards_by_split(names: Iterable[str]) -> dict[str, list[str]]:
    """Names of shards in the same folder by split, in order; "" has those that name no split."""
    ordered = sorted(names)
    named = split_names_among(ordered, by_start=True)
    found: dict[str, list[str]] = {}
    for name in ordered:
        found.setdefault(named.get(name, ""), []).append(name)
    return found


def split_names_among(names: Iterable[str], *, by_start: bool = False) -> dict[str, str]:
    """The names that denote splits, each with its split.

    Args:
        names: names of folders or files in the same folder.
        by_start: whether beginning with the word for a split is enough.
    """
    read = {name: _read(name) for name in names}
    found = {}
    for name, (split, rest, first) in read.items():
        others = {other for other, more, _ in read.values() if more == rest} - {None, split}
        if split is not None and (not rest or others or (by_start and first)):
            found[name] = split
    return found


def _read(name: str) -> tuple[str | None, tuple[str, ...], bool]:
    """The split in a name, the name's other words, and whether the split comes first."""
    stem = re.sub(r"\.(parquet|tar)$", "", name)
    words = [w.lower() for w in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", stem)]
    words = [w for w in words if w != "of"]  # train-00000-of-00002
    found = {_SPELLINGS[word] for word in words if word in _SPELLINGS}
    if "train" in found and found <= {"train", "validation", "valid", "val", "dev"}:
        found = {"train"}  # train_val: the data of the final training
    rest = tuple(word for word in words if word not in _SPELLINGS and word not in _PLAIN)
    first = bool(words) and words[0] in _SPELLINGS
    return (found.pop() if len(found) == 1 else None), rest, first


def _inside(root: Path, holders: Sequence[Path], depth: int) -> Splits:
    """The splits in the only folder that holds data; if there are several, none may have splits."""
    loose = any(_is_data(file) for file in _files(root))
    if len(holders) == 1 and not loose:
        return find_splits(holders[0], depth - 1) if depth else Splits()
    for folder in holders:
        named = split_names_among(f.name for f in _sub_folders(folder))
        if len(set(named.values())) > 1:
            first = next((n for n, split in named.items() if split == "train"), next(iter(named)))
            raise _unclear(
                root, [f"{folder.name}/{name}" for name in named], f"{folder.name}/{first}"
            )
    return Splits()


def _one_beside(folder: Path, others: Sequence[Path], loose: bool) -> Splits:
    """Decide about the only folder that is named after a split: a class, if it looks like one."""
    inner = {f.name for f in _sub_folders(folder)}
    same = bool(inner & {f.name for f in others})  # test/cat beside cat
    if folder.name.lower() not in SPLITS or len(others) + loose < 2 or same:
        names = [folder.name, *(f.name for f in others), *["files of its own"] * loose]
        raise _unclear(folder.parent, names, folder.name)
    if folder.name.lower() == "train":
        return Splits()
    doubt = (
        f"{folder.parent}: taking {folder.name} for one of {len(others) + 1} classes; if it is a "
        "split, move it elsewhere"
    )
    return Splits({}, doubt)


def _unclear(root: Path, names: Sequence[str], example: str) -> DataError:
    shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    return DataError(
        f"{root}: expected the folders of splits alone, one for each, got {shown}; name the one to "
        f"read, as in {root / example}, or move or rename the others"
    )


def _joined(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()


def _sub_folders(root: Path) -> list[Path]:
    """The user's own sub-folders of a folder, by name; empty if it cannot be read."""
    return sorted(Path(entry.path) for entry in _entries(root) if entry.is_dir())


def _files(root: Path) -> Iterator[Path]:
    return (Path(entry.path) for entry in _entries(root) if entry.is_file())


def _entries(root: Path) -> Iterator[os.DirEntry[str]]:
    with contextlib.suppress(OSError), os.scandir(root) as entries:
        yield from (entry for entry in entries if not is_left_out(entry.name))


def _holds_data(folder: Path) -> bool:
    """Whether there is a picture, a recording, a parquet file or a tar anywhere below a folder."""
    seen: set[str] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not is_left_out(name)]
        if any(_is_data(Path(place, name)) for name in files if not is_left_out(name)):
            return True
    return False


def _is_data(file: Path) -> bool:
    return file.suffix.lower() in SHARD_SUFFIXES or named_like_audio(file) or is_picture(file)
