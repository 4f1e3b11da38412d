"""Our default vector quantizer beside vector-quantize-pytorch, step by step in one run.

    python benchmarks/beside_rival.py DATA --steps 2000 --seeds 0

The same networks (the published CIFAR-10 ones, equal initial weights), the same batches in the same
order, the same optimizer; the quantizers take turns at every step. The rival runs twice: its plain
exponential-moving-average quantizer, and its best (k-means start, revival, rotation). DATA is a
folder with ``train.parquet`` and ``test.parquet``.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from common import write_result
from torch import Tensor, nn
from vector_quantize_pytorch import VectorQuantize

from vocabula import VectorQuantizer, open_source
from vocabula.data import ImageData
from vocabula.functional import code_counts, perplexity
from vocabula.nn import VQVAEDecoder, VQVAEEncoder

DIM, SIZE, BATCH, RATE = 64, 512, 32, 3e-4


class Contestant:
    """One quantizer between its own copy of the networks."""

    def __init__(self, quantizer: nn.Module, encoder: nn.Module, decoder: nn.Module) -> None:
        self.quantizer = quantizer
        self.networks = nn.ModuleList([copy.deepcopy(encoder), copy.deepcopy(decoder)])
        self.parts = nn.ModuleList([*self.networks, quantizer])
        self.optimizer = torch.optim.Adam(
            [p for p in self.parts.parameters() if p.requires_grad], lr=RATE
        )
        self.seconds: list[float] = []
        self.recent: list[tuple[float, float]] = []

    def run(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruction, codes and quantizer loss of (B, 3, H, W) images in [0, 1]."""
        encoder, decoder = self.networks
        z = encoder(images - 0.5).movedim(1, -1)
        if isinstance(self.quantizer, VectorQuantizer):
            result = self.quantizer(z)
            values, codes, loss = result.values, result.codes, result.loss
        else:
            values, codes, loss = self.quantizer(z.flatten(1, 2))
            values, loss = values.reshape(z.shape), loss.sum()
        return decoder(values.movedim(-1, 1)) + 0.5, codes, loss

    def train_step(self, images: Tensor, spread: float) -> None:
        """One optimizer step, timed."""
        started = time.perf_counter()
        output, codes, loss = self.run(images)
        error = (output - images).square().mean()
        self.optimizer.zero_grad()
        (error / spread + loss).backward()
        self.optimizer.step()
        self.seconds.append(time.perf_counter() - started)
        counts = code_counts(codes.detach().reshape(-1), SIZE)
        self.recent = [*self.recent[-99:], (error.item() / spread, perplexity(counts).item())]

    @torch.no_grad()
    def test(self, images: Tensor, spread: float) -> dict[str, float]:
        """Error and code usage over the test images (N, 3, H, W) uint8."""
        self.parts.eval()
        counts, error = torch.zeros(SIZE, dtype=torch.int64), 0.0
        for part in images.split(500):
            batch = part / 255
            output, codes, _ = self.run(batch)
            error += (output - batch).square().mean().item() * len(part)
            counts += code_counts(codes.reshape(-1), SIZE)
        return {
            "mse_over_variance": error / len(images) / spread,
            "perplexity": perplexity(counts).item(),
            "usage": (counts > 0).double().mean().item(),
        }


def contestants(seed: int) -> dict[str, Contestant]:
    """Ours and the rival's two, around equal networks."""
    torch.manual_seed(seed)
    encoder, decoder = VQVAEEncoder(3, DIM), VQVAEDecoder(DIM, 3)

    def rival(**best: object) -> nn.Module:
        return VectorQuantize(
            dim=DIM, codebook_size=SIZE, decay=0.99, commitment_weight=0.25, **best
        )

    makers: dict[str, Callable[[], nn.Module]] = {
        "vocabula": lambda: VectorQuantizer(DIM, SIZE),
        "rival_plain": rival,
        "rival_best": lambda: rival(
            kmeans_init=True, threshold_ema_dead_code=2, rotation_trick=True
        ),
    }
    made = {}
    for name, make in makers.items():
        torch.manual_seed(seed + 1)
        made[name] = Contestant(make(), encoder, decoder)
    return made


def whole(path: Path) -> Tensor:
    """All images of a data set of equal sizes, (N, 3, H, W) uint8."""
    source = open_source(str(path))
    images = np.stack([source.read(i).image for i in range(len(source))])
    return torch.from_numpy(images).movedim(-1, 1)


def contest(data: Path, steps: int, seed: int, spread: float, test: Tensor) -> dict[str, object]:
    """All contestants over the same batches; returns their figures."""
    made = contestants(seed)
    source = open_source(str(data / "train.parquet"))
    batches = ImageData(channels=3).train_batches(source, batch_size=BATCH, seed=seed)
    for step, batch in zip(range(steps), batches, strict=False):
        images = batch.values / 255
        order = list(made.values())
        turn = step % len(order)
        for contestant in order[turn:] + order[:turn]:
            contestant.train_step(images, spread)
        if (step + 1) % 250 == 0:
            print(step + 1, {k: np.mean(c.recent, 0).round(4).tolist() for k, c in made.items()})
    return {
        name: {
            "test": c.test(test, spread),
            "last_100_batches": dict(
                zip(("mse_over_variance", "perplexity"), np.mean(c.recent, 0).tolist(), strict=True)
            ),
            "median_step_ms": 1e3 * statistics.median(c.seconds),
        }
        for name, c in made.items()
    }


def main() -> None:
    """Run every seed and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with train.parquet and test.parquet")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    options = parser.parse_args()
    spread = float((whole(options.data / "train.parquet") / 255).var(correction=0))
    test = whole(options.data / "test.parquet")
    runs = {
        f"seed {seed}": contest(options.data, options.steps, seed, spread, test)
        for seed in options.seeds
    }
    setting = {"steps": options.steps, "batch": BATCH, "codebook_size": SIZE, "dim": DIM}
    write_result("beside-rival", {**setting, "variance": spread, "runs": runs})


if __name__ == "__main__":
    main()
