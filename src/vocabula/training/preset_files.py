"""The presets: files of settings, some of which build on others."""

from __future__ import annotations

import tomllib
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from vocabula.errors import OptionError, suggest
from vocabula.files import input_error
from vocabula.levels import is_level
from vocabula.training.sections import (
    FLAT,
)
from vocabula.training.swap import Table, as_table


def preset_names() -> list[str]:
    """The names of the presets of tokenizers that come with the package."""
    return _names_in(_presets())


def prior_preset_names() -> list[str]:
    """The names of the presets of priors: the models that `train_prior` knows."""
    return _names_in(_presets() / "priors")


def merged(before: Any, given: Any, path: str) -> Table:
    """The table `before` updated with the options of `given`; a different component keeps none."""
    old, new = as_table(before, path), as_table(given, path)
    if new.get("name", old.get("name")) != old.get("name"):
        return new
    if is_level(path):
        new |= {k: merged(old[k], new[k], f"{path}.{k}") for k in FLAT if k in old and k in new}
    return {**old, **new}


def parsed(preset: str) -> dict[str, Any]:
    """The tables of a preset, by its name or the path of its file."""
    try:
        return tomllib.loads(_text(preset))
    except tomllib.TOMLDecodeError as error:
        raise OptionError(f"{preset}: expected a TOML file, got {error}") from None


def _text(preset: str) -> str:
    places = {name: _presets() for name in preset_names()}
    places |= {name: _presets() / "priors" for name in prior_preset_names()}
    if preset in places:
        return (places[preset] / f"{preset}.toml").read_text(encoding="utf-8")
    if preset.endswith(".toml"):
        try:
            return Path(preset).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise input_error(preset, error, OptionError) or OptionError(
                f"{preset}: expected a TOML file, got no text; check the path"
            ) from None
    raise OptionError(
        f"preset: expected one of {', '.join(places)} or a .toml file, got {preset!r}"
        f"{suggest(preset, places)}"
    )


def _presets() -> Traversable:
    return resources.files("vocabula.training") / "presets"


def _names_in(folder: Traversable) -> list[str]:
    names = [file.name for file in folder.iterdir()]
    return sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml"))
