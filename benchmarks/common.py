"""What every benchmark shares: the record it leaves and the data it reads."""

from __future__ import annotations

import json
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

import vocabula
from vocabula import open_source

RESULTS = Path(__file__).parent / "results"


def write_result(name: str, figures: dict[str, Any]) -> Path:
    """Write ``results/NAME.json``: the figures with command, commit, machine and versions."""
    record = {
        "name": name,
        "command": command(),
        "commit": git("rev-parse", "HEAD"),
        "uncommitted_changes": bool(git("status", "--porcelain", "--", "src")),
        "machine": {
            "processor": processor(),
            "threads": torch.get_num_threads(),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "vocabula": vocabula.__version__,
        },
        **figures,
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=2))
    print(f"wrote {path}")
    return path


def command() -> str:
    """The command line that repeats the figures: the data's folder named DATA, no --out."""
    words = [Path(sys.argv[0]).name, "DATA", *map(shlex.quote, sys.argv[2:])]
    if "--out" in words:
        place = words.index("--out")
        del words[place : place + 2]
    return "python benchmarks/" + " ".join(words)


def git(*words: str) -> str:
    """The output of a git command in the project's folder."""
    run = ["git", "-C", str(Path(__file__).parent), *words]
    return subprocess.run(run, capture_output=True, text=True, check=False).stdout.strip()


def processor() -> str:
    """The processor's name and the number of its cores that this process may use."""
    info = Path("/proc/cpuinfo")
    names = [
        line.partition(":")[2].strip()
        for line in (info.read_text().splitlines() if info.exists() else [])
        if line.startswith("model name")
    ]
    return f"{names[0] if names else platform.processor()}, {torch.get_num_threads()} threads"


def variance(data: str) -> float:
    """Variance of all values of a data set, on the [0, 1] scale."""
    source = open_source(data)
    total = square = count = 0.0
    for index in range(len(source)):
        image = np.asarray(source.read(index).image, dtype=np.float64) / 255
        total, square, count = total + image.sum(), square + (image**2).sum(), count + image.size
    return float(square / count - (total / count) ** 2)
