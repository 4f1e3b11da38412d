"""Digits kept: how many spoken digits are still recognised after a codec of few stages.

    vocabula train DATA/train --preset speech-8k --out RUN "data.labels={digit}_{speaker}_{index}"
    python benchmarks/speech.py DATA --out WEIGHTS
    python benchmarks/digits_kept.py DATA RUN WEIGHTS

Every recording of DATA/test is encoded once and decoded from the codes of its first stages. Two
recognisers of digit and speaker, which were trained on originals of the train folder, judge; see
``speech.py``. Control: the codes of all recordings shuffled.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from common import write
from speech import (
    accuracies,
    answers,
    decoded,
    pictures,
    recordings,
    saved_judges,
    shuffled,
    trained,
)

from vocabula import load
from vocabula.benchmark import record

STAGES = (1, 2, 4, 8)


def judged(data: Path, run: Path, weights: Path) -> dict[str, Any]:
    """All shares."""
    tokenizer, judges = load(run).eval(), saved_judges(weights)
    waves, known, _ = recordings(data / "test")
    lengths = [len(wave) for wave in waves]
    with torch.inference_mode():
        codes = [tokenizer.encode(wave[None, None])[0] for wave in waves]
    stages = codes[0].shape[1]
    figures: dict[str, Any] = {
        "recordings": len(waves),
        "originals": accuracies(judges, data),
        "decoded": {},
    }
    for kept in STAGES:
        x = pictures(decoded(tokenizer, [own[:, :kept] for own in codes], lengths))
        rate = tokenizer.bits_per_unit * kept / stages
        figures["decoded"][kept] = {"bits_per_second": rate, **answers(judges, x, known)}
    mixed = pictures(decoded(tokenizer, shuffled(codes), lengths))
    figures["shuffled_codes"] = answers(judges, mixed, known)
    return figures


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("data", "run", "weights"):
        parser.add_argument(name, type=Path)
    options = parser.parse_args()
    figures = {"data": "DATA", "training": trained(options.run)}
    figures |= judged(options.data, options.run, options.weights)
    print(figures)
    words = "python benchmarks/digits_kept.py DATA RUN WEIGHTS"
    write(record("digits-kept", words, torch.get_num_threads(), figures))


if __name__ == "__main__":
    main()
