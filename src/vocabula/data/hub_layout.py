"""Which files of a Hugging Face data set belong to which configuration and split."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from vocabula.data.splits import shards_by_split
from vocabula.errors import DataError

SYNONYMS = {
    **dict.fromkeys(("val", "valid", "dev"), "validation"),
    **dict.fromkeys(("eval", "evaluation", "testing"), "test"),
    **dict.fromkeys(("", "training"), "train"),
}
"""Other names of splits; data that name none are for training."""


@dataclass(frozen=True)
class Configuration:
    """One of the sets that a repository holds.

    Attributes:
        name: of it.
        folder: where its files lie, relative to the repository; empty for all of it.
        patterns: of the files of each split, relative to `folder`; None where names tell the split.
    """

    name: str = "default"
    folder: str = ""
    patterns: Mapping[str, Sequence[str]] | None = None

    def files(self, paths: Iterable[str]) -> dict[str, list[str]]:
        """The files of each split among some paths, relative to the repository.

        Raises:
            DataError: `patterns` are missing.
        """
        assert self.patterns is not None, "the caller looks at names otherwise"
        above, known = f"{self.folder}/" if self.folder else "", list(paths)
        found = {}
        for split, patterns in self.patterns.items():
            wanted = [_expression(above + pattern.removeprefix("./")) for pattern in patterns]
            found[split] = [path for path in known if any(e.fullmatch(path) for e in wanted)]
        return found


def configurations(card: Mapping[str, Any], place: str) -> list[Configuration]:
    """The configurations that a repository's card states; one of all files if it states none.

    Args:
        card: the fields at the head of its ``README.md``.
        place: what messages call the repository.

    Raises:
        DataError: the card is damaged.
    """
    stated = card.get("configs") or []
    try:
        return [_configuration(one) for one in stated] or [Configuration()]
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise DataError(
            f"{place}: expected configs in README.md that name their files, got {error!r}; correct "
            "data_files"
        ) from None


def chosen(found: Sequence[Configuration], wanted: str | None, stated: str, place: str) -> Any:
    """The configuration of a name, or without a name the only one or the default.

    Args:
        found: all of them.
        wanted: its name, or None.
        stated: name of the one that the card calls the default; empty for none.
        place: what messages call the repository.

    Raises:
        DataError: there is none of that name, or no default among several.
    """
    names = [one.name for one in found]
    name = wanted or (names[0] if len(names) == 1 else stated or "default")
    if name in names:
        return found[names.index(name)]
    got = "several" if wanted is None else f"'{wanted}'"
    raise DataError(
        f"{place}: expected one of the configurations {', '.join(names)}, got {got}; name it, as "
        f"in {place}/{names[0]}"
    )


def listed_splits(paths: Sequence[str], folder: str) -> dict[str, list[str]]:
    """The parquet files of a data set by split, as `split_shards` finds them on a disk.

    Args:
        paths: of all its files.
        folder: where to look; empty for all of it.

    Returns:
        Paths of each split, "" for files that name none; nothing if it is no set of such files.
    """
    below = PurePosixPath(folder or ".")
    tables = [PurePosixPath(path) for path in paths if path.endswith(".parquet")]
    found: dict[PurePosixPath, list[str]] = {}
    for path in tables:
        if path.is_relative_to(below):
            found.setdefault(path.parent, []).append(path.name)
    inner = below / "data" if below / "data" in found else next(iter(found), below)
    chosen = below if below in found else inner
    if chosen not in (below, below / "data") and len(found) > 1:
        return {}
    shards = shards_by_split(found.get(chosen, []))
    return {split: [(chosen / name).as_posix() for name in own] for split, own in shards.items()}


def default_name(card: Mapping[str, Any]) -> str:
    """The configuration that a card calls the default; empty if it says none."""
    marked = [one for one in card.get("configs") or [] if one.get("default")]
    return str(marked[0].get("config_name", "")) if marked else ""


def _configuration(stated: Mapping[str, Any]) -> Configuration:
    name, folder = str(stated.get("config_name", "default")), str(stated.get("data_dir") or "")
    files = stated.get("data_files")
    if files is None:
        return Configuration(name, folder.strip("/"))
    if isinstance(files, Mapping):
        pairs: list[tuple[str, Any]] = list(files.items())
    elif isinstance(files, str) or all(isinstance(one, str) for one in files):
        pairs = [("train", files)]
    else:
        pairs = [(one["split"], one["path"]) for one in files]
    listed = {str(split): [own] if isinstance(own, str) else list(own) for split, own in pairs}
    return Configuration(name, folder.strip("/"), listed)


def _expression(pattern: str) -> re.Pattern[str]:
    """A pattern of paths: ``*`` stays within a folder, ``**`` does not."""
    parts = re.split(r"(\*\*/?|\*|\?|\[[^\]]+\])", pattern)
    meant = {"**": ".*", "**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
    meant |= {part: part for part in parts if re.fullmatch(r"\[.+\]", part)}
    return re.compile("".join(meant.get(part, re.escape(part)) for part in parts))
