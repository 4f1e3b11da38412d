"""Priors on the codes of spoken digits: bits per code, conditional samples, lengths, copies.

    vocabula train DATA/train --preset speech-voices-8k --out RUN
    vocabula encode RUN DATA/train -o TOKENS
    vocabula encode RUN DATA/test -o HELD_OUT
    vocabula train-prior RUN TOKENS --held-out HELD_OUT --model pixelsnail -o PRIOR
    python benchmarks/speech.py DATA --out WEIGHTS
    python benchmarks/sound_priors.py RUN PRIOR TOKENS DATA WEIGHTS

TOKENS are the codes that the prior learned from; the names of the recordings are
DIGIT_SPEAKER_INDEX.wav. Two recognisers of digits and speakers, see ``speech.py``, hear the test
recordings as they are, the same decoded from their codes, and samples.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import write
from speech import (
    RATE,
    Nets,
    answers,
    decoded,
    pictures,
    recordings,
    saved_judges,
    trained,
)
from torch import Tensor

from vocabula import load, load_generator
from vocabula.benchmark.record import record
from vocabula.data import read_tokens
from vocabula.data.code_arrays import CodeArrays, read_codes
from vocabula.evaluation.code_nats import count_by_book
from vocabula.priors import Drawing, Generator
from vocabula.priors.conditioned import ConditionedCodes


def nearest(samples: list[Tensor], training: Any) -> dict[str, float]:
    """How far the nearest training recording is, as a share of differing codes.

    Codes at the same position and book are compared; those of which one recording has no more
    differ.
    """
    counts, every = training.counts[0], training.codes(0)
    shares = []
    for codes in samples:
        n = min(len(codes), every.shape[1])
        same = (every[:, :n] == codes[None, :n]).flatten(1).sum(1).numpy()
        longer = np.maximum(counts, len(codes)) * codes.shape[1]
        shares.append(float((1 - same / longer).min()))
    return {"least": min(shares), "median": float(np.median(shares))}


def unigram(prior: Path, tokens: CodeArrays) -> list[float]:
    """Nats per held-out code of each book by its frequency in the training codes."""
    sources = json.loads((prior / "run.json").read_text(encoding="utf-8"))["sources"]
    other = read_codes(read_tokens(sources["held_out"]))
    return count_by_book(ConditionedCodes(tokens), ConditionedCodes(other), 0)


def histogram(seconds: np.ndarray) -> list[int]:
    """Counts in steps of 0.1 s up to 2.4 s."""
    return np.histogram(seconds, bins=24, range=(0, 2.4))[0].tolist()


def drawn(
    generator: Generator,
    judges: dict[str, Nets],
    pairs: list[tuple[int, int]],
    top_p: float,
    guidance: float,
    tokens: CodeArrays,
) -> dict[str, Any]:
    """Samples of some digits and speakers: what is heard, how long they are, how new."""
    digits, speakers = ([pair[i] for pair in pairs] for i in range(2))
    known = {"digit": torch.tensor(digits), "speaker": torch.tensor(speakers)}
    samples = generator.sample(
        len(pairs),
        attributes={"digit": digits, "speaker": speakers},
        seed=0,
        drawing=Drawing(top_p=top_p if top_p < 1 else None, guidance=guidance),
    )
    groups = list(samples.each())
    sounds = [x[0] for group in groups for x in group.signals]
    codes = [own for group in groups for own in group.levels[0]]
    return {
        "count": len(pairs),
        "top_p": top_p,
        "guidance": guidance,
        "recognised": answers(judges, pictures(sounds), known),
        "seconds": histogram(np.array([len(x) for x in sounds]) / RATE),
        "nearest_training_recording": nearest(codes, tokens),
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("run", "prior", "tokens", "data", "weights"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--each", type=int, default=2, help="samples of each digit and speaker")
    parser.add_argument("--top-p", type=float, nargs="+", default=[1.0])
    parser.add_argument("--guidance", type=float, nargs="+", default=[1.0])
    options = parser.parse_args()
    tokenizer, generator = load(options.run).eval(), load_generator(options.prior)
    judges = saved_judges(options.weights)
    lengths = [len(wave) for wave in recordings(options.data / "train")[0]]
    waves, known, source = recordings(options.data / "test")
    voices = known["speaker"] if tokenizer.decoder_attributes else None
    with torch.inference_mode():
        codes = [tokenizer.encode(wave[None, None])[0] for wave in waves]
    again = decoded(tokenizer, codes, [len(wave) for wave in waves], voices)
    pairs = [(d, s) for d in range(10) for s in range(6) for _ in range(options.each)]
    metrics = json.loads((options.prior / "metrics.json").read_text(encoding="utf-8"))
    tokens = read_codes(read_tokens(str(options.tokens)))
    words = f"--each {options.each} --top-p {' '.join(map(str, options.top_p))}"
    words += f" --guidance {' '.join(map(str, options.guidance))}"
    drawings = [(p, g) for p in options.top_p for g in options.guidance]
    figures = {
        "tokenizer": trained(options.run),
        "prior": metrics,
        "bits_per_code": metrics["nats_per_token"] / math.log(2),
        "bits_per_code_unigram": metrics["order0"] / math.log(2),
        "nats_by_book_unigram": unigram(options.prior, tokens),
        "recognised": {
            "originals": answers(judges, pictures(waves), known),
            "decoded": answers(judges, pictures(again), known),
        },
        "samples": [drawn(generator, judges, pairs, p, g, tokens) for p, g in drawings],
        "seconds": histogram(np.array(lengths) / RATE),
        "names": {name: list(own) for name, own in source.names.items()},
    }
    command = f"python benchmarks/sound_priors.py RUN PRIOR TOKENS DATA WEIGHTS {words}"
    write(record("sound-priors", command, torch.get_num_threads(), figures))
    print(json.dumps([figures["recognised"], *figures["samples"]]))


if __name__ == "__main__":
    main()
