from __future__ import annotations

from typing import Any

import pytest
import torch


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def sections() -> dict[str, Any]:
    """A model so small that a step takes milliseconds."""
    net = {"name": "vqvae", "hidden": 4, "residual_layers": 1, "residual_hidden": 4}
    net["downsample"] = 2
    return {
        "encoder": dict(net),
        "quantizer": {"name": "vector", "dim": 4, "codebook_size": 16},
        "decoder": dict(net),
        "data": {"channels": 1},
        "optimizer": {"name": "adam", "learning_rate": 1e-3},
        "training": {
            "steps": 12,
            "batch_size": 8,
            "checkpoint_every": 4,
            "log_every": 3,
            "threads": 1,
            "memory_check": False,
        },
    }
