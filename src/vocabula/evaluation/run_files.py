"""What a run's folder says about itself: its manifest and its log, as far as they can be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_manifest(run: Path) -> dict[str, Any]:
    """The content of ``run.json``; empty for a saved tokenizer that is no run."""
    try:
        content = json.loads((run / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def is_prior(folder: Path) -> bool:
    """Whether a folder is that of a prior: a tokenizer lies in it, or its run began."""
    return (folder / "tokenizer" / "config.json").is_file() or "sources" in read_manifest(folder)


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a ``log.jsonl`` that have a step, up to a damaged one; empty without a log."""
    records = []
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    for line in text.splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            break
        if isinstance(record, dict) and isinstance(record.get("step"), int):
            records.append(record)
    return records
