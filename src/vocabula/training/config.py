"""Configurations: presets, TOML files and overrides, checked in full before anything runs."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vocabula import registry
from vocabula.errors import OptionError, suggest
from vocabula.levels import is_level
from vocabula.tokenizers.widths import keeps_width, with_width
from vocabula.training.overrides import apply_override, parse_override
from vocabula.training.preset_files import merged, parsed
from vocabula.training.sections import (
    FLAT,
    check_section,
    hidden_options,
    kind_of,
    section_names,
)
from vocabula.training.swap import Table, as_table

CUSTOM = "custom"
"""The preset's name of a configuration that was made from tables."""

_DEFAULT_NAMES = {"likelihood": "gaussian", "data": "images", "optimizer": "adam"} | {
    "schedule": "constant",
    "training": "training",
    "adversary": "adversary",
    "level": "level",
    "conditioning": "conditioning",
    "captions": "captions",
    "held_out": "held_out",
    "context": "context",
}


@dataclass(frozen=True, slots=True)
class RunConfig:
    """A checked configuration.

    Attributes:
        preset: the preset's name or the file's path.
        sections: the settings of each section's component, ``{"name": ..., option: value}``.
        overrides: the overrides that were applied, as they were written.
        description: one line about the preset.
        notes: what component-swapping overrides have kept and dropped, one line each.
    """

    preset: str
    sections: dict[str, Table]
    overrides: tuple[str, ...] = ()
    description: str = ""
    notes: tuple[str, ...] = ()

    def build(self, section: str, **wired: Any) -> Any:
        """The component of one section."""
        return registry.build(kind_of(section), self.sections[section], path=section, **wired)

    def flat(self) -> dict[str, Any]:
        """Every option's value by its dotted name, defaults included."""
        return {row.option: row.value for row in explain(self)}

    def fingerprint(self) -> str:
        """SHA-256 of all option values, in hexadecimal."""
        text = json.dumps(self.flat(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class ExplainedOption:
    """One row of an explained configuration.

    Attributes:
        option: dotted name, as an override writes it.
        value: the value in force.
        default: the component's own default, or None where a value is required.
        accepted: accepted type and range in words.
        help: what it does.
    """

    option: str
    value: Any
    default: Any
    accepted: str
    help: str


def load_config(preset: str | Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a preset or a TOML file, apply overrides and check every option.

    Args:
        preset: a preset's name (see `preset_names`, `prior_preset_names`) or the path of a
            ``.toml`` file. A file may begin with ``extends = "PRESET"`` and give only what differs.
        overrides: ``section.option=value`` texts, applied in order; see `apply_override`.

    Raises:
        OptionError: unknown preset, section, option or component, or a value out of range; the
            message names the option, the value, what is accepted and the nearest name.

    Example:
        >>> load_config("cifar10", ["training.steps=2000"]).sections["training"]["steps"]
        2000
    """
    sections, description = _read(str(preset), ())
    notes: list[str] = []
    for text in overrides:
        keys, value = parse_override(text)
        sections = apply_override(sections, keys, value, notes)
    config = RunConfig(str(preset), sections, tuple(overrides), description, tuple(notes))
    check_config(config)
    return config


def config_from_sections(
    sections: Mapping[str, Any], preset: str = CUSTOM, overrides: Sequence[str] = ()
) -> RunConfig:
    """A checked configuration from tables; sections left out get their defaults."""
    config = RunConfig(preset, _completed(sections, preset), tuple(overrides))
    check_config(config)
    return config


def check_config(config: RunConfig) -> None:
    """Check every option of a configuration without building anything.

    Raises:
        OptionError: the first option that is unknown, missing or out of range.
    """
    sections = config.sections
    if keeps_width(sections.get("encoder")):  # the data then give the quantizer's width
        sections = {**sections, "quantizer": with_width(sections["quantizer"], 1)}
    for section in section_names(sections):
        check_section(section, sections[section])


def explain(config: RunConfig) -> list[ExplainedOption]:
    """Every option in force: its value, default, accepted range and meaning."""
    return [
        row
        for section in section_names(config.sections)
        for row in _explain(kind_of(section), config.sections[section], section)
    ]


def _explain(kind: str, table: Table, path: str) -> Iterator[ExplainedOption]:
    names = registry.names(kind)
    name = str(table.get("name", names[0]))
    if len(names) > 1 or "." not in path:
        yield ExplainedOption(path, name, None, f"one of {', '.join(names)}", f"which {kind}")
    for option in registry.options(kind, name):
        if option.name in hidden_options(path.rpartition(".")[2]) and option.name not in table:
            continue
        where = f"{path}.{option.name}"
        default = None if option.default is inspect.Parameter.empty else option.default
        value = table.get(option.name, default)
        if option.kind is not None and _is_component(option.kind, value):
            yield from _explain(option.kind, as_table(value, where), where)
        else:
            yield ExplainedOption(where, plain(value), plain(default), option.accepted, option.help)


def _is_component(kind: str, value: Any) -> bool:
    if isinstance(value, str):
        return value in registry.names(kind)
    return isinstance(value, Mapping) or hasattr(value, "_component_options")


def plain(value: Any) -> Any:
    """A value as plain data for JSON."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return registry.spec(value)


def _read(preset: str, seen: tuple[str, ...]) -> tuple[dict[str, Table], str]:
    if preset in seen:
        raise OptionError(f"extends: expected no circle, got {' -> '.join([*seen, preset])}")
    document = parsed(preset)
    description = str(document.pop("description", ""))
    parent = document.pop("extends", None)
    base, inherited = _read(str(parent), (*seen, preset)) if parent is not None else ({}, "")
    if any(map(is_level, document)):  # levels replace the networks of a single level
        base = {section: table for section, table in base.items() if section not in FLAT}
    known = section_names({**base, **document})
    unknown = [key for key in document if key not in known]
    if unknown:
        raise OptionError(
            f"{unknown[0]}: unknown section in {preset}, expected one of {', '.join(known)}"
            f"{suggest(unknown[0], known)}"
        )
    if parent is None:
        return _completed(document, preset), description
    for section, table in document.items():
        base[section] = merged(base.get(section), table, section)
    return _completed(base, preset), description or inherited


def _completed(sections: Mapping[str, Any], preset: str) -> dict[str, Table]:
    """Every section as a table with a name."""
    completed: dict[str, Table] = {}
    for section in section_names(sections):
        table = as_table(sections.get(section), section)
        name = table.pop("name", _DEFAULT_NAMES.get(kind_of(section)))
        if name is None:
            raise OptionError(
                f"{section}.name: expected one of {', '.join(registry.names(section))}, "
                f"got nothing; add [{section}] to {preset}"
            )
        completed[section] = {"name": name, **table}
    return completed
