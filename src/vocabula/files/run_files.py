"""What a run's folder says about itself: the readable parts of its manifest and log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vocabula.errors import CheckpointError
from vocabula.files import input_errors


def read_manifest(run: Path) -> dict[str, Any]:
    """The content of ``run.json``; empty for a saved tokenizer that is not a run.

    Raises:
        CheckpointError: it exists but cannot be read.
    """
    path = run / "run.json"
    try:
        with input_errors(path, CheckpointError):
            content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def is_unfinished(folder: Path) -> bool:
    """Whether the folder is a run that has not saved its tokenizer yet."""
    return (folder / "run.json").is_file() and not (folder / "config.json").is_file()


def is_prior(folder: Path) -> bool:
    """Whether a folder belongs to a prior: it holds a tokenizer, or the prior's run has begun."""
    return (folder / "tokenizer" / "config.json").is_file() or "sources" in read_manifest(folder)


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a ``log.jsonl`` that have a step, up to a damaged one; empty without a log."""
    records = []
    with input_errors(path, CheckpointError):
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    for line in text.splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            break
        if isinstance(record, dict) and isinstance(record.get("step"), int):
            records.append(record)
    return records
