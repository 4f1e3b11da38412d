"""Recognisers of speaker and digit, the judges of decoded speech, and features of frames.

    python benchmarks/speech.py DATA --out WEIGHTS
    python benchmarks/speech.py DATA --unseen

DATA has folders ``train`` and ``test`` of recordings at 8 kHz, named DIGIT_SPEAKER_INDEX.wav.
Two judges of different architecture, convolutions and a recurrent network, each with a network for
the digit and one for the speaker. They see log-mel pictures of the first second, are trained on the
originals of the train folder with shifts in time and loudness, and measured on those of the test
folder. With ``--unseen`` the first judge of digits learns from five of the six speakers, and is
measured on the sixth: how far it knows a digit in a voice, or with an accent, that it never heard.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import write
from fitting import fit_classifier
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import conv1d, pad
from torch.nn.utils.rnn import pad_sequence

from vocabula.benchmark import record
from vocabula.data.audio import AudioSource
from vocabula.data.audio_opening import open_audio
from vocabula.functional.mel import frame_count, log_mel, magnitudes, mel_filters
from vocabula.signals import Condition
from vocabula.tokenizers import SignalTokenizer

RATE = 8000
LABELS = "{digit}_{speaker}_{index}"
HOP, WINDOW, BANDS, FRAMES = 80, 256, 40, 100
FLOOR = 1e-4
SHIFT, GAIN = 10, 0.7
"""Of the augmentation: frames, and the logarithm of the loudness."""


def pictures(waves: Sequence[Tensor]) -> Tensor:
    """Log-mel pictures (N, 1, bands, 100) of the first second of recordings (T,)."""
    filters, curve = mel_filters(RATE, WINDOW, BANDS), torch.hann_window(WINDOW)
    found = []
    for wave in waves:
        seen = pad(wave[: FRAMES * HOP], (0, max(0, FRAMES * HOP - len(wave))))
        spectrum = magnitudes(seen[None], curve, HOP, before=WINDOW // 2)
        found.append(log_mel(spectrum, filters, FLOOR))
    return (torch.stack(found) + 6) / 2.5


def recogniser(classes: int) -> nn.Module:
    """A network of 4 convolutions on pictures (N, 1, 40, 100)."""
    layers: list[nn.Module] = []
    for narrow, wide in ((1, 24), (24, 48), (48, 64), (64, 96)):
        conv = nn.Conv2d(narrow, wide, 3, stride=2, padding=1, bias=False)
        layers += [conv, nn.BatchNorm2d(wide), nn.GELU()]
    return nn.Sequential(
        *layers,
        nn.AdaptiveAvgPool2d((2, 4)),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(768, classes),
    )


class Recurrent(nn.Module):
    """A GRU in both directions over pictures (N, 1, 40, 100), two frames a step."""

    def __init__(self, classes: int, width: int = 96) -> None:
        super().__init__()
        self.frames = nn.GRU(2 * BANDS, width, batch_first=True, bidirectional=True)
        self.last = nn.Sequential(nn.Dropout(0.2), nn.Linear(4 * width, classes))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes)."""
        rows = x[:, 0].transpose(1, 2).unflatten(1, (FRAMES // 2, 2)).flatten(2)
        seen, _ = self.frames(rows)
        found: Tensor = self.last(torch.cat([seen.mean(1), seen.amax(1)], 1))
        return found


JUDGES: dict[str, tuple[Callable[[int], nn.Module], float]] = {
    "convolutions": (recogniser, 4e-3),
    "recurrent": (Recurrent, 2e-3),
}
"""The architectures, each with its learning rate."""
QUESTIONS = {"digit": 10, "speaker": 6}
"""The number of answers to each."""


def fit(net: nn.Module, x: Tensor, labels: Tensor, steps: int, rate: float) -> nn.Module:
    """Train with one-cycle AdamW on batches of 64, shifted in time and loudness."""
    silence = float(x.min())

    def draw(generator: torch.Generator) -> tuple[Tensor, Tensor]:
        chosen = torch.randint(len(x), (64,), generator=generator)
        move = int(torch.randint(-SHIFT, SHIFT + 1, (1,), generator=generator))
        batch = pad(x[chosen], (max(move, 0), max(-move, 0)), value=silence)
        batch = batch[..., max(-move, 0) :][..., :FRAMES]
        louder = (torch.rand(64, 1, 1, 1, generator=generator) * 2 - 1) * GAIN / 2.5
        return (batch + louder).clamp_min(silence), labels[chosen]

    return fit_classifier(net, draw, steps, rate, decay=0.02)


@torch.inference_mode()
def heard(net: nn.Module, x: Tensor) -> Tensor:
    """The class (N,) that a recogniser hears in each of pictures x."""
    return torch.cat([net(part).argmax(1) for part in x.split(256)])


def recordings(place: Path) -> tuple[list[Tensor], dict[str, Tensor], AudioSource]:
    """The waves of a folder, their attributes, and the source."""
    source = open_audio(place, sample_rate=RATE, labels=LABELS)
    waves = [torch.from_numpy(source.read_whole(i)[0]) for i in range(len(source))]
    known = source.attributes(np.arange(len(source)))
    return waves, {name: torch.from_numpy(values) for name, values in known.items()}, source


Nets = dict[str, nn.Module]
"""The networks of one judge, by question."""


def trained_judges(data: Path, steps: int) -> dict[str, Nets]:
    """Every judge, trained on the originals of the train folder."""
    waves, known, _ = recordings(data / "train")
    x = pictures(waves)
    judges: dict[str, Nets] = {}
    for judge, (build, rate) in JUDGES.items():
        judges[judge] = {}
        for question, answers in QUESTIONS.items():
            torch.manual_seed(0)
            judges[judge][question] = fit(build(answers), x, known[question], steps, rate)
    return judges


def unseen_speakers(data: Path, steps: int) -> list[float]:
    """The share of digits that the first judge hears of each speaker, having heard the others."""
    (waves, known, _), (test, told, _) = recordings(data / "train"), recordings(data / "test")
    (x, seen), (build, rate) = (pictures(waves), pictures(test)), next(iter(JUDGES.values()))
    shares = []
    for speaker in range(QUESTIONS["speaker"]):
        others, own = known["speaker"] != speaker, told["speaker"] == speaker
        torch.manual_seed(0)
        net = build(QUESTIONS["digit"])
        fit(net, x[others], known["digit"][others], steps, rate)
        shares.append(share(heard(net, seen[own]) == told["digit"][own]))
    return shares


def saved_judges(weights: Path) -> dict[str, Nets]:
    """Every judge, read from a file."""
    saved = load_file(weights)
    judges: dict[str, Nets] = {}
    for judge, (build, _) in JUDGES.items():
        judges[judge] = {}
        for question, answers in QUESTIONS.items():
            net, place = build(answers), f"{judge}/{question}/"
            own = {k.removeprefix(place): v for k, v in saved.items() if k.startswith(place)}
            net.load_state_dict(own)
            judges[judge][question] = net.eval()
    return judges


def save_judges(judges: dict[str, Nets], weights: Path) -> None:
    """Write every judge to a file."""
    tensors = {
        f"{judge}/{question}/{name}": value.contiguous()
        for judge, nets in judges.items()
        for question, net in nets.items()
        for name, value in net.state_dict().items()
    }
    save_file(tensors, weights)


def accuracies(judges: dict[str, Nets], data: Path) -> dict[str, Any]:
    """The share of originals of the test folder in which each judge hears what is said."""
    waves, known, _ = recordings(data / "test")
    return answers(judges, pictures(waves), known)


def answers(judges: dict[str, Nets], x: Tensor, known: dict[str, Tensor]) -> dict[str, Any]:
    """The share of pictures in which each judge hears the digit and the speaker."""
    return {
        judge: {question: share(heard(net, x) == known[question]) for question, net in nets.items()}
        for judge, nets in judges.items()
    }


def shuffled(codes: list[Tensor]) -> list[Tensor]:
    """The codes of all recordings in another order, in as many recordings of the same lengths."""
    joined = torch.cat(codes)
    order = torch.randperm(len(joined), generator=torch.Generator().manual_seed(0))
    return list(joined[order].split([len(own) for own in codes]))


@torch.inference_mode()
def decoded(
    tokenizer: SignalTokenizer,
    codes: list[Tensor],
    lengths: list[int],
    speakers: Tensor | None = None,
) -> list[Tensor]:
    """Codes (n, ...) of recordings as waves (T,), as files of 16 bits hold them.

    Args:
        tokenizer: of sound.
        codes: of each recording.
        lengths: T of each.
        speakers: (N,) whose voices a conditional decoder is to use.
    """
    order = sorted(range(len(codes)), key=lengths.__getitem__)
    waves: dict[int, Tensor] = {}
    for start in range(0, len(order), 32):
        rows = order[start : start + 32]
        own = pad_sequence([codes[i] for i in rows], batch_first=True, padding_value=-1)
        times = torch.tensor([lengths[i] for i in rows])
        mask = torch.arange(int(times.max())) < times[:, None]
        condition = None if speakers is None else Condition({"speaker": speakers[rows]})
        y = tokenizer.decode(own, condition, mask=mask)[:, 0]
        y = (y.clamp(-1, 1) * 2**15).round() / 2**15
        waves |= {i: wave[:length] for i, wave, length in zip(rows, y, times.tolist(), strict=True)}
    return [waves[i] for i in range(len(codes))]


def share(right: Tensor) -> float:
    """The share of True, rounded."""
    return round(float(right.double().mean()), 4)


def trained(run: Path) -> dict[str, Any]:
    """What the training of a run was: preset, overrides that change it, steps, seconds."""
    manifest = json.loads((run / "run.json").read_text(encoding="utf-8"))
    last = json.loads((run / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    kept = [int(place.name.rpartition("-")[2]) for place in (run / "checkpoints").glob("step-*")]
    mine = [word for word in manifest["overrides"] if not word.startswith("training.max_minutes")]
    return {
        "preset": manifest["preset"],
        "overrides": mine,
        "steps": max([last["step"], *kept]),
        "seconds": round(last["seconds"]),
    }


# ------------------------------------------------------------------ features of frames


def mfcc(wave: Tensor, *, hop: int = 160, window: int = 400, normalized: bool) -> NDArray[Any]:
    """13 cepstral coefficients and their differences (n, 26), a frame a hop, around its middle.

    Args:
        wave: (T,) at 8 kHz.
        hop: samples per frame.
        window: samples of a frame's window.
        normalized: mean 0 and variance 1 of each over the recording, as the preset's encoder does.
    """
    count, curve = frame_count(len(wave), hop), torch.hann_window(window)
    spectrum = magnitudes(wave[None], curve, hop, before=(window - hop) // 2, frames=count)
    bands = log_mel(spectrum, mel_filters(RATE, window, BANDS), 1e-5)[0]  # (bands, n)
    n, k = torch.arange(BANDS) + 0.5, torch.arange(13)[:, None]
    cepstra = torch.cos(torch.pi / BANDS * n * k) @ bands
    slopes = torch.tensor([[[-2.0, -1.0, 0.0, 1.0, 2.0]]]) / 10
    around = pad(cepstra[:, None], (2, 2), mode="replicate")
    both = torch.cat([cepstra, conv1d(around, slopes)[:, 0]])
    if normalized:
        spread = (both.var(1, unbiased=False, keepdim=True) + 1e-2).sqrt()
        both = (both - both.mean(1, keepdim=True)) / spread
    return both.t().numpy()


def main() -> None:
    """Train, measure, write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, help="keep the weights in this file")
    parser.add_argument("--unseen", action="store_true", help="measure unseen speakers alone")
    parser.add_argument("--steps", type=int, default=600)
    options = parser.parse_args()
    if options.unseen == (options.out is not None):
        parser.error("expected --out FILE or --unseen")
    threads = torch.get_num_threads()
    if options.unseen:
        shares = unseen_speakers(options.data, options.steps)
        figures = {"data": "DATA", "steps": options.steps, "digit_of_unseen_speaker": shares}
        print(figures)
        words = f"python benchmarks/speech.py DATA --unseen --steps {options.steps}"
        write(record("unseen-speakers", words, threads, figures))
        return
    started = time.process_time()
    judges = trained_judges(options.data, options.steps)
    seconds = round(time.process_time() - started, 1)
    save_judges(judges, options.out)
    figures = {
        "data": "DATA",
        "steps": options.steps,
        "parameters": {
            judge: sum(p.numel() for p in nets["digit"].parameters())
            for judge, nets in judges.items()
        },
        "cpu_seconds": seconds,
        "test_accuracy": accuracies(judges, options.data),
    }
    print(figures)
    words = f"python benchmarks/speech.py DATA --out WEIGHTS --steps {options.steps}"
    write(record("classifier-speech", words, threads, figures))


if __name__ == "__main__":
    main()
