"""Writes the section of held-out figures into the card of a saved model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from vocabula.tokenizers.card import HELD_OUT, table_of


def held_out_figures(figures: Mapping[str, Any], *, data: str, count: str) -> str:
    """The section of held-out figures: their data, and a table.

    Args:
        figures: by name, each with its unit in the name.
        data: name of what they were measured on.
        count: how many signals that were, such as ``3 images``.
    """
    return f"Measured on {count} of {data}.\n\n{table_of(figures)}"


def with_held_out(card: str, section: str) -> str:
    """A card with its section of held-out figures replaced; everything else stays.

    Args:
        card: the text of a saved folder's README.md.
        section: see `held_out_figures`.
    """
    head, *sections = re.split(r"(?m)^## ", card)
    titles = [text.partition("\n")[0].strip() for text in sections]
    new = f"{HELD_OUT}\n\n{section}\n\n"
    if HELD_OUT in titles:
        sections[titles.index(HELD_OUT)] = new
    else:  # written by an earlier version
        place = titles.index("Command") if "Command" in titles else len(sections)
        sections.insert(place, new)
    return "## ".join([head if head.endswith("\n") else f"{head}\n", *sections]).rstrip() + "\n"
