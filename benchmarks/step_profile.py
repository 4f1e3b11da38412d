"""How much of a training step the quantizer takes, forward, backward and update.

    python benchmarks/step_profile.py DATA

Times whole optimizer steps of the cifar10 preset, and in the same steps the time inside the
quantizer: its forward pass and update by a clock around them, its backward pass by replaying it
alone with the same shapes. DATA is a folder with ``train.parquet``.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from common import write_result

from vocabula.quantizers import Quantizer
from vocabula.tokenizers import build_tokenizer
from vocabula.training import Trainer, load_config


def clocked(function: Callable[..., Any], record: list[float]) -> Callable[..., Any]:
    """The function, its seconds appended to `record` at every call."""

    def timed(*args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter()
        result = function(*args, **kwargs)
        record.append(time.perf_counter() - started)
        return result

    return timed


def backward_seconds(quantizer: Quantizer, shape: torch.Size, repeats: int = 50) -> float:
    """Median seconds of the quantizer's backward pass alone."""
    seconds = []
    for _ in range(repeats):
        z = torch.randn(shape, requires_grad=True)
        result = quantizer(z)
        gradient = torch.ones_like(result.values)
        started = time.perf_counter()
        torch.autograd.backward([result.values, result.loss], [gradient, torch.ones(())])
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def main() -> None:
    """Time the steps and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with train.parquet")
    parser.add_argument("--steps", type=int, default=400)
    options = parser.parse_args()
    config = load_config("cifar10", [])
    torch.manual_seed(0)
    tokenizer = build_tokenizer(config.sections, channels=3)
    trainer = Trainer(
        tokenizer,
        options=config.build("training"),
        optimizer=config.build("optimizer"),
        schedule=config.build("schedule"),
    )
    quantizer = tokenizer.quantizer
    forward: list[float] = []
    update: list[float] = []
    shapes: list[torch.Size] = []
    quantizer.register_forward_pre_hook(lambda _, args: shapes.append(args[0].shape))
    quantizer.forward = clocked(quantizer.forward, forward)  # type: ignore[method-assign]
    quantizer.update = clocked(quantizer.update, update)  # type: ignore[method-assign]
    data = config.build("data")
    source = data.open(str(options.data / "train.parquet"))
    steps: list[float] = []
    for batch in itertools.islice(data.train_batches(source, batch_size=32, seed=0), options.steps):
        started = time.perf_counter()
        trainer.train_step(batch.values)
        steps.append(time.perf_counter() - started)
    # The first 200 steps hold the fits of the codebook; the run has 10,000 steps like the others.
    steady = slice(200, None)
    step, ahead, learn = (statistics.median(x[steady]) for x in (steps, forward, update))
    behind = backward_seconds(quantizer, shapes[-1])
    write_result(
        "step-profile",
        {
            "preset": "cifar10",
            "median_ms": {
                "step": 1e3 * step,
                "quantizer_forward": 1e3 * ahead,
                "quantizer_backward": 1e3 * behind,
                "quantizer_update": 1e3 * learn,
            },
            "seconds_of_first_200_steps": sum(steps[:200]),
            "quantizer_seconds_of_first_200_steps": sum(forward[:200]) + sum(update[:200]),
            "quantizer_share": (ahead + behind + learn) / step,
        },
    )


if __name__ == "__main__":
    main()
