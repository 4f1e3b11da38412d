"""The training of several presets on the same data for the same number of steps."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vocabula import load
from vocabula.tokenizers import SignalTokenizer
from vocabula.training import load_config, train

Measure = Callable[[SignalTokenizer, str, Mapping[str, Any]], dict[str, Any]]


def train_presets(
    runs: Mapping[str, str], data: Path, steps: int, keep: Path | None, measure: Measure
) -> tuple[dict[str, SignalTokenizer], dict[str, dict[str, Any]]]:
    """Train presets, or go on with those that are kept, and measure each.

    Args:
        runs: the preset of each run, by the run's name.
        data: folder with ``train.parquet`` and ``test.parquet``.
        steps: of each run.
        keep: folder that keeps each run under its preset's name; None keeps none.
        measure: figures of a tokenizer, given the test data and the last figures of its training.

    Returns:
        Tokenizers and figures, by the run's name.
    """
    train_data, test_data = (str(data / f"{split}.parquet") for split in ("train", "test"))
    tokenizers: dict[str, SignalTokenizer] = {}
    rows: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, preset in runs.items():
            out = (keep or Path(scratch)) / preset
            config = load_config(preset, [f"training.steps={steps}"])
            last = train(config, train_data, out, resume=True, progress=False)
            tokenizers[name] = load(out)
            rows[name] = {"preset": preset} | measure(tokenizers[name], test_data, last)
            print(name, rows[name], flush=True)
    return tokenizers, rows
