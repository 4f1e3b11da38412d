"""Recognisers of speaker and digit, the judges of decoded speech, and features of frames.

    python benchmarks/speech.py DATA --out WEIGHTS

DATA has folders ``train`` and ``test`` of recordings at 8 kHz, named DIGIT_SPEAKER_INDEX.wav.
Small convolutional networks on log-mel pictures of the first second; trained on the originals of
the train folder with shifts in time and loudness, measured on those of the test folder.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import write
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import conv1d, cross_entropy, pad

from vocabula.benchmark import record
from vocabula.data.audio import AudioSource
from vocabula.data.audio_opening import open_audio
from vocabula.functional.mel import frame_count, log_mel, magnitudes, mel_filters

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


def fit(net: nn.Module, x: Tensor, labels: Tensor, steps: int) -> nn.Module:
    """Train with one-cycle AdamW on batches of 64, shifted in time and loudness."""
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(net.parameters(), 4e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    silence = float(x.min())
    net.train()
    for _ in range(steps):
        chosen = torch.randint(len(x), (64,), generator=generator)
        move = int(torch.randint(-SHIFT, SHIFT + 1, (1,), generator=generator))
        batch = pad(x[chosen], (max(move, 0), max(-move, 0)), value=silence)
        batch = batch[..., max(-move, 0) :][..., :FRAMES]
        louder = (torch.rand(64, 1, 1, 1, generator=generator) * 2 - 1) * GAIN / 2.5
        batch = (batch + louder).clamp_min(silence)
        loss = cross_entropy(net(batch), labels[chosen], label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return net.eval()


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


def recognisers(data: Path, weights: Path | None, steps: int) -> dict[str, nn.Module]:
    """Networks for digit and speaker, read or trained."""
    saved = None if weights is None or not weights.exists() else load_file(weights)
    x, known = torch.empty(0), dict[str, Tensor]()
    if saved is None:
        waves, known, _ = recordings(data / "train")
        x = pictures(waves)
    nets = {}
    for name, classes in (("digit", 10), ("speaker", 6)):
        torch.manual_seed(0)
        nets[name] = recogniser(classes)
        if saved is None:
            fit(nets[name], x, known[name], steps)
        else:
            own = {k.partition("/")[2]: v for k, v in saved.items() if k.startswith(name)}
            nets[name].load_state_dict(own)
            nets[name].eval()
    return nets


def accuracies(nets: dict[str, nn.Module], data: Path) -> dict[str, float]:
    """The share of originals of the test folder in which each network hears what is said."""
    waves, known, _ = recordings(data / "test")
    x = pictures(waves)
    return {name: share(heard(net, x) == known[name]) for name, net in nets.items()}


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
    parser.add_argument("--out", type=Path, required=True, help="keep the weights in this file")
    parser.add_argument("--steps", type=int, default=600)
    options = parser.parse_args()
    started = time.process_time()
    nets = recognisers(options.data, None, options.steps)
    seconds = round(time.process_time() - started, 1)
    tensors = {f"{n}/{k}": v for n, net in nets.items() for k, v in net.state_dict().items()}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, options.out)
    figures = {
        "data": "DATA",
        "steps": options.steps,
        "parameters": sum(p.numel() for p in nets["digit"].parameters()),
        "cpu_seconds": seconds,
        "test_accuracy": accuracies(nets, options.data),
    }
    print(figures)
    words = f"python benchmarks/speech.py DATA --out WEIGHTS --steps {options.steps}"
    write(record("classifier-speech", words, torch.get_num_threads(), figures))


if __name__ == "__main__":
    main()
