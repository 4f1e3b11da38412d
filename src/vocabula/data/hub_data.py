"""Data sets in Hugging Face's layout, ``hf:NAME[/CONFIG][:SPLIT]``, of the hub or of a folder.

::

    name --repository: cache or folder--> card and paths --config, split--> files --> their sources

A data set's files are opened as such files are: parquet by row group, tars by byte range, folders
of pictures or recordings. Large parquet files of the hub are not fetched: see `hub_reading`.
Scripts of a repository are never run, nor is anything unpickled.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from vocabula.data.audio_formats import named_like_audio
from vocabula.data.hub_layout import (
    SYNONYMS,
    Configuration,
    chosen,
    configurations,
    default_name,
    listed_splits,
)
from vocabula.data.hub_reading import read_in_place
from vocabula.data.picture_formats import named_like_picture
from vocabula.data.places import HUB, SHARD_SUFFIXES
from vocabula.data.splits import find_splits, split_shards
from vocabula.errors import DataError
from vocabula.files import one_line

_CARD = "README.md"
Files = Path | list[Path]
"""A folder that is read whole, or files."""
Own = TypeVar("Own")


@dataclass(frozen=True, slots=True)
class HubName:
    """The parts of a name.

    Attributes:
        place: the repository with its configuration, as it was named.
        split: which part of the data; None if none is named.
    """

    place: str
    split: str | None

    @classmethod
    def of(cls, name: str) -> HubName:
        """The parts of ``hf:NAME[/CONFIG][:SPLIT]``.

        Raises:
            DataError: the split is an expression, or the name is empty.

        Example:
            >>> HubName.of("hf:user/name/config:test")
            HubName(place='user/name/config', split='test')
        """
        place, colon, split = name.removeprefix(HUB).rpartition(":")
        if not colon or "/" in split:
            place, split = name.removeprefix(HUB), ""
        if not place or (colon and split and not re.fullmatch(r"\w+(\.\w+)*", split)):
            raise DataError(
                f"{name}: expected hf:NAME[/CONFIG]:SPLIT, got "
                + (f"the split '{split}'" if place else "no name")
                + "; write it like hf:user/name:train, and take --limit for the first items"
            )
        return cls(place, split or None)

    @property
    def is_local(self) -> bool:
        """Whether it is a folder of this machine, or a configuration of one."""
        path = Path(self.place).expanduser()
        return self.place[0] in "./~" or path.is_dir()


def hub_files(name: str) -> Files:
    """The files of a split of a data set, fetched if they are not in the cache.

    Parquet files of more than `FETCHED` bytes are not fetched; their names in the cache are given,
    by which `TableFile` reads them in place.

    Args:
        name: ``hf:NAME[/CONFIG][:SPLIT]``, NAME being that of a repository of data on the hub,
            ``user/name``, or the path of a folder. Without a split it is that for training, or the
            only one.

    Raises:
        DataError: there is no such data set, configuration or split, or it has no data that are
            read.
    """
    own, found = HubName.of(name), _splits(name)
    only = next(iter(found.splits)) if len(found.splits) == 1 else "train"
    split = own.split or ("train" if "train" in found.splits else only)
    wanted = split if split in found.splits else SYNONYMS.get(split, split)
    if wanted not in found.splits:
        got = "none" if own.split is None else f"'{own.split}'"
        raise DataError(
            f"{name}: expected one of the splits {', '.join(found.splits)}, got {got}; name it, as "
            f"in {HUB}{own.place}:{next(iter(found.splits), 'train')}"
        )
    files = found.splits[wanted]
    if not files and found.source is not None:
        raise _not_fetched(found.source)
    return _readable(name, found.fetched(files))


def hub_splits(name: str) -> dict[str, str]:
    """The splits of a data set that is named without one, each as a name; empty for other names.

    Raises:
        DataError: see `hub_files`.
    """
    if HubName.of(name).split is not None:
        return {}
    found = _splits(name).splits
    return {split: f"{name}:{split}" for split in found} if len(found) > 1 else {}


@dataclass(frozen=True)
class _Splits:
    """The files of each split, or its folder, and where they are fetched from.

    Attributes:
        root: the folder of the repository.
        splits: paths relative to the root, or places that are there.
        source: name of the repository on the hub; None for a folder.
        sizes: bytes of its files, where the hub has told them.
    """

    root: Path
    splits: Mapping[str, list[str] | Files]
    source: str | None = None
    sizes: Mapping[str, int] = field(default_factory=dict)

    def fetched(self, files: list[str] | Files) -> Files:
        """The places of some files, which are in the cache then, or are read where they are."""
        if isinstance(files, Path):
            return files
        texts = [file for file in files if isinstance(file, str)]
        fetch = self.source is not None and bool(texts)
        fetch = fetch and not read_in_place(self.root, texts, self.sizes)
        root = _snapshot(str(self.source), texts) if fetch else self.root
        return [root / file if isinstance(file, str) else file for file in files]


def _splits(name: str) -> _Splits:
    own = HubName.of(name)
    if own.is_local:
        return _of_folder(name, own.place)
    parts = own.place.split("/")
    if len(parts) > 3 or not all(parts):
        raise DataError(
            f"{name}: expected hf:USER/NAME[/CONFIG]:SPLIT or hf:./FOLDER:SPLIT, got "
            f"{own.place}, and no folder there; correct the name"
        )
    source, config = "/".join(parts[:2]), parts[2] if len(parts) == 3 else None
    root = _snapshot(source, [_CARD])
    card = _card(root)
    made = chosen(configurations(card, HUB + source), config, default_name(card), HUB + source)
    sizes = _sizes(source, root)
    if made.patterns is not None:
        return _Splits(root, made.files(sizes), source, sizes)
    listed = listed_splits([*sizes], made.folder)
    if listed and read_in_place(root, [*chain(*listed.values())], sizes):
        return _Splits(root, _as_called(listed), source, sizes)
    below = f"{made.folder}/" if made.folder else ""
    root = _snapshot(source, [f"{below}*"])
    return _Splits(root, _by_name(name, root / made.folder))


def _of_folder(name: str, place: str) -> _Splits:
    """A folder in the layout of a repository, or a configuration of one."""
    root, config = Path(place).expanduser(), None
    if not root.is_dir() and not _card(root.parent).get("configs"):
        raise DataError(f"{name}: expected a folder, got nothing at {place}; check the path")
    if not root.is_dir() or _is_configuration(root):
        root, config = root.parent, root.name
    card, where = _card(root), HUB + str(root)
    made: Configuration = chosen(configurations(card, where), config, default_name(card), where)
    if made.patterns is None:
        return _Splits(root, _by_name(name, root / made.folder))
    return _Splits(root, made.files(_below(root)))


def _is_configuration(folder: Path) -> bool:
    """Whether the card in the folder above names a configuration like a folder."""
    try:
        found = configurations(_card(folder.parent), "")
    except DataError:  # a text of another kind
        return False
    return folder.name in [one.name for one in found if one.patterns or one.folder]


def _by_name(name: str, folder: Path) -> dict[str, Files]:
    """The splits that the names of folders or files tell."""
    if not folder.is_dir():
        raise DataError(f"{name}: expected data in {folder}, got no folder; correct data_dir")
    found: dict[str, Files] = dict(find_splits(folder).folders or split_shards(folder))
    return _as_called(found) or {"train": folder}


def _as_called(found: Mapping[str, Own]) -> dict[str, Own]:
    """Splits by the names that they have on the hub."""
    named = {split: own for split, own in found.items() if split or "train" not in found}
    return {SYNONYMS.get(split, split): own for split, own in named.items()}


def _readable(name: str, files: Files) -> Files:
    """Those of the files that hold data: shards, or else pictures and recordings."""
    if isinstance(files, Path):
        shards = split_shards(files)
        return [file for own in shards.values() for file in own] or files
    shards_among = [file for file in files if file.suffix.lower() in SHARD_SUFFIXES]
    media = [file for file in files if named_like_picture(file) or named_like_audio(file)]
    kinds = {file.suffix.lower() for file in shards_among}
    if len(kinds) == 1 or (media and not kinds):
        return sorted(shards_among or media)
    got = ", ".join(sorted({file.suffix or file.name for file in files})[:5]) or "no files"
    raise DataError(
        f"{name}: expected .parquet or .tar files, pictures or recordings, got {got}; convert them "
        "to parquet (scripts of a data set are never run)"
    )


def _card(root: Path) -> Mapping[str, Any]:
    """The fields at the head of a repository's card; none if there is no such card."""
    from huggingface_hub import metadata_load

    try:
        found = metadata_load(root / _CARD)
    except OSError:
        return {}
    except Exception as error:  # of YAML, of which this module knows nothing
        raise DataError(
            f"{root / _CARD}: expected YAML between two lines of ---, got damaged text "
            f"('{one_line(str(error))[:80]}'); correct it"
        ) from None
    return found or {}


def _below(root: Path) -> list[str]:
    """The files below a folder, relative to it and sorted; hidden ones are left out."""
    found = []
    for folder, folders, names in os.walk(root, followlinks=True):
        folders[:] = [each for each in folders if not each.startswith(".")]
        below = Path(folder).relative_to(root)
        found += [(below / each).as_posix() for each in names if not each.startswith(".")]
    return sorted(found)


def _sizes(source: str, root: Path) -> dict[str, int]:
    """The files of a repository on the hub, at the commit that the cache has, and their bytes.

    Without a connection those that are there, of no bytes.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
    from huggingface_hub.hf_api import RepoFile

    try:
        how: dict[str, Any] = {"repo_type": "dataset", "revision": root.name, "recursive": True}
        found = [each for each in HfApi().list_repo_tree(source, **how) if type(each) is RepoFile]
        return {each.path: each.size for each in sorted(found, key=lambda each: each.path)}
    except (HfHubHTTPError, OfflineModeIsEnabled, OSError):
        return dict.fromkeys(_below(root), 0)


def _snapshot(source: str, patterns: Sequence[str]) -> Path:
    """The folder of a repository in the cache, with some files that are fetched if needed."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    wanted = f"{HUB}{source}: expected a data set"
    try:
        found = snapshot_download(source, repo_type="dataset", allow_patterns=list(patterns))
    except HFValidationError:
        raise DataError(f"{wanted} such as hf:user/name:train, got no such name") from None
    except RepositoryNotFoundError:
        raise DataError(
            f"{wanted} of the hub, got none of this name, or a private one; check the name, or log "
            "in with: hf auth login"
        ) from None
    except LocalEntryNotFoundError:
        raise _not_fetched(source) from None
    except (HfHubHTTPError, OSError) as error:
        raise DataError(
            f"{wanted} of the hub, got '{one_line(str(error))[:120]}'; try again"
        ) from None
    return Path(found)


def _not_fetched(source: str) -> DataError:
    from huggingface_hub import constants

    return DataError(
        f"{HUB}{source}: expected a data set of the hub or of the cache, got no connection and "
        f"nothing in {constants.HF_HUB_CACHE}; check the name, or fetch it where there is one"
    )
