"""What quantizers inside a model learn under DistributedDataParallel, and without it."""

from __future__ import annotations

import contextlib
import datetime
import json
import traceback
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from conformance.rows import ROWS, D, Row, data, prepare, read_prepared, write_prepared
from processes import spawn
from vocabula.quantizers import EMA, Gradient, Quantizer, VectorQuantizer
from vocabula.quantizers.local_state import local_tensors

RANKS = 2
State = dict[str, Tensor]


class Model(nn.Module):
    """A network with a quantizer inside."""

    def __init__(self, quantizer: Quantizer) -> None:
        super().__init__()
        self.inside = nn.ModuleDict({"quantizer": quantizer})
        self.last = nn.Linear(D, 1)

    def forward(self, z: Tensor) -> Tensor:
        result = self.inside["quantizer"](z)
        return self.last(result.values).sum() + result.loss


def learned(row: Row, rank: int, call: Callable[[Model], nn.Module]) -> State:
    """The state after two updates from two micro-batches each, and what is reported.

    A wrapped model is synchronised in each pass of the first update, in the last of the second.
    """
    torch.manual_seed(0)
    model = Model(prepare(row, auto_update=False))
    quantizer = model.inside["quantizer"]
    for tracker in (m.usage_tracker for m in quantizer.modules() if isinstance(m, Quantizer)):
        if tracker is not None:
            tracker.reset()
    wrapped = call(model)
    for update in range(2):
        for micro in range(2):
            torch.manual_seed(10 * update + micro + 100 * rank)
            waits = update and micro < 1 and isinstance(wrapped, DistributedDataParallel)
            with wrapped.no_sync() if waits else contextlib.nullcontext():
                wrapped(data(20, seed=4 * update + 2 * micro + rank) + 3 * rank).backward()
        quantizer.update()
    counted = {name: t.clone() for name, t in local_tensors(quantizer).items()}
    wrapped.eval()
    with torch.no_grad():
        wrapped(data(4))
    report = quantizer.usage_report()
    figures = {"usage": report.usage, "vectors": report.vectors, "perplexity": report.perplexity}
    return {**quantizer.state_dict(), **counted, **figures}


def same_with_and_without(row: Row, rank: int) -> None:
    """Wrapping a model changes nothing that its quantizer counts or learns from vectors."""
    alone = learned(row, rank, lambda model: model)
    wrapped = learned(row, rank, DistributedDataParallel)
    assert alone.keys() == wrapped.keys()
    differing = [name for name, t in alone.items() if not torch.equal(t, wrapped[name])]
    assert not differing, f"{differing} differ"
    assert alone["vectors"].min() > 80 or row.random  # both ranks, four times twenty


def all_codes_are_counted(rank: int) -> None:
    """Each rank uses half of the codes: together they use all."""
    quantizer = VectorQuantizer(D, 16, learning=Gradient(), revival=None)
    quantizer.codebook = torch.arange(16.0)[:, None].expand(16, D)
    model = DistributedDataParallel(Model(quantizer))
    for _ in range(20):
        model((torch.arange(8.0) + 8 * rank)[:, None].expand(8, D)).backward()
    assert abs(quantizer.usage_report().perplexity.item() - 16) < 1e-4


def micro_batches_count_once(rank: int) -> None:
    """By hand: four vectors of each rank in two micro-batches move the only codeword."""
    quantizer = VectorQuantizer(
        D, 1, learning=EMA(decay=0.5, eps=1e-9), revival=None, auto_update=False
    )
    quantizer.codebook = torch.zeros(1, D)
    model = DistributedDataParallel(Model(quantizer))
    for value in (1.0, 3.0):
        model(torch.full((2, D), value + 4 * rank)).backward()
    quantizer.update()
    # N = (1 + 8) / 2, m = (0 + 2 (1 + 3 + 5 + 7)) / 2
    torch.testing.assert_close(quantizer.codebook, torch.full((1, D), 16 / 4.5))


def work(rank: int, folder: str) -> None:
    """Everything, in one pair of processes; what failed goes to a file per rank."""
    torch.set_num_threads(1)
    read_prepared(folder)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/store",
        rank=rank,
        world_size=RANKS,
        timeout=datetime.timedelta(seconds=60),
    )
    jobs: dict[str, Callable[[], None]] = {
        row.name: lambda row=row: same_with_and_without(row, rank) for row in ROWS
    }
    jobs |= {name: lambda job=job: job(rank) for name, job in BY_HAND.items()}
    failed = {}
    for name, job in jobs.items():
        try:
            job()
        except Exception:
            failed[name] = traceback.format_exc()
    Path(folder, f"failed-{rank}.json").write_text(json.dumps(failed))
    dist.destroy_process_group()


BY_HAND: dict[str, Callable[[int], None]] = {
    "all codes are counted": all_codes_are_counted,
    "micro-batches count once": micro_batches_count_once,
}


def run(folder: str) -> dict[str, str]:
    """What failed, on any rank."""
    write_prepared(folder)
    spawn(work, folder, ranks=RANKS)
    found = [json.loads(Path(folder, f"failed-{r}.json").read_text()) for r in range(RANKS)]
    return {name: text for on_rank in found for name, text in on_rank.items()}
