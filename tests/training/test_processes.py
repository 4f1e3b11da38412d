from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from processes import run_ranks
from vocabula.training.config import config_from_sections
from vocabula.training.run import train
from vocabula.training.trainer import Trainer


def learn(sections: dict[str, Any], out: Path) -> None:
    """What each rank does: train, and leave a digest of the weights in a file of its own."""
    trainers = []
    original = Trainer.__init__

    def init(self: Trainer, *arguments: Any, **named: Any) -> None:
        original(self, *arguments, **named)
        trainers.append(self)

    Trainer.__init__ = init  # type: ignore[method-assign]
    train(config_from_sections(sections), "sample:digits", out, progress=False)
    digest = hashlib.sha256()
    for name, value in trainers[-1].tokenizer.state_dict().items():
        if "usage_tracker" not in name:  # each process counts its own share
            digest.update(name.encode() + value.contiguous().numpy().tobytes())
    Path(f"{out}.{os.environ['RANK']}").write_text(digest.hexdigest())


@pytest.mark.slow
def test_two_processes_hold_equal_weights_and_learn_what_one_learns(
    tmp_path: Path, sections: dict[str, Any]
) -> None:
    sections["training"] |= {
        "steps": 6,
        "log_every": 2,
        "memory_check": True,  # by one of the two, which the other waits for
        "stages": [{"train": ["encoder", "quantizer"], "steps": 2}],
    }
    sections["optimizer"] = {"name": "sgd", "learning_rate": 0.05, "momentum": 0.9}
    sections["quantizer"]["revival"] = {"name": "revival", "threshold": 0.9, "decay": 0.5}
    ended = run_ranks(learn, sections, tmp_path / "two")
    assert [process.code for process in ended] == [0, 0], ended
    digests = {(tmp_path / f"two.{rank}").read_text() for rank in (0, 1)}
    assert len(digests) == 1
    train(config_from_sections(sections), "sample:digits", tmp_path / "one", progress=False)
    one = load_file(tmp_path / "one" / "model.safetensors")
    two = load_file(tmp_path / "two" / "model.safetensors")
    for name, value in one.items():
        if "usage_tracker" not in name and "noise" not in name:
            assert torch.allclose(value.float(), two[name].float(), atol=1e-4), name
