"""Small classifiers of real pictures, the judges of drawn ones.

    python benchmarks/classifiers.py digits
    python benchmarks/classifiers.py cifar10 DATA --steps 4000

DATA is a folder with ``train.parquet`` and ``test.parquet`` (Hugging Face image feature). Each is
trained on the training split with shifts (and mirrored, on CIFAR-10) and measured on the test
split, none of whose pictures it has seen. `--out FILE` keeps the weights for the other experiments.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from fitting import fit_classifier
from pictures import DIGITS, load_pictures, rounded, write_figures
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import pad


def convolution(narrow: int, wide: int, stride: int = 1) -> nn.Sequential:
    """A 3 x 3 convolution, batch normalization and a GELU."""
    conv = nn.Conv2d(narrow, wide, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(wide), nn.GELU())


class Residual(nn.Module):
    """x + two convolutions of x."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(convolution(width, width), convolution(width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Transform x (B, width, H, W)."""
        return x + self.inner(x)


def digit_net() -> nn.Module:
    """For grey pictures of 8 x 8 pixels: 122,000 parameters."""
    return nn.Sequential(
        convolution(1, 32), Residual(32), convolution(32, 64, 2), Residual(64),
        nn.Flatten(), nn.Dropout(0.3), nn.Linear(64 * 16, 10),
    )  # fmt: skip


def cifar_net() -> nn.Module:
    """For colour pictures of 32 x 32 pixels."""
    return nn.Sequential(
        convolution(3, 64, 2), convolution(64, 64), convolution(64, 128, 2), Residual(128),
        convolution(128, 256, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 10),
    )  # fmt: skip


def shifted(images: Tensor, most: int, generator: torch.Generator, *, mirror: bool) -> Tensor:
    """Images (B, C, H, W) moved by up to `most` pixels, each its own way, maybe mirrored."""
    count, _, height, width = images.shape
    wide = pad(images, (most, most, most, most))
    moves = torch.randint(2 * most + 1, (2, count), generator=generator)
    rows = moves[0][:, None] + torch.arange(height)
    columns = moves[1][:, None] + torch.arange(width)
    if mirror:
        flip = torch.rand(count, generator=generator) < 0.5
        columns = torch.where(flip[:, None], columns.flip(1), columns)
    batch = torch.arange(count)[:, None, None]
    return wide.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None]].permute(0, 3, 1, 2)


def unit(images: Tensor) -> Tensor:
    """Images as the classifiers take them: uint8 or in [0, 1], to [-1, 1]."""
    x = images.float() / 255 if images.dtype == torch.uint8 else images.float()
    return 2 * x - 1


def fit(
    net: nn.Module, images: Tensor, labels: Tensor, *, steps: int, rate: float, mirror: bool
) -> nn.Module:
    """Train with one-cycle AdamW, batches of 128, shifts of an eighth of the width."""
    most = images.shape[-1] // 8

    def draw(generator: torch.Generator) -> tuple[Tensor, Tensor]:
        chosen = torch.randint(len(images), (128,), generator=generator)
        batch = unit(shifted(images[chosen], most, generator, mirror=mirror))
        return batch.contiguous(memory_format=torch.channels_last), labels[chosen]

    net = net.to(memory_format=torch.channels_last)
    return fit_classifier(net, draw, steps, rate, decay=0.01)


@torch.inference_mode()
def recognised(net: nn.Module, images: Tensor) -> Tensor:
    """The class (N,) that a classifier sees in each of images (N, C, H, W)."""
    return torch.cat([net(unit(part)).argmax(1) for part in images.split(500)])


def accuracy(net: nn.Module, images: Tensor, labels: Tensor) -> float:
    """The share of images in which the classifier sees their label."""
    return float((recognised(net, images) == labels).double().mean())


def digit_classifier(weights: Path | None = None, steps: int = 800) -> tuple[nn.Module, float]:
    """A classifier of the bundled digits, trained in a minute or read, and its test accuracy."""
    torch.manual_seed(0)
    net = digit_net()
    if weights is not None:
        net.load_state_dict(load_file(weights))
        net.eval()
    else:
        images, labels = load_pictures(DIGITS)
        fit(net, images, labels, steps=steps, rate=4e-3, mirror=False)
    return net, accuracy(net, *load_pictures(f"{DIGITS}/test"))


def cifar_classifier(
    data: Path, weights: Path | None = None, steps: int = 4000
) -> tuple[nn.Module, float]:
    """A classifier of CIFAR-10, trained or read, and its test accuracy."""
    torch.manual_seed(0)
    net = cifar_net()
    if weights is not None:
        net.load_state_dict(load_file(weights))
        net.eval()
    else:
        images, labels = load_pictures(str(data / "train.parquet"))
        fit(net, images, labels, steps=steps, rate=4e-3, mirror=True)
    return net, accuracy(net, *load_pictures(str(data / "test.parquet")))


def main() -> None:
    """Train, measure, write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("which", choices=("digits", "cifar10"))
    parser.add_argument("data", nargs="?", type=Path, help="for cifar10: the folder")
    parser.add_argument("--steps", type=int, help="default: 800 for digits, 4000 for cifar10")
    parser.add_argument("--out", type=Path, help="keep the weights in this file")
    options = parser.parse_args()
    if options.which == "cifar10" and options.data is None:
        parser.error("cifar10 needs DATA")
    steps = options.steps or (800 if options.which == "digits" else 4000)
    started = time.perf_counter()
    if options.which == "digits":
        net, found = digit_classifier(steps=steps)
    else:
        net, found = cifar_classifier(options.data, steps=steps)
    seconds = time.perf_counter() - started
    if options.out is not None:
        save_file({k: v.contiguous() for k, v in net.state_dict().items()}, options.out)
    figures = {
        "data": DIGITS if options.which == "digits" else "DATA",
        "steps": steps,
        "batch_size": 128,
        "parameters": sum(p.numel() for p in net.parameters()),
        "seconds": seconds,
        "test_accuracy": found,
    }
    print(figures)
    words = ["classifiers.py", options.which, *(["DATA"] if options.which == "cifar10" else [])]
    write_figures(f"classifier-{options.which}", [*words, "--steps", str(steps)], rounded(figures))


if __name__ == "__main__":
    main()
