"""What a model learns whose layers and codebooks are replicated by DDP or sharded by FSDP2."""

from __future__ import annotations

import datetime
import json
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.nn.parallel import DistributedDataParallel

from processes import spawn
from vocabula.errors import OptionError
from vocabula.quantizers import (
    EMA,
    AttentionTransform,
    Gradient,
    GumbelQuantizer,
    KMeans,
    LinearReparametrization,
    MLPTransform,
    NetworkReparametrization,
    ProductQuantizer,
    Quantizer,
    ResidualQuantizer,
    Revival,
    VectorQuantizer,
)

RANKS, STEPS, DIM = 2, 4, 8
EAGER = Revival(threshold=0.9, patience=1, decay=0.5)
WHOLE = StateDictOptions(full_state_dict=True)
State = dict[str, Tensor]


def vector(dim: int = DIM, **options: object) -> VectorQuantizer:
    """A k-means start at each of the first updates, and codewords that die soon."""
    return VectorQuantizer(dim, 16, **{"learning": Gradient(), "revival": EAGER} | options)


def network(transform: nn.Module, **options: bool) -> NetworkReparametrization:
    return NetworkReparametrization(transform, **options)


QUANTIZERS: dict[str, Callable[[], Quantizer]] = {
    "ema": lambda: vector(learning=EMA(0.9)),
    "gradient": vector,
    "cosine": lambda: vector(codebook_dim=3, distance="cosine"),
    "linear": lambda: vector(learning=LinearReparametrization()),
    "mlp": lambda: vector(learning=network(MLPTransform(DIM, basis_dim=3))),
    "attention": lambda: vector(
        learning=network(AttentionTransform(DIM, patch=2, width=8, layers=1), frozen=False)
    ),
    "residual": lambda: ResidualQuantizer([vector(), vector(learning=EMA(0.9))]),
    "product": lambda: ProductQuantizer([vector(4), vector(4)]),
    "gumbel": lambda: GumbelQuantizer(DIM, 16, initialization=KMeans(), codebook_dim=3),
}


class Model(nn.Module):
    """Layers about a quantizer."""

    def __init__(self, quantizer: Quantizer) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(DIM, DIM), nn.Linear(DIM, DIM)
        self.quantizer = quantizer

    def forward(self, x: Tensor) -> Tensor:
        result = self.quantizer(self.first(x))
        return (self.last(result.values) - x).square().mean() + result.loss


def layers(model: Model) -> nn.Module:
    """Shard the model, with the quantizer in its one group."""
    return fully_shard(model, mesh=init_device_mesh("cpu", (RANKS,)))


def parts(model: Model) -> nn.Module:
    """Shard the quantizer by itself too, which is whole in its own passes alone."""
    fully_shard(model.quantizer, mesh=init_device_mesh("cpu", (RANKS,)))
    return layers(model)


WRAPPERS = {"ddp": DistributedDataParallel, "layers": layers, "parts": parts}
BY_ITSELF = [(name, how, True) for name in QUANTIZERS for how in WRAPPERS]
BY_CALL = [(name, "parts", False) for name in ("gradient", "attention", "residual")]
CASES = BY_ITSELF + BY_CALL
"""The quantizer, the wrapper, and whether the quantizer updates itself in each forward pass."""


def batch(step: int) -> Tensor:
    return torch.randn(24, 3, DIM, generator=torch.Generator().manual_seed(step))


def learned(
    name: str,
    auto_update: bool,
    wrap: Callable[[Model], nn.Module] = lambda model: model,
    rank: int = 0,
    ranks: int = 1,
) -> State:
    """The state after some steps from items rank, rank + ranks, ... of every batch."""
    torch.manual_seed(0)
    model = Model(QUANTIZERS[name]())
    for module in model.modules():
        if isinstance(module, Quantizer):
            module.auto_update = auto_update
    wrapped = wrap(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for step in range(STEPS):
        torch.manual_seed(step)
        wrapped(batch(step)[rank::ranks]).backward()
        optimizer.step()
        optimizer.zero_grad()
        if not auto_update:
            model.quantizer.update()
    return model.state_dict() if ranks == 1 else get_model_state_dict(model, options=WHOLE)


def codes_are_found_where_parameters_are_whole(rank: int) -> None:
    """Outside of a forward pass a process has a part, and one line says what to do."""
    torch.manual_seed(0)
    quantizer = vector()
    vectors = batch(0)
    with torch.no_grad():
        quantizer(vectors)
    quantizer.eval()
    codes, values = quantizer.evaluate(vectors)
    sharded = fully_shard(quantizer, mesh=init_device_mesh("cpu", (RANKS,)))
    for method, given in (("encode", vectors), ("decode", codes)):
        with pytest.raises(OptionError, match=f"VectorQuantizer.{method}: expected whole param"):
            getattr(sharded, method)(given)
        register_fsdp_forward_method(sharded, method)
    assert torch.equal(sharded.encode(vectors), codes)
    assert torch.equal(sharded.decode(codes), values)


def a_codebook_is_read_and_set_outside_of_a_pass(rank: int) -> None:
    for learning in (Gradient(), LinearReparametrization(), network(MLPTransform(DIM))):
        quantizer = vector(learning=learning)
        sharded = fully_shard(quantizer, mesh=init_device_mesh("cpu", (RANKS,)))
        wanted = torch.randn(16, DIM, generator=torch.Generator().manual_seed(5))
        sharded.codebook = wanted
        torch.testing.assert_close(sharded.codebook, wanted)
        sharded.eval()
        torch.testing.assert_close(sharded(wanted).values, wanted)


BY_HAND = [codes_are_found_where_parameters_are_whole, a_codebook_is_read_and_set_outside_of_a_pass]


def work(rank: int, folder: str) -> None:
    """Everything in one group; what was learned, and what failed, goes to a file per rank."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/store",
        rank=rank,
        world_size=RANKS,
        timeout=datetime.timedelta(seconds=60),
    )
    found: dict[str, State] = {}
    failed: dict[str, str] = {}
    for name, how, auto in CASES:
        key = f"{name}, {how}, {auto}"
        try:
            found[key] = learned(name, auto, WRAPPERS[how], rank, RANKS)
        except Exception:
            failed[key] = traceback.format_exc()
        dist.barrier()
    for job in BY_HAND:
        try:
            job(rank)
        except Exception:
            failed[job.__name__] = traceback.format_exc()
        dist.barrier()
    torch.save(found, Path(folder, f"found-{rank}.pt"))
    Path(folder, f"failed-{rank}.json").write_text(json.dumps(failed))
    dist.destroy_process_group()


def run(folder: str) -> tuple[list[dict[str, State]], dict[str, str]]:
    """What each rank learned, and what failed on any."""
    spawn(work, folder, ranks=RANKS)
    failed = [json.loads(Path(folder, f"failed-{r}.json").read_text()) for r in range(RANKS)]
    found = [torch.load(Path(folder, f"found-{r}.pt")) for r in range(RANKS)]
    return found, failed[0] | failed[1]
