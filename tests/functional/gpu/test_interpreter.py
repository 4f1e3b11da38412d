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


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
@pytest.mark.skipif(
    torch.cuda.is_available() or INTERPRETED, reason="the kernels' tests run in this process"
)
def test_kernels_in_the_interpreter() -> None:
    # numpy, which computes there, warns of the overflows that the kernels mean to catch.
    options = ["-q", "-p", "no:cacheprovider", "-W", "ignore::RuntimeWarning"]
    folder = Path(__file__).parent
    options += ["--ignore", str(folder / "test_registration.py")]  # which runs no kernel
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(folder)],
        env={**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
