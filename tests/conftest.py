"""Settings that every test runs under."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test may reach the network
os.environ.setdefault("MPLBACKEND", "Agg")

import numpy as np
import pytest
import torch
from hypothesis import settings

from vocabula.functional import native

settings.register_profile("vocabula", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("vocabula")
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seed() -> None:
    """Each test draws the same numbers, whatever ran before it."""
    torch.manual_seed(0)
    np.random.seed(0)


@pytest.fixture(params=["compiled", "torch"])
def each_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test with the compiled kernels, and again with torch operations in their place."""
    if request.param == "torch":
        monkeypatch.setattr(native, "_load", lambda: None)
    elif native.instructions() is None:
        pytest.skip("the kernels were not built")
