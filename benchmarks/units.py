"""Units of synthetic speech beside its known phones, and beside k-means on MFCC.

    python benchmarks/units.py speak TEXT TOOL OUT
    vocabula train OUT/train --preset speech-units-8k "data.labels={speaker}_{index}" --out RUN
    python benchmarks/units.py measure OUT RUN...

TEXT is any text of English sentences, one a line. TOOL is a program that speaks lines with
espeak-ng and writes ``alignment.csv`` beside the recordings: ``TOOL FOLDER --voices A,B --rate
8000 < sentences``. Sentences and voices of the test folder are not those of the train folder.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import write
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from speech import RATE, mfcc, trained

from vocabula import load
from vocabula.benchmark import record
from vocabula.data.audio_opening import open_audio
from vocabula.evaluation.alignment import Alignment, read_alignment
from vocabula.evaluation.units import Units, count_units, frame_centres
from vocabula.functional import kmeans, nearest_codeword
from vocabula.nn import MelEncoder
from vocabula.tokenizers import Tokenizer

TRAIN_VOICES = ("en-us+m1", "en-us+m3", "en-us+m4", "en-us+f1", "en-us+f2", "en-us+f4")
TEST_VOICES = ("en-us+m2", "en-us+f3")
TRAIN_LINES, TEST_LINES = 160, 60
PROBED = 120
"""Sentences of the train folder that the speaker probe learns from; the others test it."""
HOP = 160
CODEWORDS = 64
"""Of k-means, as many as the preset has."""
Features = Callable[[torch.Tensor], NDArray[Any]]
Clips = list[tuple[str, torch.Tensor]]


def speak(text: Path, tool: Path, out: Path) -> None:
    """Speak random lines of 30 to 60 characters in two folders."""
    lines = [line.strip() for line in text.read_text(encoding="utf-8").splitlines()]
    kept = [line for line in lines if 30 <= len(line) <= 60 and not line.endswith(":")]
    good = list(dict.fromkeys(kept))
    random.Random(0).shuffle(good)
    parts: dict[str, tuple[list[str], tuple[str, ...]]] = {}
    parts["train"] = (good[:TRAIN_LINES], TRAIN_VOICES)
    parts["test"] = (good[TRAIN_LINES : TRAIN_LINES + TEST_LINES], TEST_VOICES)
    for name, (sentences, voices) in parts.items():
        words = [sys.executable, str(tool), str(out / name), "--voices", ",".join(voices)]
        said = "\n".join(sentences) + "\n"
        subprocess.run([*words, "--rate", str(RATE)], input=said, text=True, check=True)


def clips_of(place: Path) -> Clips:
    """Paths and waves (T,) of a folder."""
    source = open_audio(place, sample_rate=RATE)
    return [
        (source.describe(i), torch.from_numpy(source.read_whole(i)[0])) for i in range(len(source))
    ]


def matched(clips: Clips, codes: Sequence[NDArray[Any]], said: Alignment, size: int) -> Units:
    """The figures of the codes (n,) of recordings."""
    counts, without = np.zeros((size, len(said.labels)), np.int64), 0
    for (path, wave), own in zip(clips, codes, strict=True):
        labels = said.at(path, frame_centres(len(wave), HOP, RATE), len(wave) / RATE)
        without += count_units(own, labels, counts)
    return Units.of(counts, said.labels, without)


def figures(units: Units) -> dict[str, Any]:
    """The figures without the matrix, rounded."""
    return {
        name: {key: round(value, 4) for key, value in asdict(own).items()}
        for name, own in (("with_silence", units.all), ("without_silence", units.speech))
    }


def clustered(clips: Clips, size: int, seed: int, *, normalized: bool) -> Features:
    """K-means on the MFCC of recordings: a function that gives the codes of a wave."""
    rows = np.concatenate([mfcc(wave, normalized=normalized) for _, wave in clips])
    book, _ = kmeans(torch.from_numpy(rows), size, iterations=30, seed=seed)

    def codes(wave: torch.Tensor) -> NDArray[Any]:
        return nearest_codeword(torch.from_numpy(mfcc(wave, normalized=normalized)), book).numpy()

    return codes


def shuffle(codes: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """All codes in another order, in recordings of the same lengths."""
    joined = np.random.default_rng(0).permutation(np.concatenate(codes))
    return np.split(joined, np.cumsum([len(own) for own in codes])[:-1])


def speaker_probe(clips: Clips, features: Features) -> float:
    """The share of new sentences whose voice a linear probe on features of the whole tells."""
    rows = np.stack([features(wave) for _, wave in clips])
    voices = [Path(path).stem.rpartition("_")[0] for path, _ in clips]
    first = np.array([int(Path(path).stem.rpartition("_")[2]) < PROBED for path, _ in clips])
    scaled = StandardScaler().fit(rows[first]).transform(rows)
    names = np.array(voices)
    probe = LogisticRegression(max_iter=2000, C=0.1).fit(scaled[first], names[first])
    return round(float(probe.score(scaled[~first], names[~first])), 4)


def histogram(codes: Features, size: int) -> Features:
    """How often a recording has each code, as square roots of shares."""

    def features(wave: torch.Tensor) -> NDArray[Any]:
        own = codes(wave)
        shares: NDArray[Any] = np.sqrt(np.bincount(own, minlength=size) / len(own))
        return shares

    return features


def moments(wave: torch.Tensor) -> NDArray[Any]:
    """Mean and deviation of the MFCC, not normalized."""
    rows = mfcc(wave, normalized=False)
    return np.concatenate([rows.mean(0), rows.std(0)])


@torch.inference_mode()
def measured(run: Path, train: Clips, test: Clips, said: Alignment) -> dict[str, Any]:
    """The figures of a run."""
    tokenizer = load(run).eval()
    size = tokenizer.levels[0].codebook_sizes[0]
    assert isinstance(tokenizer, Tokenizer) and isinstance(tokenizer.encoder, MelEncoder)

    def of_tokenizer(wave: torch.Tensor) -> NDArray[Any]:
        found: NDArray[Any] = tokenizer.encode(wave[None, None])[0].numpy()
        return found

    units = [of_tokenizer(wave) for _, wave in test]
    return {
        "training": trained(run),
        "normalized": tokenizer.encoder.normalized,
        "codewords": size,
        "frames_per_second": RATE / HOP,
        "units": figures(matched(test, units, said, size)),
        "shuffled_units": figures(matched(test, shuffle(units), said, size)),
        "speaker_probe": speaker_probe(train, histogram(of_tokenizer, size)),
    }


def rivals(train: Clips, test: Clips, said: Alignment, size: int, normalized: bool) -> Any:
    """The figures of k-means on MFCC, three seeds, and the speaker probe of the first."""
    clusters = [clustered(train, size, seed, normalized=normalized) for seed in range(3)]
    return {
        "normalized": normalized,
        "codewords": size,
        "seeds": [
            figures(matched(test, [codes(wave) for _, wave in test], said, size))
            for codes in clusters
        ],
        "speaker_probe": speaker_probe(train, histogram(clusters[0], size)),
    }


def main() -> None:
    """Speak, or measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    speaking = verbs.add_parser("speak")
    for name in ("text", "tool", "out"):
        speaking.add_argument(name, type=Path)
    measuring = verbs.add_parser("measure")
    measuring.add_argument("data", type=Path)
    measuring.add_argument("runs", type=Path, nargs="+")
    options = parser.parse_args()
    if options.verb == "speak":
        speak(options.text, options.tool, options.out)
        return
    train, test = clips_of(options.data / "train"), clips_of(options.data / "test")
    said = read_alignment(options.data / "test" / "alignment.csv")
    content: dict[str, Any] = {
        "data": "OUT",
        "sentences": {"train": TRAIN_LINES, "test": TEST_LINES},
        "voices": {"train": list(TRAIN_VOICES), "test": list(TEST_VOICES)},
        "speaker_probe": {
            "chance": round(1 / len(TRAIN_VOICES), 4),
            "mfcc_mean_and_deviation": speaker_probe(train, moments),
        },
        "runs": [measured(run, train, test, said) for run in options.runs],
        "mfcc_kmeans": [rivals(train, test, said, CODEWORDS, way) for way in (True, False)],
    }
    print(content)
    words = "python benchmarks/units.py measure OUT RUN..."
    write(record("units", words, torch.get_num_threads(), content))


if __name__ == "__main__":
    main()
