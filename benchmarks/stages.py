"""The error of residual stacks of 1 to 8 stages, for every kind of stage.

    python benchmarks/stages.py
    python benchmarks/stages.py --rows 1024 --updates 100
    python benchmarks/stages.py --rows 1024 --updates 100 --only Gumbel    the others' figures stay

Every stack sees the same batches of one of two distributions, standard normal vectors or vectors
uniform in [-1, 1], and is then measured on other vectors of it: the mean squared error of the first
n stages' codes, n = 1 ... 8. Stages with parameters train by Adam on the squared error of the sum
plus the stages' own losses; Gumbel stages once more with dropout, which trains every prefix. Vector
stages use 16 codewords; the bits a stage are in the result.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable
from typing import Any

import torch
from common import result, write
from torch import Tensor

from vocabula import (
    FiniteScalarQuantizer,
    Gradient,
    GumbelQuantizer,
    KMeans,
    LinearReparametrization,
    LookupFreeQuantizer,
    ProductQuantizer,
    ResidualQuantizer,
    VectorQuantizer,
)
from vocabula.benchmark import record
from vocabula.quantizers import Quantizer

DIM, SIZE, STAGES = 4, 16, 8
STAGE_KINDS: dict[str, Callable[[], Quantizer]] = {
    "vector, moving averages": lambda: VectorQuantizer(DIM, SIZE),
    "vector, by gradient": lambda: VectorQuantizer(DIM, SIZE, learning=Gradient()),
    "vector, linear (SimVQ)": lambda: VectorQuantizer(
        DIM, SIZE, learning=LinearReparametrization()
    ),
    "Gumbel": lambda: GumbelQuantizer(DIM, SIZE, temperature=0.5),
    "Gumbel, dropout": lambda: GumbelQuantizer(DIM, SIZE, temperature=0.5),
    "Gumbel, k-means": lambda: GumbelQuantizer(DIM, SIZE, initialization=KMeans()),
    "Gumbel, k-means, dropout": lambda: GumbelQuantizer(DIM, SIZE, initialization=KMeans()),
    "product of vector": lambda: ProductQuantizer([VectorQuantizer(DIM // 2, 4) for _ in range(2)]),
    "finite scalar, published": lambda: FiniteScalarQuantizer([5] * DIM),
    "finite scalar, published, even": lambda: FiniteScalarQuantizer([4] * DIM),
    "finite scalar, symmetric, 2 levels": lambda: FiniteScalarQuantizer([2] * DIM, symmetric=True),
    "finite scalar, symmetric, clamped": lambda: FiniteScalarQuantizer(
        [5] * DIM, symmetric=True, hard_clamp=True
    ),
    "look-up free": lambda: LookupFreeQuantizer(DIM),
    "look-up free, spherical": lambda: LookupFreeQuantizer(DIM, spherical=True),
}
DRAWS: dict[str, Callable[[int], Tensor]] = {
    "normal": lambda rows: torch.randn(rows, DIM),
    "uniform": lambda rows: 2 * torch.rand(rows, DIM) - 1,
}


def trained(
    kind: str, draw: Callable[[int], Tensor], options: argparse.Namespace
) -> dict[str, Any]:
    """What `measured` finds on new vectors after training a stack of one kind."""
    torch.manual_seed(options.seed)
    stages = [STAGE_KINDS[kind]() for _ in range(STAGES)]
    stack = ResidualQuantizer(stages, dropout=float("dropout" in kind))
    parameters = [p for p in stack.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=0.02) if parameters else None
    for _ in range(options.updates):
        z = draw(options.rows)
        output = stack(z)
        if optimizer is not None:
            optimizer.zero_grad()
            ((output.values - z).square().mean() + output.loss).backward()
            optimizer.step()
    return measured(stack, draw(options.rows))


@torch.no_grad()
def measured(stack: ResidualQuantizer, z: Tensor) -> dict[str, Any]:
    """The bits of a stage, and the errors of the first 1 ... 8 stages."""
    codes, books = stack.eval().encode(z), stack.books // STAGES
    decoded = [stack.decode(codes[..., : n * books]) for n in range(1, STAGES + 1)]
    return {
        "bits": stack.bits / STAGES,
        "errors": [float((values - z).square().mean()) for values in decoded],
    }


def main() -> None:
    """Measure every kind on both distributions, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=4096, help="vectors of a batch")
    parser.add_argument("--updates", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=list(STAGE_KINDS), metavar="KIND")
    options = parser.parse_args()
    before = (result("stages") or {}).get("stacks", {}) if options.only else {}
    found = {
        name: {
            kind: trained(kind, draw, options)
            if kind in (options.only or STAGE_KINDS)
            else before[name][kind]
            for kind in STAGE_KINDS
        }
        for name, draw in DRAWS.items()
    }
    setting = {name: value for name, value in vars(options).items() if name != "only"}
    words = [f"--{name}={value}" for name, value in setting.items() if name != "seed"]
    command = shlex.join(["python", "benchmarks/stages.py", *words])
    figures = {**setting, "dim": DIM, "stacks": found}
    write(record("stages", command, torch.get_num_threads(), figures))


if __name__ == "__main__":
    main()
