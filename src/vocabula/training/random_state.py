"""The state of every random generator as JSON: torch, numpy and Python."""

from __future__ import annotations

import base64
import random
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vocabula.errors import CheckpointError


def capture_random_state() -> dict[str, Any]:
    """The generators' states as plain values; torch's are base64 text, also of each GPU."""
    version, words, gauss = random.getstate()
    legacy = np.random.get_state(legacy=False)
    assert isinstance(legacy, dict)
    return {
        "torch": _encode(torch.get_rng_state()),
        "cuda": [_encode(state) for state in torch.cuda.get_rng_state_all()]
        if torch.cuda.is_available()
        else [],
        "numpy": {
            "key": [int(word) for word in legacy["state"]["key"]],
            "pos": int(legacy["state"]["pos"]),
            "has_gauss": int(legacy["has_gauss"]),
            "gauss": float(legacy["gauss"]),
        },
        "python": {"version": version, "words": list(words), "gauss": gauss},
    }


def restore_random_state(state: dict[str, Any]) -> None:
    """Set every generator to a captured state.

    Raises:
        CheckpointError: if the state is not one that `capture_random_state` makes.
    """
    try:
        torch.set_rng_state(_decode(state["torch"]))
        if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all([_decode(text) for text in state["cuda"]])
        numpy = state["numpy"]
        np.random.set_state(
            (
                "MT19937",
                np.array(numpy["key"], dtype=np.uint32),
                numpy["pos"],
                numpy["has_gauss"],
                numpy["gauss"],
            )
        )
        python = state["python"]
        random.setstate((python["version"], tuple(python["words"]), python["gauss"]))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"random state: expected the states of torch, numpy and Python, got {error!r}; "
            "resume from another checkpoint"
        ) from None


def seed_everything(seed: int) -> None:
    """Seed torch (all devices), numpy and Python."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def _encode(state: Tensor) -> str:
    return base64.b64encode(state.cpu().numpy().tobytes()).decode("ascii")


def _decode(text: str) -> Tensor:
    return torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.uint8)
