"""Swapping a component of a configuration for another: which of its options fit the new one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vocabula import registry
from vocabula.errors import OptionError

Table = dict[str, Any]


def swapped(kind: str, old: Table, new: Mapping[str, Any], path: str, notes: list[str]) -> Table:
    """`old` with the options of `new`; another name keeps only the options that fit it.

    Options on which a composite's parts agree also fit: ``quantizer=vector`` in place of a residual
    quantizer of vector quantizers takes over their width and their codebook's size.

    Args:
        kind: the kind of component.
        old: its settings.
        new: the name, the options to change, or both.
        path: where it stands.
        notes: receives notes on which options were kept and which were dropped.

    Raises:
        OptionError: there is no component of the new name.
    """
    before, after = old.get("name"), new.get("name", old.get("name"))
    if after == before or after is None:
        return {**old, **new}
    registry.signature(kind, str(after), path)
    fitting = {option.name for option in registry.options(kind, str(after))}
    offered = _offered(kind, old)
    kept = {key: value for key, value in offered.items() if key in fitting and key not in new}
    dropped = [key for key in old if key not in {"name", *kept, *new}]
    if before is not None and (kept or dropped):
        parts = [f"keeps {', '.join(kept)}"] if kept else []
        parts += [f"leaves out {', '.join(dropped)}"] if dropped else []
        notes.append(f"{path}: {after} in place of {before} {' and '.join(parts)}")
    return {"name": after, **kept, **new}


def _offered(kind: str, table: Table) -> Table:
    """The options of a component, and what its parts agree on."""
    name = str(table.get("name", ""))
    offered = {key: value for key, value in table.items() if key != "name"}
    for option in registry.options(kind, name) if registry.is_name(kind, name) else ():
        items = table.get(option.name)
        if option.kind != kind or not isinstance(items, list | tuple):
            continue
        settings = [as_table(item, option.name) for item in items]
        parts = [_offered(kind, part) for part in settings if registry.SAME not in part]
        if not parts:
            continue
        agreed = {k: v for k, v in parts[0].items() if all(part.get(k) == v for part in parts)}
        if name == "product":  # its parts stand side by side
            agreed.pop("dim", None)
            widths = [
                _offered(kind, settings[part.get(registry.SAME, i)]).get("dim")
                for i, part in enumerate(settings)
            ]
            if all(isinstance(width, int) for width in widths):
                agreed["dim"] = sum(widths)
        offered = {**agreed, **offered}
    return offered


def as_table(value: Any, path: str) -> Table:
    """A component's settings as a table, whether given by name, as a table or as an object.

    Raises:
        OptionError: it is a list.
    """
    if isinstance(value, str):
        return {"name": value}
    if isinstance(value, Mapping):
        return dict(value)
    if value is None:
        return {}
    if isinstance(value, (list, tuple)):
        raise OptionError(f"{path}: expected a table of options, got a list; write {path}={{...}}")
    return registry.spec(value)
