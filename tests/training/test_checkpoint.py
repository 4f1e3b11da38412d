from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from vocabula.errors import CheckpointError, OutputError
from vocabula.files import remove_hidden
from vocabula.training import checkpoint as checkpoints
from vocabula.training.checkpoint import (
    Checkpoint,
    list_checkpoints,
    newest_checkpoint,
    read_checkpoint,
    save_checkpoint,
)
from vocabula.training.random_state import capture_random_state, restore_random_state
from vocabula.training.restoring import load_model, load_optimizer, optimizer_tensors


def make(step: int) -> Checkpoint:
    weight = torch.arange(6.0).reshape(2, 3) + step
    tensors = {"model": {"weight": weight, "alias": weight}, "optimizer": {}}
    return Checkpoint(step, tensors, {"stage": 0, "seconds": 1.5})


def test_round_trip_holds_everything(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, make(7), keep=2)
    assert path.name == "step-00000007"
    found = read_checkpoint(path)
    assert found.step == 7
    assert found.state == {"stage": 0, "seconds": 1.5}
    assert found.tensors["model"]["weight"].equal(make(7).tensors["model"]["weight"])
    assert found.tensors["optimizer"] == {}


def test_only_the_newest_are_kept_and_nothing_else_is_left(tmp_path: Path) -> None:
    for step in (1, 2, 3, 100_000_000):
        save_checkpoint(tmp_path, make(step), keep=2)
    assert [p.name for p in list_checkpoints(tmp_path)] == ["step-100000000", "step-00000003"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-00000003", "step-100000000"]


def test_the_same_step_can_be_written_again(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, make(5), keep=2)
    (path / "state.json").write_text("damaged")
    save_checkpoint(tmp_path, make(5), keep=2)
    assert read_checkpoint(path).step == 5


@pytest.mark.parametrize("name", ["model.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_damaged_newest_checkpoint_is_passed_over(tmp_path: Path, name: str, damage: str) -> None:
    save_checkpoint(tmp_path, make(1), keep=3)
    file = save_checkpoint(tmp_path, make(2), keep=3) / name
    content = bytearray(file.read_bytes())
    if damage == "remove":
        file.unlink()
    else:
        content[-20] ^= 1
        file.write_bytes(content if damage == "flip" else content[:-10])
    notices: list[str] = []
    found = newest_checkpoint(tmp_path, notices.append)
    assert found is not None
    assert found.step == 1
    assert len(notices) == 1
    assert "step-00000002" in notices[0]


def test_no_good_checkpoint_left_is_an_error_and_none_at_all_is_not(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path / "missing", print) is None
    path = save_checkpoint(tmp_path, make(1), keep=3)
    (path / "model.safetensors").write_bytes(b"x")
    with pytest.raises(CheckpointError, match="1 damaged"):
        newest_checkpoint(tmp_path, lambda _: None)


def test_a_pickle_is_never_read(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, make(1), keep=3)
    torch.save({"weight": torch.ones(1)}, path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        read_checkpoint(path)


@pytest.mark.parametrize("call", [1, 2, 3])
def test_a_full_disk_leaves_earlier_checkpoints_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    save_checkpoint(tmp_path, make(1), keep=1)
    calls = 0
    write = checkpoints.write_bytes

    def full(path: Path, content: bytes) -> None:
        nonlocal calls
        calls += 1
        if calls == call:
            path.write_bytes(content[: len(content) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(path, content)

    monkeypatch.setattr(checkpoints, "write_bytes", full)
    with pytest.raises(OutputError, match=r"No space left.*free some space.*--resume"):
        save_checkpoint(tmp_path, make(2), keep=1)
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000001"]
    assert read_checkpoint(tmp_path / "step-00000001").step == 1


def test_leftovers_of_an_interrupted_write_are_removed(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, make(1), keep=1)
    (tmp_path / ".step-00000002.0a1b2c3d.part").mkdir()
    (tmp_path / ".step-00000002.0a1b2c3d.part" / "model.safetensors").write_bytes(b"half")
    assert [p.name for p in list_checkpoints(tmp_path)] == ["step-00000001"]
    remove_hidden(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000001"]


def trained(steps: int, layout: torch.memory_format) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Conv2d(3, 4, 3).to(memory_format=layout)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    advance(model, optimizer, steps)
    return model, optimizer


def advance(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    for _ in range(steps):
        model(torch.ones(1, 3, 5, 5)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_optimizer_goes_on_bit_for_bit(layout: torch.memory_format) -> None:
    model, optimizer = trained(3, layout)
    tensors = {k: v.clone() for k, v in optimizer_tensors(optimizer).items()}
    weights = {k: v.clone() for k, v in model.state_dict().items()}
    assert set(tensors) == {f"{i}.{k}" for i in (0, 1) for k in ("step", "exp_avg", "exp_avg_sq")}
    advance(model, optimizer, 2)
    other, fresh = trained(0, layout)
    load_model(other, weights)
    load_optimizer(fresh, {k: v.contiguous() for k, v in tensors.items()})
    advance(other, fresh, 2)
    for name, value in model.state_dict().items():
        assert value.equal(other.state_dict()[name])


def test_weights_of_another_model_are_refused() -> None:
    with pytest.raises(CheckpointError, match="difference in"):
        load_model(nn.Linear(2, 2), {"weight": torch.zeros(2, 3), "bias": torch.zeros(2)})


def draws() -> list[Any]:
    import random

    import numpy as np

    return [torch.rand(2).tolist(), np.random.rand(2).tolist(), random.random()]


def test_random_states_survive_json() -> None:
    import json

    draws()
    state = json.loads(json.dumps(capture_random_state()))
    expected = draws()
    restore_random_state(state)
    assert draws() == expected


def test_a_foreign_random_state_is_refused() -> None:
    with pytest.raises(CheckpointError, match="random state"):
        restore_random_state({"torch": "AAAA"})
