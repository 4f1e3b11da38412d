"""The tokenizers that the package carries, each with the prior of its codes.

::

    default/photos-default-1/tokenizer/         the tokenizer
    default/photos-default-1/level-1/, ...      its prior, as ``vocabula export`` writes one

``default`` stands for the newest of them wherever a RUN or a PRIOR is asked for. Older ones stay,
so that their files open for ever. A folder of that name is written ``./default``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

from vocabula.errors import CheckpointError

DEFAULT = "default"
"""What commands and `vocabula.load` call the newest tokenizer of the package."""
CURRENT = "photos-default-1"
"""Its own name, which its files hold."""
ROOT = Path(__file__).parents[1] / DEFAULT


@dataclass(frozen=True, slots=True)
class Packaged:
    """A tokenizer that the package carries.

    Attributes:
        name: its name, which its files hold.
        fingerprint: the tokenizer's SHA-256.
        prior: the folder of the prior of its codes.
        tokenizer: the folder of the tokenizer, inside.
    """

    name: str
    fingerprint: str
    prior: Path
    tokenizer: Path


def packaged() -> Mapping[str, Packaged]:
    """All tokenizers that this build of the package carries, by name."""
    return _packaged(ROOT)


@cache
def _packaged(root: Path) -> Mapping[str, Packaged]:
    found: dict[str, Packaged] = {}
    for config in sorted(root.glob("*/tokenizer/config.json")):
        folder = config.parents[1]
        said = json.loads(config.read_text(encoding="utf-8"))
        identity = said["summary"]["fingerprint"]
        found[folder.name] = Packaged(folder.name, identity, folder, config.parent)
    return MappingProxyType(found)


def packaged_as(run: str | os.PathLike[str]) -> Packaged | None:
    """The tokenizer of the package that a RUN names; None if it names a folder.

    Args:
        run: only a string can be a name: a path is always a folder.

    Raises:
        CheckpointError: it is ``default``, and this build of the package carries none.
    """
    if not isinstance(run, str):
        return None
    known = packaged()
    if run != DEFAULT:
        return known.get(run)
    if CURRENT not in known:
        raise CheckpointError(
            f"{DEFAULT}: expected the tokenizer {CURRENT} in the package, got a build of vocabula "
            "that carries none; name a RUN that vocabula train wrote"
        )
    return known[CURRENT]


def packaged_of(fingerprint: str) -> Packaged | None:
    """The tokenizer of the package with a fingerprint; None if there is none."""
    return next((one for one in packaged().values() if one.fingerprint == fingerprint), None)


def run_folder(run: str | os.PathLike[str]) -> Path:
    """The folder of a RUN: of the package's tokenizer if it is the name of one.

    Raises:
        CheckpointError: see `packaged_as`.
    """
    own = packaged_as(run)
    return Path(run).expanduser() if own is None else own.tokenizer


def prior_folder(prior: str | os.PathLike[str]) -> Path:
    """The folder of a PRIOR: of that of the package's tokenizer if it is the name of one.

    Raises:
        CheckpointError: see `packaged_as`.
    """
    own = packaged_as(prior)
    return Path(prior).expanduser() if own is None else own.prior
