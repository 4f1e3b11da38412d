"""Priors in several processes: equal weights in each, and those that one process learns."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from processes import run_ranks
from vocabula.files.run_files import read_log
from vocabula.training import load_config, train_prior
from vocabula.training.prior_trainer import PriorTrainer

OPTIONS = {
    "pixelcnn": ["prior.hidden=8", "prior.layers=2", "prior.dropout=0"],
    "pixelsnail": ["prior.hidden=8", "prior.blocks=1", "prior.heads=2", "prior.dropout=0"],
    "transformer": ["prior.hidden=16", "prior.layers=1", "prior.heads=2", "prior.dropout=0"],
}
COMMON = ["training.steps=6", "training.batch_size=8", "training.log_every=2", "held_out.every=3"]
COMMON += ["conditioning.dropout=0", "optimizer=sgd", "optimizer.learning_rate=0.05"]
COMMON += ["schedule.warmup=0"]


def learn(model: str, run: Path, tokens: Path, out: Path, options: list[str]) -> None:
    """What each rank does: train, and leave a digest of the weights in a file of its own."""
    trainers = []
    original = PriorTrainer.__init__

    def init(self: PriorTrainer, *arguments: Any, **named: Any) -> None:
        original(self, *arguments, **named)
        trainers.append(self)

    PriorTrainer.__init__ = init  # type: ignore[method-assign]
    train_prior(load_config(model, options), run, tokens, out, progress=False)
    digest = hashlib.sha256()
    for name, value in trainers[-1].prior.state_dict().items():
        digest.update(name.encode() + value.contiguous().numpy().tobytes())
    Path(f"{out}.{os.environ['RANK']}").write_text(digest.hexdigest())


@pytest.mark.slow
@pytest.mark.parametrize("model", sorted(OPTIONS))
def test_two_processes_hold_equal_weights_and_learn_what_one_learns(
    tmp_path: Path, coded: Callable[..., Any], model: str
) -> None:
    made, options = coded(40), [*COMMON, *OPTIONS[model]]
    ended = run_ranks(learn, model, made.run, made.tokens, tmp_path / "two", options)
    assert [process.code for process in ended] == [0, 0], ended
    assert (tmp_path / "two.0").read_text() == (tmp_path / "two.1").read_text()
    config = load_config(model, options)
    train_prior(config, made.run, made.tokens, tmp_path / "one", progress=False)
    one = load_file(tmp_path / "one" / "model.safetensors")
    two = load_file(tmp_path / "two" / "model.safetensors")
    assert all(torch.allclose(value, two[name], atol=1e-5) for name, value in one.items())
    logs = [read_log(tmp_path / name / "log.jsonl") for name in ("one", "two")]
    for own, other in zip(*logs, strict=True):
        for key in {"loss", "grad_norm", "held_out_nats"} & own.keys():
            assert own[key] == pytest.approx(other[key], rel=1e-4), key
