from __future__ import annotations

from typing import Any

import pytest
import torch

from builders import tiny_sections


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def sections() -> dict[str, Any]:
    """A model so small that a step takes milliseconds."""
    return tiny_sections(1e-3, steps=12, checkpoint_every=4, log_every=3)
