"""What the benchmarks share: the records they leave and read, and the data."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vocabula import open_source
from vocabula.benchmark import record
from vocabula.files import replace_file

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks/results"


def result(name: str) -> dict[str, Any] | None:
    """A committed result, or None where it has not been measured."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def row(*cells: object) -> str:
    """One line of a Markdown table."""
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def write_result(name: str, figures: dict[str, Any], words: str | None = None) -> Path:
    """Write ``results/NAME.json``: the figures with command, commit, machine and versions.

    `words` is the command; None takes it from the command line, see `command`.
    """
    print(json.dumps(figures, indent=2))
    return write(record(name, words or command(), torch.get_num_threads(), figures))


def write(content: dict[str, Any]) -> Path:
    """Write a record to ``results``, under its name."""
    path = RESULTS / f"{content['name']}.json"
    replace_file(path, (json.dumps(content, indent=2) + "\n").encode())
    print(f"wrote {path}")
    return path


def command() -> str:
    """The command line that repeats the figures: the data's folder named DATA, no --out."""
    words = [Path(sys.argv[0]).name, "DATA", *map(shlex.quote, sys.argv[2:])]
    if "--out" in words:
        place = words.index("--out")
        del words[place : place + 2]
    return "python benchmarks/" + " ".join(words)


def variance(data: str) -> float:
    """Variance of all values of a data set, on the [0, 1] scale."""
    source = open_source(data)
    total = square = count = 0.0
    for index in range(len(source)):
        image = np.asarray(source.read(index).image, dtype=np.float64) / 255
        total, square, count = total + image.sum(), square + (image**2).sum(), count + image.size
    return float(square / count - (total / count) ** 2)
