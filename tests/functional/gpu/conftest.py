"""The kernels run where there is a GPU, else in Triton's interpreter: see test_interpreter.py."""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest
import torch

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"

# The interpreter has to be chosen before Triton is imported, so another process runs these.
if find_spec("triton") is None or not (INTERPRETED or torch.cuda.is_available()):
    collect_ignore = ["test_binary.py", "test_residual.py", "test_search.py", "test_statistics.py"]


@pytest.fixture
def device() -> torch.device:
    return torch.device("cpu" if INTERPRETED else "cuda")
