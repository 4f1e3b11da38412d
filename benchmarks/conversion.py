"""Voices exchanged: who is heard, and whether the digit is kept.

    vocabula train DATA/train --preset speech-voices-8k --out RUN
    python benchmarks/speech.py DATA --out WEIGHTS
    python benchmarks/conversion.py DATA RUN WEIGHTS
    python benchmarks/conversion.py DATA RUN WEIGHTS --pairs

Every recording of DATA/test is encoded once and decoded as each of the speakers. Two recognisers of
speaker and digit, which were trained on originals of the train folder, judge; see ``speech.py``.
Controls: the recording's own speaker, and the codes of all recordings shuffled. With ``--pairs``
the first judge hears every second recording, and its answers are counted by source and target.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from common import write
from speech import (
    Nets,
    accuracies,
    decoded,
    heard,
    pictures,
    recordings,
    saved_judges,
    share,
    shuffled,
    trained,
)
from torch import Tensor

from vocabula import load
from vocabula.benchmark import record
from vocabula.tokenizers import SignalTokenizer


def voices(
    tokenizer: SignalTokenizer, codes: list[Tensor], lengths: list[int], speaker: Tensor
) -> dict[str, Tensor]:
    """Pictures of all recordings in every other voice, in their own, and of shuffled codes."""
    count = tokenizer.decoder_attributes["speaker"]
    others = [
        pictures(decoded(tokenizer, codes, lengths, (speaker + step) % count))
        for step in range(1, count)
    ]
    mixed = decoded(tokenizer, shuffled(codes), lengths, (speaker + 1) % count)
    own = decoded(tokenizer, codes, lengths, speaker)
    return {"others": torch.cat(others), "own": pictures(own), "mixed": pictures(mixed)}


def shares(
    nets: Nets, seen: dict[str, Tensor], known: dict[str, Tensor], count: int
) -> dict[str, dict[str, float]]:
    """What one judge hears in pictures of `voices`."""
    speaker, digit = known["speaker"], known["digit"]
    targets = torch.cat([(speaker + step) % count for step in range(1, count)])
    voice = heard(nets["speaker"], seen["others"])
    return {
        "converted": {
            "target_heard": share(voice == targets),
            "source_heard": share(voice == speaker.repeat(count - 1)),
            "digit_heard": share(heard(nets["digit"], seen["others"]) == digit.repeat(count - 1)),
        },
        "own_speaker": {
            "speaker_heard": share(heard(nets["speaker"], seen["own"]) == speaker),
            "digit_heard": share(heard(nets["digit"], seen["own"]) == digit),
        },
        "shuffled_codes": {
            "target_heard": share(heard(nets["speaker"], seen["mixed"]) == (speaker + 1) % count),
            "digit_heard": share(heard(nets["digit"], seen["mixed"]) == digit),
        },
    }


def judged(data: Path, run: Path, weights: Path) -> dict[str, Any]:
    """All shares."""
    tokenizer, judges = load(run).eval(), saved_judges(weights)
    waves, known, source = recordings(data / "test")
    own_names = tokenizer.known({"speaker": known["speaker"]}, {"speaker": source.names["speaker"]})
    assert own_names is not None, "the decoder takes the speaker"
    speaker = own_names.attributes["speaker"]
    assert torch.equal(speaker, known["speaker"]), "the recognisers number speakers alike"
    with torch.inference_mode():
        codes = [tokenizer.encode(wave[None, None])[0] for wave in waves]
    seen = voices(tokenizer, codes, [len(wave) for wave in waves], speaker)
    count = tokenizer.decoder_attributes["speaker"]
    return {
        "recordings": len(waves),
        "conversions": len(waves) * (count - 1),
        "bits_per_second": tokenizer.bits_per_unit,
        "originals": accuracies(judges, data),
        "judges": {judge: shares(nets, seen, known, count) for judge, nets in judges.items()},
    }


def by_pair(data: Path, run: Path, weights: Path) -> dict[str, Any]:
    """What the first judge hears, by source (rows) and target, in every second recording."""
    tokenizer, (judge, nets) = load(run).eval(), next(iter(saved_judges(weights).items()))
    waves, known, source = recordings(data / "test")
    waves, speaker, digit = waves[::2], known["speaker"][::2], known["digit"][::2]
    with torch.inference_mode():
        codes = [tokenizer.encode(wave[None, None])[0] for wave in waves]
    names = source.names["speaker"]
    digits, targets = torch.zeros(2, len(names), len(names)).unbind()
    for target in range(len(names)):
        voice = torch.full_like(speaker, target)
        x = pictures(decoded(tokenizer, codes, [len(wave) for wave in waves], voice))
        right, told = heard(nets["digit"], x) == digit, heard(nets["speaker"], x) == voice
        for number in range(len(names)):
            rows = speaker == number
            digits[number, target], targets[number, target] = share(right[rows]), share(told[rows])
    loudest = torch.tensor([float(wave.abs().max()) for wave in waves])
    return {
        "recordings": len(waves),
        "judge": judge,
        "speakers": list(names),
        "median_peak": [float(loudest[speaker == n].median()) for n in range(len(names))],
        "digit_heard": [[round(value, 4) for value in row] for row in digits.tolist()],
        "target_heard": [[round(value, 4) for value in row] for row in targets.tolist()],
    }


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--pairs", action="store_true")
    options = parser.parse_args()
    measured = by_pair if options.pairs else judged
    figures = {"data": "DATA", "training": trained(options.run)}
    figures |= measured(options.data, options.run, options.weights)
    print(figures)
    words = "python benchmarks/conversion.py DATA RUN WEIGHTS" + " --pairs" * options.pairs
    name = "conversion-pairs" if options.pairs else "conversion"
    write(record(name, words, torch.get_num_threads(), figures))


if __name__ == "__main__":
    main()
