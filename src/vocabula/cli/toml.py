"""Options as a TOML document that the command line reads again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def to_toml(options: Mapping[str, Any], description: str = "") -> str:
    """Dotted options as TOML, one table per section.

    Args:
        options: values by dotted name, sections in order. An option with options below it
            (``quantizer.learning`` and ``quantizer.learning.decay``) holds a component's name.
        description: a first line about the whole, left out if empty.
    """
    lines = [f"description = {value_text(description)}"] if description else []
    for name, value in options.items():
        section, _, option = name.partition(".")
        if not option:
            lines += [*([""] if lines else []), f"[{section}]", f"name = {value_text(value)}"]
            continue
        if any(other.startswith(f"{name}.") for other in options):
            option += ".name"
        lines.append(f"{option} = {value_text(value)}")
    return "\n".join(lines) + "\n"


def value_text(value: Any) -> str:
    """A value in TOML's notation; None, which TOML lacks, as the text "none"."""
    if value is None:
        return '"none"'
    if isinstance(value, Mapping):
        inner = ", ".join(f"{key} = {value_text(item)}" for key, item in value.items())
        return "{ " + inner + " }" if inner else "{}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(value_text(item) for item in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    return json.dumps(str(value), ensure_ascii=False)
