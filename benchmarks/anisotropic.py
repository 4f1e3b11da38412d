"""The use of codebooks on anisotropic data: every quantizer with its defaults, 500 steps.

    python benchmarks/anisotropic.py DATA            measure all
    python benchmarks/anisotropic.py DATA --only clip items --sizes 256    the others' figures stay

DATA is a folder of 16-bit WAV files; the other vectors are made (see
`vocabula.benchmark.anisotropic`). The encoder is the identity. Parameters learn with Adam and its
default learning rate from the reconstruction error plus the quantizer's loss. Usage is the fraction
of the codewords that any of all vectors chooses after training.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from common import result, write_result
from torch import Tensor, nn

import vocabula as v
from vocabula.benchmark import anisotropic as made
from vocabula.quantizers import Quantizer
from vocabula.training.optimizers import Adam

NAME = "anisotropic"
BATCH = 1024
LEVELS = {256: [8, 6, 5], 1024: [8, 5, 5, 5]}
BITS = {256: 8, 1024: 10}
WITHOUT_BOOK = ("gumbel", "finite_scalar", "lookup_free")


class Whitened(nn.Module):
    """Finite scalar codes of the first principal components of vectors, each with deviation 1."""

    def __init__(self, rows: Tensor, levels: list[int]) -> None:
        super().__init__()
        self.mean = rows.mean(0)
        spread, directions = torch.linalg.eigh(torch.cov(rows.T))
        self.scale = spread[-len(levels) :].sqrt()
        self.directions = directions[:, -len(levels) :]
        self.quantizer = v.FiniteScalarQuantizer(levels)
        self.codebook_sizes = self.quantizer.codebook_sizes

    def encode(self, z: Tensor) -> Tensor:
        """Codes of vectors."""
        return self.quantizer.encode((z - self.mean) @ self.directions / self.scale)

    def decode(self, codes: Tensor) -> Tensor:
        """Vectors of codes."""
        return self.mean + (self.quantizer.decode(codes) * self.scale) @ self.directions.T


def makers(dim: int, size: int) -> dict[str, Callable[[], Quantizer]]:
    """Every quantizer with its defaults."""

    def vector(**options: Any) -> Callable[[], Quantizer]:
        return lambda: v.VectorQuantizer(dim, size, **options)

    found: dict[str, Callable[[], Quantizer]] = {
        "ema": vector(),
        "gradient": vector(learning=v.Gradient()),
        "cosine": vector(distance="cosine"),
        "linear": vector(learning=v.LinearReparametrization()),
        "network": vector(learning=v.NetworkReparametrization(v.MLPTransform(dim))),
        "gumbel": lambda: v.GumbelQuantizer(dim, size),
        "gumbel_kmeans": lambda: v.GumbelQuantizer(dim, size, initialization=v.KMeans()),
        "finite_scalar": lambda: v.FiniteScalarQuantizer(LEVELS[size], dim=dim),
        "lookup_free": lambda: v.LookupFreeQuantizer(dim, bits=BITS[size]),
    }
    if size == 256:
        found["residual"] = lambda: v.ResidualQuantizer.repeat(4, dim=dim, codebook_size=size)
        found["product"] = lambda: v.ProductQuantizer(
            [v.VectorQuantizer(dim // 4, size) for _ in range(4)]
        )
    return found


def data(name: str, folder: Path) -> Tensor:
    """Vectors (pieces, frames, D); a batch takes whole pieces, whose frames are correlated."""
    if name == "clip":
        return torch.from_numpy(made.unit_cone(32768, 256, 0)).unsqueeze(1)
    if name == "speech":
        return torch.from_numpy(made.speech_frames(256, 128, 40, 0))
    if name == "items":
        return torch.from_numpy(made.items(32768, 128, 2000, 0)).unsqueeze(1)
    frames = torch.from_numpy(made.log_mel(folder))
    return frames[: len(frames) // 32 * 32].unflatten(0, (-1, 32))


def trained(make: Callable[[], Quantizer], x: Tensor, steps: int, seed: int) -> Quantizer:
    """The quantizer after some steps."""
    torch.manual_seed(seed)
    quantizer = make().train()
    parameters = list(quantizer.parameters())
    optimizer = Adam().build(parameters) if parameters else None
    draws = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        z = x[torch.randint(len(x), (BATCH // x.shape[1],), generator=draws)]
        found = quantizer(z)
        if optimizer is not None:
            optimizer.zero_grad()
            ((found.values - z).square().mean() + found.loss).backward()
            optimizer.step()
    return quantizer.eval()


@torch.no_grad()
def measured(quantizer: Quantizer | Whitened, x: Tensor) -> dict[str, Any]:
    """Usage of each book over all vectors and the error."""
    rows = x.flatten(0, 1)
    codes = torch.cat([quantizer.encode(part) for part in rows.split(4096)])
    pairs = zip(codes.split(4096), rows.split(4096), strict=True)
    error = sum(float((quantizer.decode(c) - z).square().sum()) for c, z in pairs)
    books = zip(codes.reshape(len(rows), -1).unbind(-1), quantizer.codebook_sizes, strict=True)
    return {
        "usage": [len(code.unique()) / size for code, size in books],
        "mse_over_variance": error / float((rows - rows.mean(0)).square().sum()),
    }


def standardized(x: Tensor) -> Tensor:
    """Vectors with mean 0 and standard deviation 1 in each component."""
    rows = x.flatten(0, 1)
    return (x - rows.mean(0)) / rows.std(0)


def about(x: Tensor) -> dict[str, Any]:
    """How anisotropic the vectors are."""
    rows = x.flatten(0, 1).double()
    centred, spread = rows - rows.mean(0), rows.std(0)
    return {
        "vectors": len(rows),
        "dim": rows.shape[1],
        "mean_ratio": float(rows.mean(0).norm() / centred.square().sum(1).mean().sqrt()),
        "scale_ratio": float(spread.max() / spread.median()),
    }


def main() -> None:
    """Train and measure each, and merge the figures into the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of WAV files")
    names = ["clip", "speech", "items", "log_mel"]
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--quantizers", nargs="+")
    parser.add_argument("--sizes", nargs="+", type=int, choices=list(LEVELS), default=list(LEVELS))
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for name in options.only:
        x = data(name, options.data)
        for size in options.sizes:
            for quantizer, make in makers(x.shape[-1], size).items():
                if options.quantizers and quantizer not in options.quantizers:
                    continue
                inputs = {"": x}
                if quantizer in WITHOUT_BOOK:
                    inputs[" standardized"] = standardized(x)
                for suffix, z in inputs.items():
                    one = measured(trained(make, z, options.steps, options.seed), z)
                    merge(options, name, about(x), f"{quantizer} {size}{suffix}", one)
            if not options.quantizers or "finite_scalar_principal" in options.quantizers:
                one = measured(Whitened(x.flatten(0, 1), LEVELS[size]).eval(), x)
                merge(options, name, about(x), f"finite_scalar_principal {size}", one)


def merge(options: Any, name: str, shape: dict[str, Any], key: str, one: dict[str, Any]) -> None:
    """Write one run beside those that were measured before."""
    data = (result(NAME) or {}).get("data", {})
    runs = {**data.get(name, {}).get("runs", {}), key: one}
    setting = {"batch": BATCH, "steps": options.steps, "seed": options.seed}
    write_result(NAME, {**setting, "data": {**data, name: {**shape, "runs": runs}}})


if __name__ == "__main__":
    main()
