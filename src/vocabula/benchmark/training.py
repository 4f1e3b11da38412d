"""Training steps (forward, backward and update) against vector-quantize-pytorch.

Both in training mode, with moving averages of decay 0.99 and the straight-through gradient. Ours
has its defaults with one exception: k-means fits the codebook to the first batch only, not again
until step 128, so that the timed steps are typical of the rest of a run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from vocabula.benchmark import inputs
from vocabula.benchmark.rivals import load
from vocabula.benchmark.targets import verdict, wrong
from vocabula.benchmark.task import OURS, Case, Settings, Task, synchronized

RIVAL = "vector-quantize-pytorch"
LEVELS = (8, 5, 5, 5)
BATCHES = 4
"""Batches that the steps take in turn."""

MEGABYTE = 10**6


@dataclass(frozen=True, slots=True)
class Goal:
    """What a case must reach on the CPU.

    Args:
        speed: how many times as fast as the rival.
        seconds: longest step, where there is no rival.
        megabytes: most peak memory beyond inputs and outputs.
    """

    speed: float | None = None
    seconds: float | None = None
    megabytes: float = 100


def _vector(tokens: int, size: int, dim: int) -> dict[str, Any]:
    return {"quantizer": "vector", "N": tokens, "K": size, "D": dim}


def _bits(tokens: int, bits: int) -> dict[str, Any]:
    return {"quantizer": "lookup-free", "N": tokens, "K": 2**bits, "D": bits}


CASES: tuple[tuple[dict[str, Any], Goal], ...] = (
    (_vector(8192, 8192, 64), Goal(10)),
    (_vector(8192, 512, 64), Goal(3)),
    (_vector(16384, 16384, 8), Goal(30)),
    (_bits(4096, 10), Goal(15)),
    (_bits(4096, 14), Goal(150)),
    (_bits(16384, 18), Goal(seconds=0.4, megabytes=600)),
    ({"quantizer": "finite-scalar", "N": 65536, "K": 1000, "D": 4}, Goal(3)),
    ({"quantizer": "residual", "N": 4096, "K": 1024, "D": 64, "books": 8}, Goal(3)),
    ({"quantizer": "product", "N": 4096, "K": 1024, "D": 64, "books": 8}, Goal(3)),
)
LARGE = _vector(65536, 8192, 64)
QUICK = (1, 3, 6)


def cases(settings: Settings) -> list[Case]:
    """Every quantizer; on a GPU also a larger batch."""
    chosen = [CASES[i] for i in QUICK] if settings.quick else list(CASES)
    if settings.device == "cuda":
        chosen = [(LARGE, Goal()), *chosen]
    # The rival builds (tokens, 2^18) tensors: more than 17 GB each.
    return [
        Case(
            values,
            (OURS,) if goal.seconds else (OURS, RIVAL),
            memory=not settings.quick or settings.device == "cuda",
        )
        for values, goal in chosen
    ]


@dataclass(frozen=True, slots=True)
class Contender:
    """A quantizer from either library, reduced to what a step needs.

    Args:
        module: in training mode.
        forward: z (N, D) to values, codes (N,) or (N, books), and a scalar loss.
        codebooks: the (K, D) codewords of each book, if it has any.
    """

    module: Any
    forward: Callable[[Any], tuple[Any, Any, Any]]
    codebooks: Callable[[], Sequence[Any]]


def task(contestant: str, values: dict[str, Any], settings: Settings) -> Task:
    """One training step on a batch (N, D): forward, backward, and the update of the codebook."""
    import torch

    torch.manual_seed(settings.seed)
    contender = (_ours if contestant == OURS else _rival)(values)
    contender.module.to(settings.device).train()
    batches = [
        torch.from_numpy(inputs.normal(values["N"], values["D"], settings.seed + i))
        for i in range(BATCHES)
    ]
    on_device = [batch.to(settings.device) for batch in batches]
    gradient = on_device[-1].clone()  # the gradient that the following network would send back
    made = 0

    def step() -> tuple[Any, ...]:
        nonlocal made
        z = on_device[made % BATCHES].detach().requires_grad_()
        made += 1
        quantized, codes, loss = contender.forward(z)
        roots, gradients = [quantized], [gradient]
        if loss.requires_grad:
            roots, gradients = [quantized, loss], [gradient, torch.ones_like(loss)]
        torch.autograd.backward(roots, gradients)
        return z.detach(), z.grad, quantized.detach(), codes

    def check(result: Any) -> dict[str, Any]:
        z = batches[0][torch.from_numpy(inputs.some_rows(values["N"]))]
        contender.module.eval()
        with torch.no_grad():
            _, codes, _ = contender.forward(z.to(settings.device))
        contender.module.train()
        books = [book.detach().cpu().numpy() for book in contender.codebooks()]
        found = _wrong(values["quantizer"], z.numpy(), books, codes.cpu().numpy())
        return {"wrong_codes": found, "checked_codes": codes.numel()}

    return Task(
        run=synchronized(step, settings.device),
        check=check,
        output_bytes=lambda result: sum(part.nbytes for part in result),
    )


def _wrong(quantizer: str, z: Any, books: Sequence[Any], codes: Any) -> int:
    if quantizer == "vector":
        return inputs.wrong_codes(z, books[0], codes)
    if quantizer == "residual":
        return inputs.wrong_residual_codes(z, books, codes)
    if quantizer == "product":
        return inputs.wrong_product_codes(z, books, codes)
    if quantizer == "lookup-free":
        return inputs.wrong_sign_codes(z, codes)
    return inputs.wrong_level_codes(z, LEVELS, codes)


def _ours(values: dict[str, Any]) -> Contender:
    from vocabula import quantizers as q

    size, dim, books = values["K"], values["D"], values.get("books", 1)

    def vector(width: int) -> Any:
        return q.VectorQuantizer(width, size, initialization=q.KMeans(refit_until=0))

    makers: dict[str, Callable[[], Any]] = {
        "vector": lambda: vector(dim),
        "lookup-free": lambda: q.LookupFreeQuantizer(dim),
        "finite-scalar": lambda: q.FiniteScalarQuantizer(LEVELS),
        "residual": lambda: q.ResidualQuantizer([vector(dim) for _ in range(books)]),
        "product": lambda: q.ProductQuantizer([vector(dim // books) for _ in range(books)]),
    }
    module = makers[values["quantizer"]]()

    def forward(z: Any) -> tuple[Any, Any, Any]:
        result = module(z)
        return result.values, result.codes, result.loss

    def codebooks() -> list[Any]:
        return [m.codebook for m in module.modules() if isinstance(m, q.VectorQuantizer)]

    return Contender(module, forward, codebooks)


def _rival(values: dict[str, Any]) -> Contender:
    rival = load(RIVAL)
    size, dim, books = values["K"], values["D"], values.get("books", 1)
    # Its gradient rotation, on by default, would take time that ours does not spend.
    plain = {"codebook_size": size, "decay": 0.99, "rotation_trick": False}
    makers: dict[str, Callable[[], Any]] = {
        "vector": lambda: rival.VectorQuantize(dim, **plain),
        "lookup-free": lambda: rival.LFQ(dim=dim, codebook_size=size),
        "finite-scalar": lambda: rival.FSQ(list(LEVELS)),
        "residual": lambda: rival.ResidualVQ(dim=dim, num_quantizers=books, **plain),
        "product": lambda: rival.GroupedResidualVQ(
            dim=dim, groups=books, num_quantizers=1, **plain
        ),
    }
    module = makers[values["quantizer"]]()

    def forward(z: Any) -> tuple[Any, Any, Any]:
        result = module(z.unsqueeze(0))
        codes = result[1].reshape(books, len(z)).t() if _grouped(values) else result[1]
        loss = result[2].sum() if len(result) > 2 else z.new_zeros(())
        return result[0].squeeze(0), codes.reshape(len(z), *([books] * (books > 1))), loss

    def codebooks() -> list[Any]:
        if values["quantizer"] not in ("vector", "residual", "product"):
            return []
        found = module.codebook if books == 1 else module.codebooks
        return list(found.reshape(books, size, -1))

    return Contender(module, forward, codebooks)


def _grouped(values: dict[str, Any]) -> bool:
    """Whether the rival's codes come as (groups, batch, tokens, 1)."""
    return bool(values["quantizer"] == "product")


def targets(rows: list[dict[str, Any]], settings: Settings) -> list[dict[str, Any]]:
    """The required speedup over the rival, and a bound on memory."""
    if settings.device == "cuda":
        return [wrong(rows)]
    goals = {label(values): goal for values, goal in CASES}
    found = []
    for row in rows:
        name, ours = label(row["case"]), row["contestants"][OURS]
        goal = goals[name]
        if goal.speed:
            ratio = row.get("best_rival_over_ours")
            found.append(verdict(f"{name}: rival / ours", ratio, "at least", goal.speed))
        if goal.seconds:
            seconds = ours.get("median_s")
            found.append(verdict(f"{name}: seconds a step", seconds, "at most", goal.seconds))
        peak = ours.get("peak_bytes")
        megabytes = None if peak is None else peak / MEGABYTE
        text = f"{name}: MB beyond inputs and outputs"
        found.append(verdict(text, megabytes, "at most", goal.megabytes))
    return [*found, wrong(rows)]


def label(values: dict[str, Any]) -> str:
    """A case in words, such as ``vector 8192 x 8192 x 64``: vectors, codewords, dimensions."""
    books = f"{values['books']} books of " if "books" in values else ""
    return f"{values['quantizer']} {values['N']} x {books}{values['K']} x {values['D']}"
