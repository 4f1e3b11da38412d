"""The model card of a saved tokenizer: what it is, how to load it, how it was made."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from vocabula.signals import Signal

HELD_OUT = "Held-out figures"
"""Title of the section of figures on data that the tokenizer did not learn from."""

TEMPLATE = """\
---
library_name: vocabula
tags:
- vocabula
- {kind}-tokenizer
---

# {title} tokenizer

{summary}

```python
import vocabula

tokenizer = vocabula.load("path/to/this/folder").eval()
codes = tokenizer.encode({plural})  # {shape}
{plural} = tokenizer.decode(codes)
```

Fingerprint (token files carry it): `{fingerprint}`

{sections}"""


def model_card(
    *,
    summary: str,
    signal: Signal,
    fingerprint: str,
    settings: Mapping[str, Any],
    data: str | None = None,
    metrics: Mapping[str, Any] | None = None,
    command: str | None = None,
    held_out: str | None = None,
) -> str:
    """The text of README.md in Markdown, with the header that model hubs read.

    Args:
        summary: one sentence on the model.
        signal: the kind of its signals.
        fingerprint: its hash.
        settings: its configuration.
        data: what it was trained on.
        metrics: figures by name, each with its unit in the name.
        command: what made it.
        held_out: figures on data that it did not learn from, as `held_out_figures` writes them.
    """
    return TEMPLATE.format(
        summary=summary,
        kind=signal.kind,
        title=signal.kind.capitalize(),
        plural=signal.plural,
        shape=signal.shape_in_words(),
        fingerprint=fingerprint,
        sections=card_sections(
            settings,
            data=data,
            metrics=_table(metrics) if metrics else None,
            command=command,
            held_out=held_out or "Not measured: `vocabula export RUN DIR --data HELD-OUT` does so.",
        ),
    )


def card_sections(
    settings: Mapping[str, Any],
    *,
    data: str | None,
    metrics: str | None,
    command: str | None,
    held_out: str | None = None,
) -> str:
    """The sections that every model card ends with.

    Args:
        settings: the configuration of the model.
        data: what it was trained on.
        metrics: its figures, in Markdown.
        command: what made it.
        held_out: figures on data that it did not learn from; None leaves the section out.
    """
    sections = {
        "Data": data or "Not stated.",
        "Metrics": metrics or "Not stated.",
        **({HELD_OUT: held_out} if held_out else {}),
        "Command": f"```\n{command}\n```" if command else "Not stated.",
        "Settings": f"```json\n{json.dumps(settings, indent=2, sort_keys=True)}\n```",
    }
    return "\n".join(f"## {title}\n\n{text}\n" for title, text in sections.items())


def held_out_figures(figures: Mapping[str, Any], *, data: str, count: str) -> str:
    """The section of held-out figures: their data, and a table.

    Args:
        figures: by name, each with its unit in the name.
        data: name of what they were measured on.
        count: how many signals that were, such as ``3 images``.
    """
    return f"Measured on {count} of {data}.\n\n{_table(figures)}"


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


def _table(metrics: Mapping[str, Any]) -> str:
    rows = [f"| {name} | {figure(value)} |" for name, value in metrics.items()]
    return "\n".join(["| metric | value |", "|---|---|", *rows])


def figure(value: Any) -> str:
    """A figure of a card."""
    return f"{value:.6g}" if isinstance(value, float) else str(value).replace("|", "\\|")
