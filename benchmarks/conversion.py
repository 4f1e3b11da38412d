"""Voices exchanged: who is heard, and whether the digit is kept.

    vocabula train DATA/train --preset speech-units-8k --out RUN
    python benchmarks/speech.py DATA --out WEIGHTS
    python benchmarks/conversion.py DATA RUN WEIGHTS

Every recording of DATA/test is encoded once and decoded as each of the speakers. Recognisers of
speaker and digit, which were trained on originals of the train folder, judge. Controls: the
recording's own speaker, and the codes of all recordings shuffled.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from common import write
from speech import accuracies, heard, pictures, recognisers, recordings, share, trained
from torch import Tensor

from vocabula import load
from vocabula.benchmark import record
from vocabula.signals import Condition
from vocabula.tokenizers import SignalTokenizer


@torch.inference_mode()
def converted(
    tokenizer: SignalTokenizer, codes: list[Tensor], lengths: list[int], speakers: Tensor
) -> list[Tensor]:
    """Codes (n, ...) of recordings decoded in the voices of speakers (N,), as waves (T,)."""
    found = []
    for own, length, speaker in zip(codes, lengths, speakers, strict=True):
        condition = Condition({"speaker": speaker[None]})
        wave: Tensor = tokenizer.decode(own[None], condition, size=(length,))
        # as a file of 16 bits holds it
        found.append((wave[0, 0].clamp(-1, 1) * 2**15).round() / 2**15)
    return found


def shuffled(codes: list[Tensor]) -> list[Tensor]:
    """The codes of all recordings in another order, in as many recordings of the same lengths."""
    joined = torch.cat(codes)
    order = torch.randperm(len(joined), generator=torch.Generator().manual_seed(0))
    return list(joined[order].split([len(own) for own in codes]))


def judged(data: Path, run: Path, weights: Path) -> dict[str, Any]:
    """All shares."""
    tokenizer = load(run).eval()
    nets = recognisers(data, weights, 0)
    waves, known, source = recordings(data / "test")
    own_names = tokenizer.known({"speaker": known["speaker"]}, {"speaker": source.names["speaker"]})
    assert own_names is not None, "the decoder takes the speaker"
    speaker = own_names.attributes["speaker"]
    assert torch.equal(speaker, known["speaker"]), "the recognisers number speakers alike"
    with torch.inference_mode():
        codes = [tokenizer.encode(wave[None, None])[0] for wave in waves]
    lengths, count = [len(wave) for wave in waves], tokenizer.decoder_attributes["speaker"]
    kept: dict[str, list[Tensor]] = {"target": [], "source": [], "digit": []}
    for step in range(1, count):
        target = (speaker + step) % count
        x = pictures(converted(tokenizer, codes, lengths, target))
        voice = heard(nets["speaker"], x)
        kept["target"].append(voice == target)
        kept["source"].append(voice == speaker)
        kept["digit"].append(heard(nets["digit"], x) == known["digit"])
    found = {f"{name}_heard": share(torch.cat(right)) for name, right in kept.items()}
    own = pictures(converted(tokenizer, codes, lengths, speaker))
    mixed = pictures(converted(tokenizer, shuffled(codes), lengths, (speaker + 1) % count))
    return {
        "recordings": len(waves),
        "conversions": len(waves) * (count - 1),
        "originals": accuracies(nets, data),
        "converted": found,
        "own_speaker": {
            "speaker_heard": share(heard(nets["speaker"], own) == speaker),
            "digit_heard": share(heard(nets["digit"], own) == known["digit"]),
        },
        "shuffled_codes": {
            "target_heard": share(heard(nets["speaker"], mixed) == (speaker + 1) % count),
            "digit_heard": share(heard(nets["digit"], mixed) == known["digit"]),
        },
        "bits_per_second": tokenizer.bits_per_unit,
    }


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("weights", type=Path)
    options = parser.parse_args()
    figures = {"data": "DATA", "training": trained(options.run)}
    figures |= judged(options.data, options.run, options.weights)
    print(figures)
    words = "python benchmarks/conversion.py DATA RUN WEIGHTS"
    write(record("conversion", words, torch.get_num_threads(), figures))


if __name__ == "__main__":
    main()
