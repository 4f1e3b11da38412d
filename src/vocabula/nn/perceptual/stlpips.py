"""Shift-tolerant LPIPS: a distance of features that was learned from human judgements."""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar

import torch
from annotated_types import Gt
from torch import Tensor, nn
from torch.nn.functional import conv2d, max_pool2d, pad

from vocabula.errors import OptionError
from vocabula.nn.perceptual.base import PerceptualLoss
from vocabula.registry import component

PACKAGE = "stlpips-pytorch"
_FILE = "stlpips_pytorch/weights/vST0.0/alex_shift_tolerant.pth"
_SHA256 = "b356b382f96010f77d085ee8343ecd9fd322d0a56e8de2b2d0549fafcad8b9ee"
_EXTRA = "pip install 'vocabula[perceptual]'"
_CONVOLUTIONS = (
    # its name, channels in and out, kernel, padding
    ("net.slice1.0", 3, 64, 11, 2),
    ("net.slice2.5", 64, 192, 5, 2),
    ("net.slice3.9", 192, 384, 3, 1),
    ("net.slice4.11", 384, 256, 3, 1),
    ("net.slice5.13", 256, 256, 3, 1),
)
_TINY = 1e-10


@component("perceptual", "stlpips")
class ShiftTolerantLPIPS(PerceptualLoss):
    """Distance of unit feature vectors of an anti-aliased AlexNet, weighted per channel.

    ::

        x --conv 11--> blur --> relu (1) --> max, blur --> conv 5, relu (2) --> max, blur
          --> conv 3, relu (3) --> conv 3, relu (4) --> conv 3, relu (5)
        distance = sum over layers of mean_positions sum_channels w (f / |f| - f' / |f'|)^2

    Every blur halves the sides. A grey signal counts as three equal channels. The network learned
    from judgements of crops of 64 x 64; it was not trained on ImageNet. Its weights come with the
    package ``stlpips-pytorch``, which is not imported: the file is found by the metadata of the
    installation, must have a known SHA-256 and is read as tensors only.

    Args:
        weight: of the distance in the loss.

    Shape:
        two tensors (B, C, H, W) in [0, 1] -> ().

    Raises:
        OptionError: the package is missing, or its file is another one.

    Source: Ghildyal and Liu 2022, "Shift-tolerant perceptual similarity metric".
    """

    name: ClassVar[str] = "stlpips"
    least = 64
    shift: Tensor
    scale: Tensor
    blur: Tensor

    def __init__(self, weight: Annotated[float, Gt(0)] = 1.0) -> None:
        super().__init__()
        self.weight = weight
        found = read_tensors(weights_path())
        self.convolutions = nn.ModuleList()
        for index, (name, width, out, kernel, padding) in enumerate(_CONVOLUTIONS):
            layer = nn.Conv2d(width, out, kernel, padding=padding)
            layer.load_state_dict({k: found[f"{name}.{k}"] for k in ("weight", "bias")})
            self.convolutions.append(layer)
            head = found[f"lin{index}.model.1.weight"].view(-1, 1, 1)
            self.register_buffer(f"head{index}", head, persistent=False)
        self.requires_grad_(False)
        self.register_buffer("shift", found["scaling_layer.shift"], persistent=False)
        self.register_buffer("scale", found["scaling_layer.scale"], persistent=False)
        row = torch.tensor([0.25, 0.5, 0.25])
        self.register_buffer("blur", (row[:, None] * row)[None, None], persistent=False)

    def distance(self, output: Tensor, target: Tensor) -> Tensor:
        """The distance (), a mean over the batch."""
        total = output.new_zeros(())
        both = zip(self.features(output), self.features(target.detach()), strict=True)
        for index, (one, two) in enumerate(both):
            apart = (_unit(one) - _unit(two)).square() * self.get_buffer(f"head{index}")
            total = total + apart.sum(1).mean()
        return total

    def features(self, x: Tensor) -> list[Tensor]:
        """The features of the five layers, each (B, channels, H', W')."""
        x = (2 * x.expand(-1, 3, -1, -1) - 1 - self.shift) / self.scale
        first, second, *rest = self.convolutions
        x = self._halved(first(x)).relu()
        found = [x]
        x = second(self._halved(max_pool2d(x, 3, 1))).relu()
        found.append(x)
        x = self._halved(max_pool2d(x, 3, 1))
        for layer in rest:
            x = layer(x).relu()
            found.append(x)
        return found

    def _halved(self, x: Tensor) -> Tensor:
        """Smoothed by (1, 2, 1) / 4 along both axes, every second position."""
        channels = x.shape[1]
        kernel = self.blur.expand(channels, -1, -1, -1)
        return conv2d(pad(x, (2, 2, 2, 2), mode="reflect"), kernel, stride=2, groups=channels)


def weights_path() -> Path:
    """Where the weights are.

    Raises:
        OptionError: the package is not installed.
    """
    try:
        return Path(str(importlib.metadata.distribution(PACKAGE).locate_file(_FILE)))
    except importlib.metadata.PackageNotFoundError:
        raise OptionError(
            f"perceptual: expected the package {PACKAGE} for stlpips, got none; {_EXTRA}"
        ) from None


def read_tensors(path: Path) -> Mapping[str, Tensor]:
    """The tensors of the file, checked by its SHA-256.

    Raises:
        OptionError: the file is missing or another one.
    """
    content = path.read_bytes() if path.is_file() else b""
    digest = hashlib.sha256(content).hexdigest()
    if digest != _SHA256:
        got = f"one with SHA-256 {digest[:16]}..." if content else "no file"
        raise OptionError(
            f"{path}: expected the weights of {PACKAGE} 0.0.2 ({_SHA256[:16]}...), got {got}; "
            f"{_EXTRA}"
        )
    found: Mapping[str, Tensor] = torch.load(io.BytesIO(content), "cpu", weights_only=True)
    return found


def _unit(x: Tensor) -> Tensor:
    """Vectors (B, D, H, W) over their length; the gradient is finite at 0."""
    return x / ((x.square().sum(1, keepdim=True) + _TINY).sqrt() + _TINY)
