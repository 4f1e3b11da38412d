"""The model card of a saved tokenizer: what it is, how to load it, how it was made."""

from __future__ import annotations

import json
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
            metrics=table_of(metrics) if metrics else None,
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


def table_of(metrics: Mapping[str, Any]) -> str:
    """Figures by name as a table in Markdown."""
    rows = [f"| {name} | {figure(value)} |" for name, value in metrics.items()]
    return "\n".join(["| metric | value |", "|---|---|", *rows])


def figure(value: Any) -> str:
    """A figure of a card."""
    return f"{value:.6g}" if isinstance(value, float) else str(value).replace("|", "\\|")
