"""The model card of a saved tokenizer: what it is, how to load it, how it was made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

TEMPLATE = """\
---
library_name: vocabula
tags:
- vocabula
- image-tokenizer
---

# Image tokenizer

{summary}

```python
import vocabula

tokenizer = vocabula.load("path/to/this/folder").eval()
codes = tokenizer.encode(images)  # (B, {channels}, H, W), uint8 or in [0, 1]
images = tokenizer.decode(codes)
```

Fingerprint (token files carry it): `{fingerprint}`

## Data

{data}

## Metrics

{metrics}

## Command

{command}

## Settings

```json
{settings}
```
"""


def model_card(
    *,
    summary: str,
    channels: int,
    fingerprint: str,
    settings: Mapping[str, Any],
    data: str | None = None,
    metrics: Mapping[str, Any] | None = None,
    command: str | None = None,
) -> str:
    """The text of README.md in Markdown, with the header that model hubs read.

    Args:
        summary: one sentence on the model.
        channels: channels of its images.
        fingerprint: its hash.
        settings: its configuration.
        data: what it was trained on.
        metrics: figures by name, each with its unit in the name.
        command: what made it.
    """
    return TEMPLATE.format(
        summary=summary,
        channels=channels,
        fingerprint=fingerprint,
        data=data or "Not stated.",
        metrics=_table(metrics) if metrics else "Not stated.",
        command=f"```\n{command}\n```" if command else "Not stated.",
        settings=json.dumps(settings, indent=2, sort_keys=True),
    )


def _table(metrics: Mapping[str, Any]) -> str:
    rows = [f"| {name} | {_figure(value)} |" for name, value in metrics.items()]
    return "\n".join(["| metric | value |", "|---|---|", *rows])


def _figure(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value).replace("|", "\\|")
