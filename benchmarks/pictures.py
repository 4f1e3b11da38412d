"""What the experiments share: pictures as tensors, how sharp they are, and sheets of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import ROOT, write
from torch import Tensor

from vocabula import open_source
from vocabula.benchmark import record
from vocabula.data.png import grid, picture, to_bytes

FIGURES = ROOT / "docs/figures"
DIGITS = "sample:digits"
CIFAR_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip


def load_pictures(data: str, limit: int | None = None) -> tuple[Tensor, Tensor]:
    """Images (N, C, H, W) uint8 of one size, and their labels (N,) int64."""
    source = open_source(data)
    count = min(len(source), limit or len(source))
    read = [source.read(i) for i in range(count)]
    images = np.stack([r.image for r in read])
    images = images[..., None] if images.ndim == 3 else images
    labels = torch.tensor([r.label for r in read])
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), labels


def sharpness(images: Tensor) -> float:
    """Mean gradient magnitude of images (N, C, H, W) in [0, 1].

    The mean over pixels of sqrt(dx^2 + dy^2), differences between neighbours, channels averaged.
    """
    x = images.double().mean(1)
    dx, dy = x[:, :-1, 1:] - x[:, :-1, :-1], x[:, 1:, :-1] - x[:, :-1, :-1]
    return float((dx.square() + dy.square()).sqrt().mean())


def save_sheet(name: str, images: Tensor, columns: int, scale: int = 1) -> str:
    """Write images (N, C, H, W) in [0, 1] as ``docs/figures/NAME.png``; gives the path."""
    path: Path = FIGURES / f"{name}.png"
    pixels = to_bytes(images).repeat(scale, 1).repeat(scale, 2)
    picture(grid(pixels, columns)).save(path, format="PNG", optimize=True)
    print(f"wrote {path}")
    return str(path.relative_to(ROOT))


def write_figures(name: str, words: Sequence[str], figures: dict[str, Any]) -> None:
    """Write ``results/NAME.json`` under the command ``python benchmarks/WORDS``."""
    command = "python benchmarks/" + " ".join(words)
    write(record(name, command, torch.get_num_threads(), figures))


def rounded(value: Any, digits: int = 4) -> Any:
    """The same structure with its numbers rounded."""
    if isinstance(value, float):
        return round(value, digits)
    if isinstance(value, dict):
        return {key: rounded(item, digits) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(item, digits) for item in value]
    return value
