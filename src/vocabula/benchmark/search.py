"""Nearest codeword: the search of `vocabula.functional` beside faiss and two searches in torch."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from vocabula.benchmark.inputs import normal, some_rows, wrong_codes
from vocabula.benchmark.rivals import load
from vocabula.benchmark.targets import geometric_mean, verdict, wrong
from vocabula.benchmark.task import OURS, Case, Settings, Task, synchronized

RIVALS = ("faiss", "cdist", "blocked")
WIDTHS, BOOKS, ROWS = (4, 8, 16, 32, 64, 128, 256), (512, 1024, 8192, 16384, 65536), (4096, 65536)
QUICK = ((8, 1024, 65536), (64, 1024, 4096), (64, 8192, 4096))
GPU_SIZES = tuple(itertools.product((8, 64, 256), (1024, 8192, 65536)))
"""D and K of the cases on a GPU."""
FAR = (64, 1024, 4096, 1000)
"""D, K, N and the offset of the case that lies far from the origin."""
MATMUL = 2048
WIDE = 64
"""The width D from which the share of the matrix product's speed is a target."""

CDIST_BYTES = 4e9
BLOCKED_SCORES = {"cpu": 2**21, "cuda": 2**28}
WARM_SCORES = 1e8

Search = Callable[[int], Any]
"""Codes of the first so many rows."""


def cases(settings: Settings) -> list[Case]:
    """Every width, codebook size and number of rows; and one far from the origin."""
    if settings.device == "cuda":
        return [
            Case({"N": 65536, "K": k, "D": d, "offset": 0}, (OURS, "cdist", "blocked"), memory=True)
            for d, k in ([(64, 8192)] if settings.quick else GPU_SIZES)
        ]
    grid = QUICK if settings.quick else tuple(itertools.product(WIDTHS, BOOKS, ROWS))
    sizes = [(d, k, n, 0) for d, k, n in grid]
    return [
        Case(
            {"N": n, "K": k, "D": d, "offset": offset},
            (OURS, *RIVALS, *(["matmul"] if d >= WIDE else [])),
        )
        for d, k, n, offset in [*sizes, FAR]
    ]


def task(contestant: str, values: dict[str, Any], settings: Settings) -> Task:
    """One contestant's search of codebook (K, D) for all of z (N, D)."""
    if contestant == "matmul":
        return _matmul(settings)
    rows, size, dim = values["N"], values["K"], values["D"]
    z = normal(rows, dim, settings.seed, values.get("offset", 0))
    codebook = normal(size, dim, settings.seed + 1, values.get("offset", 0))
    makers = {OURS: _ours, "faiss": _faiss, "cdist": _cdist, "blocked": _blocked}
    search = makers[contestant](z, codebook, settings)
    chunked = contestant == "cdist" and 4 * rows * size > CDIST_BYTES
    few = max(256, min(rows, int(WARM_SCORES / size)))

    def check(result: Any) -> dict[str, Any]:
        codes = result[1][:, 0] if contestant == "faiss" else result.cpu().numpy()
        chosen = some_rows(rows)
        wrong_ones = wrong_codes(z[chosen], codebook, codes[chosen])
        return {"wrong_codes": wrong_ones, "checked_codes": len(chosen)}

    return Task(
        run=synchronized(lambda: search(rows), settings.device),
        warm=synchronized(lambda: search(few), settings.device),
        check=check,
        output_bytes=lambda result: (
            sum(part.nbytes for part in result) if contestant == "faiss" else result.nbytes
        ),
        note=f"in chunks of at most {CDIST_BYTES / 1e9:g} GB of distances" if chunked else "",
        held_bytes=4 * size * _block(rows, size, settings) if contestant == "blocked" else 0,
    )


def _ours(z: Any, codebook: Any, settings: Settings) -> Search:
    import torch

    from vocabula.functional import nearest_codeword

    x, e = (torch.from_numpy(a).to(settings.device) for a in (z, codebook))
    return lambda rows: nearest_codeword(x[:rows], e)


def _faiss(z: Any, codebook: Any, settings: Settings) -> Search:
    index = load("faiss").IndexFlatL2(codebook.shape[1])
    index.add(codebook)
    return lambda rows: index.search(z[:rows], 1)


def _cdist(z: Any, codebook: Any, settings: Settings) -> Search:
    import torch

    x, e = (torch.from_numpy(a).to(settings.device) for a in (z, codebook))
    step = max(1, int(CDIST_BYTES / (4 * len(e))))
    return lambda rows: torch.cat(
        [torch.cdist(part, e).argmin(-1) for part in x[:rows].split(step)]
    )


def _blocked(z: Any, codebook: Any, settings: Settings) -> Search:
    """|e|²/2 - z·e of a block of rows in a tile that all blocks share; |e|²/2 is precomputed."""
    import torch

    x, e = (torch.from_numpy(a).to(settings.device) for a in (z, codebook))
    half, table = e.square().sum(-1) / 2, e.t()
    step = _block(len(x), len(e), settings)
    tile = e.new_empty(step, len(e))
    codes = torch.empty(len(x), dtype=torch.int64, device=e.device)

    def search(rows: int) -> Any:
        for start in range(0, rows, step):
            part = x[start : min(start + step, rows)]
            scores = torch.addmm(half, part, table, alpha=-1, out=tile[: len(part)])
            torch.argmin(scores, -1, out=codes[start : start + len(part)])
        return codes[:rows]

    return search


def _block(rows: int, size: int, settings: Settings) -> int:
    """Rows of the tile: about `BLOCKED_SCORES` scores, but enough rows for a fast product."""
    return min(rows, max(256, BLOCKED_SCORES[settings.device] // size))


def _matmul(settings: Settings) -> Task:
    """The yardstick: a product of two square matrices into preallocated memory."""
    import torch

    a, b = (
        torch.from_numpy(normal(MATMUL, MATMUL, settings.seed + i)).to(settings.device)
        for i in (0, 1)
    )
    out = torch.empty_like(a)
    run = synchronized(lambda: torch.mm(a, b, out=out), settings.device)
    return Task(run=run, check=lambda result: {}, output_bytes=lambda result: 0)


def finish(row: dict[str, Any]) -> None:
    """Add ``gflops`` of every contestant, 2 N K D / time, and our share of the matrix product's."""
    case = row["case"]
    for name, found in row["contestants"].items():
        work = 2 * (MATMUL**3 if name == "matmul" else case["N"] * case["K"] * case["D"])
        if "median_s" in found:
            found["gflops"] = work / found["median_s"] / 1e9
    peak, ours = (row["contestants"].get(name, {}).get("gflops") for name in ("matmul", OURS))
    if peak and ours:
        row["share_of_matmul"] = ours / peak


def targets(rows: list[dict[str, Any]], settings: Settings) -> list[dict[str, Any]]:
    """Exact everywhere, never slower than the best rival; on the CPU close to a product."""
    timed = [row for row in rows if not row["case"]["offset"]]
    ratios = [r["best_rival_over_ours"] for r in timed if "best_rival_over_ours" in r]
    shares = [row["share_of_matmul"] for row in timed if "share_of_matmul" in row]
    rivals = {
        name for row in timed for name, found in row["contestants"].items() if "gflops" in found
    }
    names = ", ".join(sorted(rivals & set(RIVALS)))
    best = f"best of {names} / ours" if names else "best rival / ours"
    mean = geometric_mean(ratios) if ratios else None
    beside = [
        verdict(f"{best}, at the worst size", min(ratios, default=None), "at least", 1),
        verdict(f"{best}, geometric mean of {len(ratios)} sizes", mean, "at least", 1.3),
    ]
    if settings.device == "cuda":
        return [*beside, wrong(rows)]
    return [
        *beside,
        verdict(
            f"GFLOP/s over those of a {MATMUL}^3 product, at the worst size with D >= {WIDE}",
            min(shares, default=None),
            "at least",
            0.7,
        ),
        wrong(rows),
    ]
