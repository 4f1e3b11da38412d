"""What two processes do, each with its part of a batch, and one process with all of it."""

from __future__ import annotations

import copy
import datetime
import json
import math
import os
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from conformance.rows import BY_NAME, ROWS, Row, data, prepare, read_prepared, write_prepared
from processes import spawn
from vocabula.quantizers import (
    GumbelQuantizer,
    LookupFreeQuantizer,
    Normal,
    Quantizer,
    Revival,
    VectorQuantizer,
)

RANKS = 2
ROWS_IN_ALL = 60
CUT = 23
PARTS = [slice(0, CUT), slice(CUT, ROWS_IN_ALL)]

Slices = list[tuple[slice, Tensor]]


def cases() -> dict[str, Slices]:
    """The rows and the mask (of all rows) that each rank has."""
    everything = torch.ones(ROWS_IN_ALL).bool()
    some = torch.arange(ROWS_IN_ALL) % 7 > 2
    first = torch.arange(ROWS_IN_ALL) < CUT
    return {
        "unequal parts and masks": [(part, some) for part in PARTS],
        "one mask is empty": [(part, first) for part in PARTS],
        "one rank has no rows": [
            (slice(0, ROWS_IN_ALL), everything),
            (slice(ROWS_IN_ALL, ROWS_IN_ALL), everything),
        ],
    }


PREPARED: dict[str, Quantizer] = {}
TYPICAL = ("vector, normal start, no revival", "vector, diversity", "lookup free", "residual")


def prepare_before_the_group(rows: Sequence[Row]) -> None:
    """Build every quantizer in one process's world, without what draws in each process."""
    for row in rows:
        quantizer = PREPARED[row.name] = prepare(row)
        for module in quantizer.modules():
            if isinstance(module, VectorQuantizer):
                module.revival = None
            if isinstance(module, Quantizer) and module.usage_tracker is not None:
                module.usage_tracker.reset()


def prepared(name: str) -> Quantizer:
    return copy.deepcopy(PREPARED[name])


def outcome(quantizer: Quantizer, part: slice, mask: Tensor, ranks: int) -> dict[str, Tensor]:
    """A training step: losses and gradients as averaged over ranks, and the state after it."""
    z = data(ROWS_IN_ALL)[part].clone().requires_grad_()
    result = quantizer(z, mask[part])
    direction = data(ROWS_IN_ALL, seed=1)[part] * mask[part, None]
    (result.loss + ranks * (result.values * direction).sum()).backward()
    found = {"loss": result.loss.detach(), **{n: t.detach() for n, t in result.losses.items()}}
    for name, p in quantizer.named_parameters():
        found[f"gradient of {name}"] = torch.zeros_like(p) if p.grad is None else p.grad
    if ranks > 1:
        for t in found.values():
            dist.all_reduce(t)
    found = {name: t / ranks for name, t in found.items()}
    gradient = torch.zeros(ROWS_IN_ALL, z.shape[1])
    gradient[part] = z.grad / ranks
    codes = torch.zeros(ROWS_IN_ALL, quantizer.books, dtype=torch.int64)
    codes[part] = result.codes.reshape(-1, quantizer.books)
    for name, t in (("gradient of z", gradient), ("codes", codes)):
        if ranks > 1:
            dist.all_reduce(t)
        found[name] = t * mask[:, None]
    local = ("usage_tracker",)  # counted where the vectors are, joined in the report
    state = {n: t for n, t in quantizer.state_dict().items() if not any(w in n for w in local)}
    report = quantizer.usage_report()
    return {**found, **state, "usage": report.usage, "perplexity": report.perplexity}


def one_process(name: str, case: str) -> dict[str, Tensor]:
    mask = torch.zeros(ROWS_IN_ALL).bool()
    for part, mine in cases()[case]:
        mask[part] = mine[part]
    return outcome(prepared(name), slice(0, ROWS_IN_ALL), mask, 1)


def compare(name: str, case: str, rank: int, expected: dict[str, Tensor]) -> None:
    quantizer = prepared(name)
    ours = outcome(quantizer, *cases()[case][rank], RANKS)
    same_everywhere(quantizer)
    drawn = BY_NAME[name].random
    for key, value in expected.items():
        if not drawn or (isinstance(quantizer, GumbelQuantizer) and key in ("loss", "kl")):
            what = f"{key}: {{}}".format
            torch.testing.assert_close(ours[key], value, rtol=1e-4, atol=1e-5, msg=what)


def same_everywhere(quantizer: Quantizer) -> None:
    """The state, apart from what is counted per rank, is bit for bit that of rank 0."""
    differing = []
    for name, t in quantizer.state_dict().items():
        if "usage_tracker" not in name:
            other = t.clone()
            dist.broadcast(other, src=0)
            differing += [] if torch.equal(other, t) else [name]
    assert not differing, f"{differing} differ between ranks"


def kmeans(rank: int, make: Callable[[], Quantizer] = BY_NAME["vector"].make) -> None:
    """K-means sees the vectors of all ranks: their two far clusters, and one book."""
    quantizer = make()
    z = data(40, seed=rank) + 100 * rank
    quantizer(z)
    same_everywhere(quantizer)
    assert quantizer.codebook.mean(-1).min() < 10
    assert quantizer.codebook.mean(-1).max() > 90


def kmeans_without_rows(rank: int) -> None:
    quantizer = BY_NAME["vector"].make()
    quantizer(data(40 if rank else 0), None)
    same_everywhere(quantizer)
    assert quantizer.fits == 1


def revival(rank: int) -> None:
    """Dead codewords come back on all ranks alike, at vectors of either."""
    rule = Revival(threshold=0.5, patience=1, decay=0.5)
    quantizer = VectorQuantizer(8, 64, initialization=Normal(), revival=rule)
    torch.manual_seed(0)
    quantizer.codebook = 1e4 + torch.randn(64, 8)
    torch.manual_seed(rank + 1)  # each rank draws for itself
    centers = torch.tensor([-100.0, 100.0])
    for _ in range(4):
        quantizer(centers[rank] + torch.randn(200, 8))
        same_everywhere(quantizer)
    means = quantizer.codebook.mean(-1)
    assert ((means + 100).abs() < 5).sum() > 10
    assert ((means - 100).abs() < 5).sum() > 10


def revival_of_one_rank(rank: int) -> None:
    """A rank without vectors takes part in everything and contributes nothing."""
    quantizer = VectorQuantizer(8, 16, initialization=Normal(), revival=Revival(decay=0.5))
    torch.manual_seed(0)
    quantizer.codebook = 1e4 + torch.randn(16, 8)
    for step in range(4):
        quantizer(data(30, seed=step), torch.full((30,), rank == 0))
        same_everywhere(quantizer)
    assert (quantizer.codebook.abs().amax(-1) < 10).sum() > 8


def several_micro_batches(rank: int) -> None:
    """Ranks may cut their share differently; the update is that of the joined batch."""
    torch.manual_seed(0)
    parts, joined = (prepared("vector") for _ in "ab")
    parts.auto_update = joined.auto_update = False
    part = PARTS[rank]
    for piece in data(ROWS_IN_ALL)[part].split([10, 13] if rank == 0 else [30, 7]):
        parts(piece)
    joined(data(ROWS_IN_ALL)[part])
    parts.update()
    joined.update()
    torch.testing.assert_close(parts.codebook, joined.codebook)


def compiled(rank: int) -> None:
    """A module compiled before there was a group synchronises in it."""
    quantizer = COMPILED["module"]
    part = PARTS[rank]
    COMPILED["call"](data(ROWS_IN_ALL)[part])
    same_everywhere(quantizer)
    torch.testing.assert_close(quantizer.codebook, COMPILED["expected"], rtol=1e-4, atol=1e-5)


COMPILED: dict[str, object] = {}


def compile_before_the_group() -> None:
    eager, quantizer = (prepared("vector") for _ in "ab")
    call = torch.compile(quantizer, fullgraph=True, backend="eager", dynamic=True)
    call(data(ROWS_IN_ALL))
    eager(data(ROWS_IN_ALL))
    eager(data(ROWS_IN_ALL))
    COMPILED.update(module=quantizer, call=call, expected=eager.codebook.clone())


OTHERS: dict[str, Callable[[int], None]] = {
    "k-means": kmeans,
    "k-means where one rank has no rows": kmeans_without_rows,
    "revival": revival,
    "revival where one rank has no vectors": revival_of_one_rank,
    "several micro-batches": several_micro_batches,
    "compiled before the group": compiled,
}


def built_before_the_group(rank: int) -> None:
    """Defect 27: every module here was; its moving averages are over both ranks."""
    quantizer = prepared("vector, normal start, no revival")
    before = quantizer.book.mass.sum().item()
    quantizer(data(30, seed=rank))
    expected = 0.9 * before + 0.1 * 60
    assert abs(quantizer.book.mass.sum().item() - expected) < 1e-3
    same_everywhere(quantizer)


def entropy_of_both(rank: int) -> None:
    """Defect 28: each rank has half of the 16 codes, the batch entropy counts all."""
    quantizer = LookupFreeQuantizer(4)
    codes = torch.arange(8) + 8 * rank
    losses = quantizer(quantizer.decode(codes)).losses
    assert abs(losses["entropy_batch"].item() - math.log(16)) < 1e-4


def empty_mask_on_one_rank(rank: int) -> None:
    """Defect 29: nobody waits for the rank that has nothing."""
    for name in PREPARED:
        prepared(name)(data(10), torch.full((10,), rank == 0))


DEFECTS: dict[str, Callable[[int], None]] = {
    "27 a module built before the group synchronises": built_before_the_group,
    "28 the reduced tensor is used": entropy_of_both,
    "29 an empty mask hangs nobody": empty_mask_on_one_rank,
    "30 revival draws alike": revival,
    "30 k-means draws alike": kmeans,
}


def work(rank: int, folder: str, only: Sequence[str]) -> None:
    """Everything, in one pair of processes; what failed goes to a file per rank."""
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    if not only:
        read_prepared(folder)
    prepare_before_the_group([BY_NAME[name] for name in TYPICAL] if only else ROWS)
    pairs = [(row.name, case) for row in ROWS for case in cases()]
    if not only:  # each rank finds half of what is expected
        mine = {pair: one_process(*pair) for pair in pairs[rank::RANKS]}
        torch.save(mine, Path(folder, f"expected-{rank}.pt"))
        compile_before_the_group()
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/store",
        rank=rank,
        world_size=RANKS,
        timeout=datetime.timedelta(seconds=60),
    )
    dist.barrier()
    expected = {}
    for file in Path(folder).glob("expected-*.pt"):
        expected |= torch.load(file)
    jobs = {f"{n}: {c}": lambda n=n, c=c: compare(n, c, rank, expected[n, c]) for n, c in pairs}
    jobs |= {name: lambda job=job: job(rank) for name, job in OTHERS.items()}
    if only:
        jobs = {name: lambda job=job: job(rank) for name, job in DEFECTS.items() if name in only}
    failed = {}
    for name, job in jobs.items():
        torch.manual_seed(100 + rank)
        try:
            job()
        except Exception:
            failed[name] = traceback.format_exc()
        try:
            dist.barrier()
        except RuntimeError:
            failed.setdefault(name, "the ranks called different collectives")
            rest = list(jobs)[list(jobs).index(name) + 1 :]
            failed |= dict.fromkeys(rest, f"not run, since {name!r} hung")
            break
    Path(folder, f"failed-{rank}.json").write_text(json.dumps(failed))
    dist.destroy_process_group()


def run(folder: str, only: Sequence[str] = ()) -> list[dict[str, str]]:
    """What failed on each rank: of the battery, or of the named ones of `DEFECTS` only."""
    if not only:
        write_prepared(folder)
    spawn(work, folder, list(only), ranks=RANKS)
    return [json.loads(Path(folder, f"failed-{r}.json").read_text()) for r in range(RANKS)]
