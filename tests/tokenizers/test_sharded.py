"""A tokenizer wrapped by DistributedDataParallel or sharded by FSDP2 learns as one process does."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    set_model_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from builders import SMALL
from processes import spawn
from vocabula.quantizers import EMA, Quantizer
from vocabula.tokenizers import SignalTokenizer, build_tokenizer

RANKS, STEPS = 2, 3
QUANTIZER = {"name": "vector", "dim": 8, "codebook_size": 8, "codebook_dim": 4}
WHOLE = StateDictOptions(full_state_dict=True)
State = dict[str, Tensor]


def tokenizer(seed: int = 0) -> SignalTokenizer:
    torch.manual_seed(seed)
    specs = {"encoder": SMALL, "decoder": SMALL, "quantizer": QUANTIZER | {"learning": EMA(0.9)}}
    return build_tokenizer(specs, 3)


def pictures(step: int) -> Tensor:
    return torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(step))


def learn(model: nn.Module, rank: int = 0, ranks: int = 1, steps: range = range(STEPS)) -> None:
    """Take steps from pictures rank, rank + ranks, ... of every batch."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for step in steps:
        torch.manual_seed(step)  # a state dict does not hold the generator that revival draws from
        model(pictures(step)[rank::ranks]).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def shard(model: nn.Module) -> nn.Module:
    mesh = init_device_mesh("cpu", (RANKS,))
    for part in model.modules():
        if isinstance(part, Quantizer):
            fully_shard(part, mesh=mesh)
    return fully_shard(model, mesh=mesh)


WRAPPERS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "ddp": DistributedDataParallel,
    "fsdp2": shard,
}


def work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/store",
        rank=rank,
        world_size=RANKS,
        timeout=datetime.timedelta(seconds=60),
    )
    for name, wrap in WRAPPERS.items():
        ours = tokenizer()
        learn(wrap(ours), rank, RANKS)
        torch.save(get_model_state_dict(ours, options=WHOLE), Path(folder, f"{name}-{rank}.pt"))
    # A new model that gets the state of two steps goes on with the third.
    half, new = shard(tokenizer()), shard(tokenizer(seed=1))
    learn(half, rank, RANKS, range(2))
    whole = get_model_state_dict(half, options=WHOLE)
    everywhere = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
    set_model_state_dict(new, whole, options=everywhere)
    learn(new, rank, RANKS, range(2, STEPS))
    torch.save(get_model_state_dict(new, options=WHOLE), Path(folder, f"loaded-{rank}.pt"))
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[State]]:
    """What each rank learned, in each way."""
    folder = str(tmp_path_factory.mktemp("sharded"))
    spawn(work, folder, ranks=RANKS)
    return {
        name: [torch.load(Path(folder, f"{name}-{rank}.pt")) for rank in range(RANKS)]
        for name in (*WRAPPERS, "loaded")
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", [*WRAPPERS, "loaded"])
def test_processes_learn_what_one_learns(name: str, found: dict[str, list[State]]) -> None:
    one = tokenizer()
    learn(one)
    # The first process gathers the whole state; a replicated model is whole on both.
    for ours in [state for state in found[name] if state]:
        assert one.state_dict().keys() == ours.keys()
        for key, value in one.state_dict().items():
            if "usage_tracker" not in key:  # which each process keeps for its own vectors
                what = f"{key}: {{}}".format
                torch.testing.assert_close(ours[key], value, rtol=1e-4, atol=1e-5, msg=what)
