"""K-means: `vocabula.functional.kmeans` against faiss's, by time and by objective."""

from __future__ import annotations

from typing import Any

from vocabula.benchmark.inputs import inertia, mixture, normal
from vocabula.benchmark.rivals import load
from vocabula.benchmark.targets import verdict
from vocabula.benchmark.task import OURS, Case, Settings, Task

RIVAL = "faiss"


def cases(settings: Settings) -> list[Case]:
    """Two kinds of data, three seeds of the method; each seed runs once."""
    sizes = {"N": 100_000, "K": 1024, "D": 64, "iterations": 20}
    if settings.quick:
        sizes.update(N=20_000, K=256)
    return [
        Case({"data": kind, **sizes, "seed": seed}, (OURS, RIVAL), turns=1, most=1)
        for kind in (["normal"] if settings.quick else ["normal", "mixture"])
        for seed in range(1 if settings.quick else 3)
    ]


def task(contestant: str, values: dict[str, Any], settings: Settings) -> Task:
    """One fit of K centroids to (N, D) vectors; its result is the (K, D) centroids."""
    rows, size, dim = values["N"], values["K"], values["D"]
    if values["data"] == "mixture":
        x = mixture(rows, dim, size, settings.seed)
    else:
        x = normal(rows, dim, settings.seed)
    fit = (_ours if contestant == OURS else _faiss)(x, size, values["seed"])
    return Task(
        run=lambda: fit(values["iterations"]),
        warm=lambda: fit(1),
        check=lambda result: {"inertia": inertia(x, result)},
        output_bytes=lambda result: result.nbytes,
    )


def _ours(x: Any, size: int, seed: int) -> Any:
    import torch

    from vocabula.functional import kmeans

    rows = torch.from_numpy(x)
    return lambda iterations: kmeans(rows, size, iterations=iterations, seed=seed)[0].numpy()


def _faiss(x: Any, size: int, seed: int) -> Any:
    faiss = load("faiss")

    def fit(iterations: int) -> Any:
        # Without these bounds it would take a sample of the vectors.
        method = faiss.Kmeans(
            x.shape[1], size, niter=iterations, nredo=1, seed=seed + 1,
            min_points_per_centroid=1, max_points_per_centroid=len(x),
        )  # fmt: skip
        method.train(x)
        return method.centroids

    return fit


def targets(rows: list[dict[str, Any]], settings: Settings) -> list[dict[str, Any]]:
    """Neither slower nor worse than faiss, averaged over the seeds for each kind of data."""
    return [
        verdict(
            f"{figure}, ours / faiss, mean over {len(seeds)} of the method's seeds, {kind} data",
            _ratio(seeds, field),
            "at most",
            1,
        )
        for kind in dict.fromkeys(row["case"]["data"] for row in rows)
        for seeds in [[row for row in rows if row["case"]["data"] == kind]]
        for figure, field in (("time", "median_s"), ("inertia", "inertia"))
    ]


def _ratio(rows: list[dict[str, Any]], field: str) -> float | None:
    """Our figure over the rival's, each summed over rows; None where one is missing."""
    sums = []
    for name in (OURS, RIVAL):
        found = [row["contestants"].get(name, {}).get(field) for row in rows]
        if None in found:
            return None
        sums.append(sum(found))
    return sums[0] / sums[1]
