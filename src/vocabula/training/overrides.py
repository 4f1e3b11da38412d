"""Command-line overrides: ``section.option=value`` applied to the tables of a configuration."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

from vocabula import registry
from vocabula.errors import OptionError
from vocabula.training.sections import kind_of

Table = dict[str, Any]


def parse_override(text: str) -> tuple[tuple[str, ...], Any]:
    """Split ``"quantizer.learning.decay=0.9"`` into its path and its value.

    The value is TOML (``0.9``, ``true``, ``[8, 8, 8]``, ``{name = "ema"}``); text that is not
    TOML counts as a plain string, so quotes are not needed.

    Raises:
        OptionError: if there is no ``=`` or no option before it.
    """
    left, equals, right = text.partition("=")
    keys = tuple(part.strip() for part in left.split("."))
    if not equals or not all(keys):
        raise OptionError(
            f"override: expected section.option=value, got {text!r}; "
            "write for example training.steps=2000"
        )
    try:
        return keys, tomllib.loads(f"value = {right.strip()}")["value"]
    except (tomllib.TOMLDecodeError, KeyError):
        return keys, right.strip()


def apply_override(sections: Table, keys: tuple[str, ...], value: Any) -> Table:
    """A copy of `sections` with one option set.

    Setting a component's name (``quantizer=finite_scalar`` or ``quantizer.name=finite_scalar``)
    swaps the component and keeps those options that the new one has too.

    Raises:
        OptionError: unknown section, option or component.
    """
    section, *rest = keys
    if section not in sections:
        raise OptionError(
            f"{section}: unknown section, expected one of {', '.join(sections)}"
            f"{registry.suggest(section, sections)}"
        )
    changed = _set(kind_of(section), sections[section], rest, value, section)
    return {**sections, section: changed}


def merge(kind: str, old: Table, new: Mapping[str, Any], path: str) -> Table:
    """`old` with the options of `new`; another name keeps only the options both have."""
    values = dict(old)
    name = new.get("name", old.get("name"))
    if name is not None and name != old.get("name"):
        values = _shared(kind, old, str(name), path)
    for key, value in new.items():
        values[key] = value
    return values


def _set(kind: str, table: Table, keys: list[str], value: Any, path: str) -> Table:
    if not keys or keys == ["name"]:
        if isinstance(value, str):
            return merge(kind, table, {"name": value}, path)
        if isinstance(value, Mapping) and not keys:
            return merge(kind, table, value, path)
        raise OptionError(f"{path}: expected a component's name, got {value!r}")
    key, *rest = keys
    name = _name(kind, table, path)
    known = {option.name: option for option in registry.options(kind, name)}
    if key not in known:
        raise OptionError(
            f"{path}.{key}: unknown option of {kind} {name!r}, expected one of "
            f"{', '.join(known) or 'none'}{registry.suggest(key, known)}"
        )
    if not rest:
        return {**table, key: value}
    inner_kind = known[key].kind
    if inner_kind is None:
        raise OptionError(
            f"{path}.{key}.{rest[0]}: {path}.{key} has no options of its own, "
            f"expected {known[key].accepted}; write {path}.{key}=value"
        )
    inner = as_table(table.get(key, known[key].default), f"{path}.{key}")
    return {**table, key: _set(inner_kind, inner, rest, value, f"{path}.{key}")}


def as_table(value: Any, path: str) -> Table:
    """A component's settings as a table, whether given by name, as a table or as an object."""
    if isinstance(value, str):
        return {"name": value}
    if isinstance(value, Mapping):
        return dict(value)
    if value is None:
        return {}
    if isinstance(value, (list, tuple)):
        raise OptionError(f"{path}: expected the whole list at once; write {path}=[...]")
    return registry.spec(value)


def _name(kind: str, table: Table, path: str) -> str:
    names = registry.names(kind)
    name = table.get("name", names[0] if len(names) == 1 else None)
    if name is None:
        raise OptionError(f"{path}.name: expected one of {', '.join(names)}, got nothing")
    registry.lookup(kind, str(name), path)
    return str(name)


def _shared(kind: str, old: Table, name: str, path: str) -> Table:
    registry.lookup(kind, name, path)
    shared = {option.name for option in registry.options(kind, name)}
    return {key: value for key, value in old.items() if key in shared}
