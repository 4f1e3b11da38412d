"""What an adversary does to decoded speech: how sharp its spectra are, beside their distance.

    vocabula train DATA/train --preset speech-8k --out PLAIN
    vocabula train DATA/train --preset speech-8k-gan --out SHARP
    python benchmarks/speech_gan.py DATA PLAIN SHARP

Recordings of DATA/test are encoded and decoded by each run. Sharpness is the energy of what tells a
mel band from the mean of its two neighbours, in log magnitudes at windows of 64 ms, as a share of
the originals': harmonics and noise have it, and means of many possible spectra do not.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from common import write
from speech import RATE, recordings, trained
from torch import Tensor

from vocabula import load
from vocabula.benchmark.record import record
from vocabula.evaluation import evaluate
from vocabula.files.run_files import read_log
from vocabula.functional.mel import log_mel, magnitudes, mel_filters

WINDOW, HOP, BANDS, FLOOR = 512, 64, 64, 1e-4


def sharpness(wave: Tensor) -> float:
    """The energy () of what tells bands of a wave (T,) from their neighbours."""
    filters, curve = mel_filters(RATE, WINDOW, BANDS), torch.hann_window(WINDOW)
    bands = log_mel(magnitudes(wave[None], curve, HOP, before=WINDOW // 2), filters, FLOOR)[0]
    return float((bands[1:-1] - (bands[2:] + bands[:-2]) / 2).square().sum())


@torch.inference_mode()
def measured(run: Path, data: Path) -> dict[str, Any]:
    """The figures of a run."""
    tokenizer = load(run).eval()
    waves, _, source = recordings(data / "test")
    before = after = 0.0
    for wave in waves:
        again = tokenizer.decode(tokenizer.encode(wave[None, None]), size=wave.shape)[0, 0]
        before, after = before + sharpness(wave), after + sharpness(again)
    found = evaluate(tokenizer, source).to_dict()
    players = [line["adversary"] for line in read_log(run / "log.jsonl") if "adversary" in line]
    return {
        "training": trained(run),
        "sharpness": round(after / before, 4),
        "figures": {name: found[name] for name in ("log_mel_distance", "stoi")},
        "accuracy_of_discriminator": [round(line["accuracy"], 4) for line in players],
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    options = parser.parse_args()
    figures = {"data": "DATA", "runs": [measured(run, options.data) for run in options.runs]}
    print(figures)
    words = "python benchmarks/speech_gan.py DATA" + " RUN" * len(options.runs)
    write(record("speech-gan", words, torch.get_num_threads(), figures))


if __name__ == "__main__":
    main()
