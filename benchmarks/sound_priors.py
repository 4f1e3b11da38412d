"""Priors on the codes of spoken digits: bits per code, conditional samples, lengths, copies.

    python benchmarks/sound_priors.py RUN PRIOR TRAIN.parquet TRAIN_FOLDER TEST_FOLDER -o out.json

RUN is a tokenizer of speech, PRIOR a prior of its codes that ``vocabula train-prior`` made with
``--held-out``, TRAIN.parquet the codes that it learned from; the names of the recordings are
DIGIT_SPEAKER_INDEX.wav. A recogniser of digits and speakers is trained on the original recordings,
and hears the test recordings as they are, the same decoded from their codes, and samples.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from vocabula import load, load_generator
from vocabula.benchmark.record import record
from vocabula.data import read_tokens
from vocabula.data.audio_data import AudioData
from vocabula.data.code_arrays import CodeArrays, read_codes
from vocabula.evaluation.batches import read_batches
from vocabula.evaluation.code_nats import count_by_book
from vocabula.functional.mel import mel_filters
from vocabula.priors import Drawing, Generator
from vocabula.priors.conditioned import ConditionedCodes
from vocabula.tokenizers import SignalTokenizer

PATTERN = "{digit}_{speaker}_{index}"
WINDOW, HOP, BANDS = 256, 80, 40


class Recogniser(nn.Module):
    """Three convolutions over log-mel frames, their mean and maximum, a layer for each question."""

    def __init__(self, rate: int, digits: int, speakers: int, width: int = 64) -> None:
        super().__init__()
        self.register_buffer("mel", mel_filters(rate, WINDOW, BANDS))
        self.layers = nn.Sequential(
            *(part for i in range(3) for part in self._layer(BANDS if not i else width, width))
        )
        self.digit = nn.Linear(2 * width, digits)
        self.speaker = nn.Linear(2 * width, speakers)

    @staticmethod
    def _layer(inside: int, width: int) -> tuple[nn.Module, ...]:
        return nn.Conv1d(inside, width, 5, padding=2), nn.BatchNorm1d(width), nn.ReLU()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of digit and speaker of recordings (B, T)."""
        window = torch.hann_window(WINDOW)
        magnitude = torch.stft(x, WINDOW, HOP, window=window, return_complex=True).abs()
        frames = torch.einsum("mf,bft->bmt", self.mel.to(magnitude), magnitude)
        mel = frames.clamp(min=1e-3).log()
        found = self.layers(mel - mel.mean((1, 2), keepdim=True))
        pooled = torch.cat([found.mean(-1), found.amax(-1)], 1)
        return self.digit(pooled), self.speaker(pooled)


def recordings(
    tokenizer: SignalTokenizer, folder: str
) -> tuple[list[Tensor], Tensor, Tensor, dict[str, tuple[str, ...]]]:
    """Recordings (T,), their digits and speakers, and what these are called."""
    data = AudioData(labels=PATTERN).for_signal(tokenizer.signal)
    source = data.open(folder, channels=1)
    waves, digits, speakers = [], [], []
    for batch in read_batches(source, batch_size=1, workers=0):
        waves += list(batch.values[:, 0])
        digits += batch.attributes["digit"].tolist()
        speakers += batch.attributes["speaker"].tolist()
    return waves, torch.tensor(digits), torch.tensor(speakers), dict(source.names)


def padded(waves: list[Tensor]) -> Tensor:
    """Recordings in one batch, at least one window long."""
    longest = max(WINDOW, *map(len, waves))
    return torch.stack([nn.functional.pad(x, (0, longest - len(x))) for x in waves])


def train(waves: list[Tensor], digits: Tensor, speakers: Tensor, rate: int, epochs: int) -> Any:
    """A recogniser of recordings."""
    torch.manual_seed(0)
    net = Recogniser(rate, int(digits.max()) + 1, int(speakers.max()) + 1)
    optimizer = torch.optim.AdamW(net.parameters(), 3e-3)
    by_length = sorted(range(len(waves)), key=lambda i: len(waves[i]))
    batches = [by_length[i : i + 32] for i in range(0, len(by_length), 32)]
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 3e-3, total_steps=epochs * len(batches)
    )
    for _ in range(epochs):
        for k in torch.randperm(len(batches)).tolist():
            rows = batches[k]
            one, two = net(padded([waves[i] for i in rows]))
            loss = cross_entropy(one, digits[rows]) + cross_entropy(two, speakers[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return net.eval()


@torch.no_grad()
def heard(net: Any, waves: list[Tensor], digits: Tensor, speakers: Tensor) -> dict[str, float]:
    """Shares of recordings whose digit and speaker are recognised, each heard alone."""
    one, two = zip(*(net(padded([x])) for x in waves), strict=True)
    right = [torch.cat(one).argmax(1) == digits, torch.cat(two).argmax(1) == speakers]
    return {
        name: float(r.double().mean()) for name, r in zip(("digit", "speaker"), right, strict=True)
    }


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


def unigram(prior: str, trained: CodeArrays) -> list[float]:
    """Nats per held-out code of each book by its frequency in the training codes."""
    sources = json.loads((Path(prior) / "run.json").read_text())["sources"]
    other = read_codes(read_tokens(sources["held_out"]))
    return count_by_book(ConditionedCodes(trained), ConditionedCodes(other), 0)


def histogram(seconds: np.ndarray) -> list[int]:
    """Counts in steps of 0.1 s up to 2.4 s."""
    return np.histogram(seconds, bins=24, range=(0, 2.4))[0].tolist()


def drawn(
    generator: Generator,
    net: Any,
    pairs: list[tuple[int, int]],
    top_p: float,
    guidance: float,
    trained: CodeArrays,
) -> dict[str, Any]:
    """Samples of some digits and speakers: what is heard, how long they are, how new."""
    digits, speakers = ([pair[i] for pair in pairs] for i in range(2))
    samples = generator.sample(
        len(pairs),
        attributes={"digit": digits, "speaker": speakers},
        seed=0,
        drawing=Drawing(top_p=top_p if top_p < 1 else None, guidance=guidance),
    )
    groups = list(samples.each())
    sounds = [x[0] for group in groups for x in group.signals]
    codes = [own for group in groups for own in group.levels[0]]
    rate = generator.tokenizer.signal.sample_rate or 1
    return {
        "count": len(pairs),
        "top_p": top_p,
        "guidance": guidance,
        "recognised": heard(net, sounds, torch.tensor(digits), torch.tensor(speakers)),
        "seconds": histogram(np.array([len(x) for x in sounds]) / rate),
        "nearest_training_recording": nearest(codes, trained),
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("run", "prior", "tokens", "train", "test"):
        parser.add_argument(name)
    parser.add_argument("-o", "--out", required=True)
    parser.add_argument("--each", type=int, default=2, help="samples of each digit and speaker")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--top-p", type=float, nargs="+", default=[1.0])
    parser.add_argument("--guidance", type=float, nargs="+", default=[1.0])
    options = parser.parse_args()
    tokenizer, generator = load(options.run), load_generator(options.prior)
    rate = tokenizer.signal.sample_rate or 1
    waves, digits, speakers, names = recordings(tokenizer, options.train)
    net = train(waves, digits, speakers, rate, options.epochs)
    test, test_digits, test_speakers, _ = recordings(tokenizer, options.test)
    decoded = [tokenizer.reconstruct(x[None, None])[0, 0] for x in test]
    pairs = [(d, s) for d in range(10) for s in range(6) for _ in range(options.each)]
    metrics = json.loads((Path(options.prior) / "metrics.json").read_text())
    trained = read_codes(read_tokens(options.tokens))
    words = f"--each {options.each} --epochs {options.epochs}"
    words += " --top-p " + " ".join(map(str, options.top_p))
    words += " --guidance " + " ".join(map(str, options.guidance))
    drawings = [(p, g) for p in options.top_p for g in options.guidance]
    figures = {
        "prior": metrics,
        "bits_per_code": metrics["nats_per_token"] / math.log(2),
        "bits_per_code_unigram": metrics["order0"] / math.log(2),
        "nats_by_book_unigram": unigram(options.prior, trained),
        "recognised": {
            "originals": heard(net, test, test_digits, test_speakers),
            "decoded": heard(net, decoded, test_digits, test_speakers),
        },
        "samples": [drawn(generator, net, pairs, p, g, trained) for p, g in drawings],
        "seconds": histogram(np.array([len(x) for x in waves]) / rate),
        "names": {name: list(own) for name, own in names.items()},
    }
    command = f"python benchmarks/sound_priors.py RUN PRIOR TOKENS TRAIN TEST {words}"
    result = record("sound-priors", command, torch.get_num_threads(), figures)
    Path(options.out).write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps([figures["recognised"], *figures["samples"]]))


if __name__ == "__main__":
    main()
