"""The page that reports share: header, settings and style around each report's own body."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping
from datetime import date
from importlib import resources
from typing import Any

import jinja2
import torch

import vocabula
from vocabula.files import unicode_text


def render(template: str, context: Mapping[str, Any]) -> str:
    """A page from a template that extends ``page.html.jinja``; it loads no other files.

    Args:
        template: the name of its file in this package.
        context: its content; every name that a template uses must be present. Today's date and the
            number of tile columns are added.
    """
    folder = resources.files("vocabula.reports")
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: folder.joinpath(name).read_text("utf-8")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    added = {"date": date.today().isoformat(), "columns": tile_columns(len(context["tiles"]))}
    return unicode_text(environment.get_template(template).render({**added, **context}))


def tile_columns(tiles: int) -> int:
    """The number of tiles per row, at most six, chosen so that no tile is alone in the last row.

    Example:
        >>> [tile_columns(count) for count in (1, 5, 6, 7, 13)]
        [1, 5, 6, 4, 5]
    """
    rows = -(-tiles // 6)
    return -(-tiles // rows) if rows else 1


def settings_rows(settings: Mapping[str, Any]) -> list[dict[str, str]]:
    """Name and value of every option of nested settings."""
    return [{"name": name, "value": json.dumps(value)} for name, value in _flat(settings)]


def versions(manifest: Mapping[str, Any], fingerprint: str) -> str:
    """The origin of the page: versions, and the tokenizer's fingerprint."""
    words = [
        f"vocabula {vocabula.__version__}",
        f"Python {platform.python_version()}",
        f"PyTorch {torch.__version__}",
    ]
    if "version" in manifest:
        words.append(f"trained with vocabula {manifest['version']}")
    words.append(f"tokenizer {fingerprint[:12]}")
    return " · ".join(words)


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
