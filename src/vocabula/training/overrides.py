"""Command-line overrides: ``section.option=value`` applied to the tables of a configuration."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Any

from vocabula import registry
from vocabula.errors import OptionError, suggest
from vocabula.levels import level_names
from vocabula.training.sections import FLAT, LOOKS, is_prior, kind_of
from vocabula.training.swap import Table, as_table, swapped

EACH = "*"
"""In place of a number: every item of a list, every level."""
LEVELS = "levels"


def parse_override(text: str) -> tuple[tuple[str, ...], Any]:
    """Split ``"quantizer.learning.decay=0.9"`` into its path and its value.

    The value is TOML (``0.9``, ``true``, ``[8, 8, 8]``, ``{name = "ema"}``); text that is not
    TOML counts as a plain string, so quotes are not needed. ``stages[0]`` is ``stages.0``.

    Raises:
        OptionError: if there is no ``=`` or no option before it.
    """
    left, equals, right = text.partition("=")
    left = re.sub(r"\[\s*(\*|-?\d+)\s*\]", r".\1", left)
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


def apply_override(sections: Table, keys: tuple[str, ...], value: Any, notes: list[str]) -> Table:
    """A copy of `sections` with one option set.

    Setting a component's name (``quantizer=finite_scalar`` or ``quantizer.name=finite_scalar``)
    swaps the component and keeps those options that fit the new one. In lists, items are numbered
    from 0, and ``*`` is every item: ``quantizer.stages.*.codebook_size=64``. ``levels.*`` is every
    level.

    Args:
        sections: the configuration's tables.
        keys: the path.
        value: the value.
        notes: what a swap kept and what it left out is added here, in words.

    Raises:
        OptionError: an unknown section, option or component, or an item number out of range.
    """
    section, *rest = keys
    levels = level_names(sections)
    if section == LEVELS and levels:
        if rest[:1] != [EACH]:
            raise OptionError(
                f"{'.'.join(keys)}: expected levels.{EACH} or a level, {', '.join(levels)}, "
                f"got {'.'.join(keys[:2])}; name one"
            )
        for level in levels:
            sections = apply_override(sections, (level, *rest[1:]), value, notes)
        return sections
    if section in LOOKS and section not in sections and not is_prior(sections):
        sections = {**sections, section: {}}
    if section not in sections:
        advice = suggest(section, sections)
        if levels and section in FLAT:
            advice = f"; write {levels[0]}.{section}, or levels.{EACH}.{section} for all"
        raise OptionError(
            f"{section}: unknown section, expected one of {', '.join(sections)}{advice}"
        )
    changed = _set(kind_of(section), sections[section], rest, value, section, notes)
    return {**sections, section: changed}


def _set(
    kind: str, table: Table, keys: list[str], value: Any, path: str, notes: list[str]
) -> Table:
    if not keys or keys == ["name"]:
        if isinstance(value, str):
            return swapped(kind, table, {"name": value}, path, notes)
        if isinstance(value, Mapping) and not keys:
            return swapped(kind, table, value, path, notes)
        raise OptionError(
            f"{path}: expected a component's name, got {value!r}; write a name, or set one of its "
            f"options: {path}.OPTION={value}"
        )
    key, *rest = keys
    option = _option(kind, table, key, path)
    where = f"{path}.{key}"
    if not rest:
        if key in table and _is_component(option, value):
            new = {"name": value} if isinstance(value, str) else value
            value = swapped(str(option.kind), as_table(table[key], where), new, where, notes)
        return {**table, key: value}
    before = table.get(key, None if option.required else option.default)
    if option.listed and (isinstance(before, list | tuple) or _is_place(rest[0])):
        return {**table, key: _set_items(option, before, rest, value, where, notes)}
    if option.kind is None or _is_place(rest[0]):
        what = "is no list" if _is_place(rest[0]) else "has no options of its own"
        raise OptionError(
            f"{where}.{rest[0]}: {where} {what}, expected {option.accepted}; write {where}=value"
        )
    inner = as_table(before, where)
    return {**table, key: _set(option.kind, inner, rest, value, where, notes)}


def _set_items(
    option: registry.Option, before: Any, keys: list[str], value: Any, path: str, notes: list[str]
) -> list[Any]:
    """A list with one item, or each, set or changed inside."""
    place, *rest = keys
    items = list(before) if isinstance(before, list | tuple) else []
    for position in _positions(place, items, path):
        where = f"{path}.{position}"
        item = items[position]
        if option.kind is None:
            if rest:
                raise OptionError(f"{where}.{rest[0]}: {where} is {item!r}; write {where}=value")
            items[position] = value
        elif isinstance(item, Mapping) and set(item) == {registry.SAME}:
            if place != EACH:
                first = f"{path}.{item[registry.SAME]}"
                raise OptionError(
                    f"{where}: {where} is the same object as {first}; set options of {first}"
                )
        else:
            table = as_table(item, where)
            items[position] = _set(option.kind, table, rest, value, where, notes)
    return items


def _is_component(option: registry.Option, value: Any) -> bool:
    """Whether a value is settings of a component, and the option takes one and no list."""
    if option.kind is None or option.listed:
        return False
    return isinstance(value, Mapping) or (
        isinstance(value, str) and registry.is_name(option.kind, value)
    )


def _is_place(key: str) -> bool:
    """Whether a key denotes an item of a list rather than an option."""
    return key == EACH or re.fullmatch(r"-?\d+", key) is not None


def _positions(place: str, items: list[Any], path: str) -> list[int]:
    """The indices of the items that a number, or ``*``, denotes."""
    if place == EACH and items:
        return list(range(len(items)))
    if re.fullmatch(r"\d+", place) and int(place) < len(items):
        return [int(place)]
    if not items:
        raise OptionError(f"{path}.{place}: {path} is empty; write {path}=[...]")
    numbers = "0" if len(items) == 1 else f"a number from 0 to {len(items) - 1}"
    raise OptionError(
        f"{path}.{place}: expected {numbers} or {EACH}, got {place}; write {path}.{EACH} for all"
    )


def _option(kind: str, table: Table, key: str, path: str) -> registry.Option:
    """The option of a component in a configuration.

    Raises:
        OptionError: it has no such option; the message names the component.
    """
    names = registry.names(kind)
    name = str(table.get("name", names[0] if len(names) == 1 else ""))
    if not name:
        raise OptionError(f"{path}.name: expected one of {', '.join(names)}, got nothing")
    registry.signature(kind, name, path)
    known = {option.name: option for option in registry.options(kind, name)}
    if key not in known:
        which = f"{name!r}, the {kind} here" if len(names) > 1 else f"{kind} {name!r}"
        raise OptionError(
            f"{path}.{key}: unknown option of {which}; expected one of "
            f"{', '.join(known) or 'none'}{_advice(kind, known, table, key, path)}"
        )
    return known[key]


def _advice(
    kind: str, known: Mapping[str, registry.Option], table: Table, key: str, path: str
) -> str:
    """The likely intent: an option of its parts, a similar name, or another component's option."""
    for option in known.values():
        items = table.get(option.name, option.default)
        if option.listed and option.kind and isinstance(items, list | tuple):
            parts = [as_table(item, path) for item in items]
            named = [part["name"] for part in parts if "name" in part]
            if any(_has(option.kind, str(name), key) for name in named):
                return f"; write {path}.{option.name}.{EACH}.{key}"
    close = suggest(key, known)
    others = [name for name in registry.names(kind) if _has(kind, name, key)]
    if others and not close.endswith(f"{key!r}?"):
        return f"; {', '.join(others)} would have it: choose with {path}=NAME"
    return close


def _has(kind: str, name: str, key: str) -> bool:
    return registry.is_name(kind, name) and any(
        option.name == key for option in registry.options(kind, name)
    )
