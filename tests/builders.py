"""Tiny tokenizers that the tests share."""

from __future__ import annotations

from typing import Any

import torch

from vocabula.tokenizers import Level, SignalTokenizer, build_tokenizer

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


def tiny_specs(quantizer: str) -> dict[str, Any]:
    """The settings of a tiny tokenizer; ``levels`` is a hierarchy of two."""
    if quantizer != "levels":
        return {"encoder": SMALL, "decoder": SMALL, "quantizer": QUANTIZERS[quantizer]}
    return {
        "level1": {"encoder": HALF, "decoder": HALF, "quantizer": QUANTIZERS["residual"]},
        "level2": {"encoder": SMALL, "decoder": SMALL, "quantizer": QUANTIZERS["vector"]},
    }


def tiny_tokenizer(quantizer: str = "vector", channels: int = 3, seed: int = 0) -> SignalTokenizer:
    """A tiny tokenizer in evaluation mode, whose codebooks have seen one batch.

    The quantizer ``levels`` is a hierarchy: 8 x 8 pixels per code of two books, 4 x 4 of one.
    """
    torch.manual_seed(seed)
    tokenizer = build_tokenizer(tiny_specs(quantizer), channels)
    for module in tokenizer.modules():  # untrained features hardly differ by position
        if isinstance(module, Level):
            module.join.weight.data.mul_(30)
    with torch.no_grad():  # k-means initialization wants one training batch
        tokenizer.train()(torch.rand(8, channels, 16, 16))
    return tokenizer.eval()


def tiny_sections(learning_rate: float, **training: object) -> dict[str, Any]:
    """Sections of a run of grey pictures, so small that a step takes milliseconds."""
    net = {"name": "vqvae", "hidden": 4, "residual_layers": 1, "residual_hidden": 4}
    net["downsample"] = 2
    return {
        "encoder": dict(net),
        "quantizer": {"name": "vector", "dim": 4, "codebook_size": 16},
        "decoder": dict(net),
        "data": {"channels": 1},
        "optimizer": {"name": "adam", "learning_rate": learning_rate},
        "training": {"batch_size": 8, "threads": 1, "memory_check": False, **training},
    }
