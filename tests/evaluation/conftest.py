"""Tiny tokenizers and pictures that the tests of the evaluation share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from vocabula.tokenizers import ImageTokenizer, Level, build_tokenizer

SMALL = {"name": "vqvae", "hidden": 8, "residual_layers": 1, "residual_hidden": 4, "downsample": 4}

HALF = SMALL | {"downsample": 2}

QUANTIZERS: dict[str, dict[str, Any]] = {
    "vector": {"name": "vector", "dim": 8, "codebook_size": 16},
    "vae": {"name": "gaussian", "dim": 8},
    "lfq18": {"name": "lookup_free", "dim": 18},
    "residual": {
        "name": "residual",
        "stages": [{"name": "vector", "dim": 8, "codebook_size": k} for k in (16, 8)],
    },
}


def _specs(quantizer: str) -> dict[str, Any]:
    if quantizer != "levels":
        return {"encoder": SMALL, "decoder": SMALL, "quantizer": QUANTIZERS[quantizer]}
    return {
        "level1": {"encoder": HALF, "decoder": HALF, "quantizer": QUANTIZERS["residual"]},
        "level2": {"encoder": SMALL, "decoder": SMALL, "quantizer": QUANTIZERS["vector"]},
    }


@pytest.fixture
def make_tokenizer() -> Callable[..., ImageTokenizer]:
    """A function that builds a tiny tokenizer in evaluation mode: (quantizer, channels, seed).

    The quantizer ``levels`` is a hierarchy: 8 x 8 pixels per code of two books, 4 x 4 of one.
    """

    def make(quantizer: str = "vector", channels: int = 3, seed: int = 0) -> ImageTokenizer:
        torch.manual_seed(seed)
        tokenizer = build_tokenizer(_specs(quantizer), channels)
        for module in tokenizer.modules():  # untrained features hardly differ by position
            if isinstance(module, Level):
                module.join.weight.data.mul_(30)
        with torch.no_grad():  # k-means initialization wants one training batch
            tokenizer.train()(torch.rand(8, channels, 16, 16))
        return tokenizer.eval()

    return make


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of five colour pictures of two sizes in two classes, and one broken file."""
    root = tmp_path / "pictures"
    generator = np.random.default_rng(0)
    sizes = [(16, 12), (16, 12), (9, 13), (16, 12), (16, 12)]
    for i, (height, width) in enumerate(sizes):
        folder = root / ("cats" if i % 2 else "dogs")
        folder.mkdir(parents=True, exist_ok=True)
        small = generator.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(small).resize((width, height)).save(folder / f"{i}.png")
    (root / "cats" / "broken.png").write_bytes(b"no picture")
    return root
