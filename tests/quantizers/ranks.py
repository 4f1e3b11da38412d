"""What every rank of a group learns from its share of a batch, and one process from all of it."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from processes import spawn
from vocabula.quantizers import (
    EMA,
    BernoulliQuantizer,
    DiVeQ,
    FiniteScalarQuantizer,
    FromData,
    Gradient,
    GumbelQuantizer,
    KMeans,
    MultiScaleQuantizer,
    Normal,
    ProductQuantizer,
    Quantizer,
    ResidualQuantizer,
    Revival,
    VectorQuantizer,
)
from vocabula.types import Quantized


@dataclass(frozen=True)
class Job:
    """So many steps of a quantizer of `QUANTIZERS`."""

    name: str
    steps: int = 5
    masked: bool = False
    weighted: bool = False
    compiled: bool = False


DIM, ITEMS, HEIGHT, WIDTH = 4, 12, 3, 5
EAGER = Revival(threshold=0.9, patience=1, decay=0.5)


def vector(**options: object) -> VectorQuantizer:
    return VectorQuantizer(DIM, 16, **{"learning": EMA(decay=0.9), "revival": EAGER} | options)


QUANTIZERS: dict[str, Callable[[], Quantizer]] = {
    "k-means": lambda: vector(initialization=KMeans(refit_until=2)),
    "data": lambda: vector(initialization=FromData()),
    "thinned": lambda: vector(initialization=KMeans(vectors_per_codeword=3)),
    "revival": lambda: vector(initialization=Normal()),
    "residual, dropout": lambda: ResidualQuantizer([vector(), vector()], dropout=0.7),
    "product, dropout": lambda: ProductQuantizer(
        [VectorQuantizer(2, 16, revival=EAGER) for _ in "ab"], dropout=0.5
    ),
    "sampled": lambda: vector(sampling_temperature=8.0),
    "gumbel": lambda: GumbelQuantizer(DIM, 16),
    "drawing": lambda: ResidualQuantizer(
        [vector(sampling_temperature=8.0), GumbelQuantizer(DIM, 16)], dropout=0.7
    ),
    "bernoulli": lambda: BernoulliQuantizer(DIM, bits=5),
    "noise": lambda: FiniteScalarQuantizer([5] * DIM, noise_dropout=0.5),
    "diveq": lambda: vector(learning=Gradient(), revival=None, estimator=DiVeQ(0.1)),
    "shared": lambda: MultiScaleQuantizer([vector()], (1, 2, 5), axes=1, dropout=0.5),
}


def batch(step: int) -> Tensor:
    """Vectors (ITEMS, HEIGHT, WIDTH, DIM) in a few clusters, so that codewords die."""
    generator = torch.Generator().manual_seed(step)
    centers = 8 * torch.randn(5, DIM, generator=torch.Generator().manual_seed(99))
    which = torch.randint(5, (ITEMS, HEIGHT, WIDTH), generator=generator)
    noise = torch.randn(ITEMS, HEIGHT, WIDTH, DIM, generator=generator)
    return centers[which] + noise * (1 + 0.1 * step)


def marked(step: int) -> Tensor:
    """Which vectors (ITEMS, HEIGHT, WIDTH) count: unequally many of each item, of item 1 none."""
    places = torch.arange(ITEMS * HEIGHT * WIDTH).reshape(ITEMS, HEIGHT, WIDTH)
    mask = (places * 7 + step) % 11 > 3
    mask[1] = False
    return mask


def learned(job: Job, rank: int = 0, ranks: int = 1, *, eager: bool = False) -> dict[str, Tensor]:
    """The books after some steps, from items rank, rank + ranks, ... of every batch.

    And the last values of these items, which show the draws of quantizers without such books.
    """
    torch.manual_seed(0)
    quantizer = QUANTIZERS[job.name]()
    call: Callable[..., Quantized] = quantizer
    if job.compiled and not eager:
        call = torch.compile(quantizer, fullgraph=True, backend="eager", dynamic=True)
    torch.manual_seed(rank)
    for step in range(job.steps):
        mask = marked(step)[rank::ranks] if job.masked else None
        weight = marked(step + 1)[rank::ranks] * 0.5 + 0.25 if job.weighted else None
        result = call(batch(step)[rank::ranks], mask, weight)
    books = {n: t for n, t in quantizer.state_dict().items() if "usage_tracker" not in n}
    return books | {"values": result.values.detach()}


def work(rank: int, ranks: int, folder: str, jobs: Sequence[Job]) -> None:
    """Every job in one group; what was learned goes to a file per rank."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/store-{ranks}",
        rank=rank,
        world_size=ranks,
        timeout=datetime.timedelta(seconds=60),
    )
    found = [learned(job, rank, ranks) for job in jobs]
    torch.save(found, Path(folder, f"{ranks}-{rank}.pt"))
    dist.destroy_process_group()


def run(folder: str, ranks: int, jobs: Sequence[Job]) -> list[list[dict[str, Tensor]]]:
    """What each rank learned in each job."""
    spawn(work, ranks, folder, list(jobs), ranks=ranks)
    return [torch.load(Path(folder, f"{ranks}-{rank}.pt")) for rank in range(ranks)]
