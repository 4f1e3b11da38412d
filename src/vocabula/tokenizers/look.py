"""The look of a tokenizer: what its codes do not depend on, such as its last decoder.

::

    tokenizer = codes: encoders, quantizers, scaling, decoders of coarser levels that finer see
              + look:  the last decoder, the likelihood

Two tokenizers with equal digests of the first part give the same codes of the same signals.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from vocabula.tokenizers.identity import Bytes, digest, functional, without_defaults

KEY = "codes"
"""Where ``config.json`` of a look says whose codes it has."""


def look_paths(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Where a tokenizer's module has its look; nowhere for a tokenizer that is not known here.

    Args:
        settings: the tokenizer's, from `registry.spec`.
    """
    return paths_of(settings["name"], len(settings.get("levels", ())))


def paths_of(name: str, levels: int) -> tuple[str, ...]:
    """Where the module of a tokenizer with a registered name and so many levels has its look."""
    if name in ("tokenizer", "multi_scale"):
        return ("decoder", "likelihood")
    if name not in ("hierarchical", "independent"):
        return ()
    # a finer level of a hierarchy is conditioned on what the coarser levels decode
    looks = range(levels)[-1:] if name == "hierarchical" else range(levels)
    return (*(f"hierarchy.{level}.decoder" for level in looks), "likelihood")


def codes_digest(settings: Mapping[str, Any], tensors: Iterable[Bytes]) -> str:
    """SHA-256 (hex) of what a tokenizer's codes depend on; see `identity.fingerprint`.

    Args:
        settings: the tokenizer's, from `registry.spec`.
        tensors: its state, in the order of the names; those of the look may be left out.
    """
    paths = look_paths(settings)
    within = tuple(f"{path}." for path in paths)
    kept = (tensor for tensor in functional(tensors) if not tensor.name.startswith(within))
    text = json.dumps(codes_settings(settings), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"codes\n{text}\n{digest(kept)}".encode()).hexdigest()


def codes_settings(settings: Mapping[str, Any]) -> Any:
    """What of a tokenizer's settings its codes depend on, without options at their default."""
    found: dict[str, Any] = dict(settings)
    for path in look_paths(settings):
        first, *rest = path.split(".", 2)
        if not rest:
            found.pop(first, None)
            continue
        levels, (number, part) = list(found["levels"]), rest
        level = dict(levels[int(number)])
        level.pop(part, None)
        levels[int(number)] = level
        found["levels"] = levels
    return without_defaults("tokenizer", found)


def look_settings(settings: Mapping[str, Any], path: str) -> Any:
    """The settings of the module at one of `look_paths`, without options at their default."""
    first, *rest = path.split(".", 2)
    if not rest:
        return without_defaults(first, settings.get(first))
    return without_defaults(rest[1], settings["levels"][int(rest[0])][rest[1]])


@dataclass(frozen=True, slots=True)
class Kin:
    """The tokenizers that have the codes of a tokenizer which began as one of them.

    Attributes:
        digest: the `codes_digest` of all.
        fingerprints: theirs, the first of them first.
    """

    digest: str
    fingerprints: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As plain data for ``config.json``."""
        return {"digest": self.digest, "fingerprints": list(self.fingerprints)}

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Self | None:
        """What ``config.json`` says; None if it says nothing that can be read."""
        said = config.get(KEY)
        if not isinstance(said, Mapping):
            return None
        found, names = said.get("digest"), said.get("fingerprints")
        if not isinstance(names, list) or not names or not all(map(_is_sha, (found, *names))):
            return None
        return cls(str(found), tuple(names))


def _is_sha(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None
