"""Tiny tokenizers and pictures that the tests of the evaluation share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from vocabula.tokenizers import Tokenizer, build_tokenizer

SMALL = {"name": "vqvae", "hidden": 8, "residual_layers": 1, "residual_hidden": 4, "downsample": 4}

QUANTIZERS: dict[str, dict[str, Any]] = {
    "vector": {"name": "vector", "dim": 8, "codebook_size": 16},
    "vae": {"name": "gaussian", "dim": 8},
    "lfq18": {"name": "lookup_free", "dim": 18},
    "residual": {
        "name": "residual",
        "stages": [{"name": "vector", "dim": 8, "codebook_size": k} for k in (16, 8)],
    },
}


@pytest.fixture
def make_tokenizer() -> Callable[..., Tokenizer]:
    """A function that builds a tiny tokenizer in evaluation mode: (quantizer, channels, seed)."""

    def make(quantizer: str = "vector", channels: int = 3, seed: int = 0) -> Tokenizer:
        torch.manual_seed(seed)
        specs = {"encoder": SMALL, "decoder": SMALL, "quantizer": QUANTIZERS[quantizer]}
        tokenizer = build_tokenizer(specs, channels)
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
