"""Without a GPU the kernels' tests run in Triton's interpreter, in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"

FOLDER = Path(__file__).parent
QUICK = [
    "test_binary.py::test_forward_and_backward[2-5-1]",
    "test_residual.py::test_by_hand",
    "test_search.py::test_few_rows",
    "test_statistics.py::test_by_hand",
]
NO_KERNEL = "test_registration.py"


@pytest.mark.skipif(
    find_spec("triton") is None or torch.cuda.is_available() or INTERPRETED,
    reason="the kernels' tests run in this process, or Triton is not installed",
)
def test_kernels_in_the_interpreter(request: pytest.FixtureRequest) -> None:
    """Run the tests of this folder, or a few that meet each kernel without those that are slow."""
    quick = request.config.option.markexpr == "not slow"
    every = [str(FOLDER), f"--ignore={FOLDER / NO_KERNEL}"]
    chosen = [str(FOLDER / test) for test in QUICK] if quick else every
    # numpy, which computes there, warns of the overflows that the kernels mean to catch.
    options = ["-q", "-p", "no:cacheprovider", "-W", "ignore::RuntimeWarning"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *chosen],
        env={**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
