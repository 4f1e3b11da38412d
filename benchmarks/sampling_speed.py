"""How fast priors draw codes: with a cache beside without, and beside transformers' `generate`.

    python benchmarks/sampling_speed.py

Untrained priors over a 16 x 16 grid with a book of 512 codes; what a draw costs does not depend on
the weights' values. Cached and uncached draw the same codes, which is checked. The Transformer is
also compared with the transformers library's own `generate` on the same module: sampling from all
codes, its cache on, 256 new tokens, one process. Contestants take turns; ratios are medians over
rounds of the two times of a round.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import common
import torch
import transformers

from vocabula.benchmark import record
from vocabula.priors import CodeGrid, PixelCNN, PixelSNAIL, Prior, TransformerPrior

GRID, BOOK = (16, 16), 512
CACHE_GOAL, GENERATE_GOAL = 10.0, 1.0
PRIORS: dict[str, Callable[[CodeGrid], Prior]] = {
    "pixelcnn": lambda codes: PixelCNN(codes, hidden=64, layers=6),
    "pixelsnail": lambda codes: PixelSNAIL(codes, hidden=64, blocks=2),
    "transformer, gpt2": lambda codes: TransformerPrior(codes, hidden=128, layers=4),
    "transformer, llama": lambda codes: TransformerPrior(
        codes, hidden=128, layers=4, architecture="llama"
    ),
}


def make(build: Callable[[CodeGrid], Prior], device: str) -> Prior:
    torch.manual_seed(0)
    return build(CodeGrid((BOOK,), GRID)).eval().to(device)


def seconds(function: Callable[[], Any], device: str) -> float:
    started = time.perf_counter()
    function()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def duel(
    ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int, device: str
) -> tuple[list[float], list[float]]:
    """Times of both, taking turns, the first of each round changing."""
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(rounds):
        order = (0, 1) if turn % 2 == 0 else (1, 0)
        for which in order:
            times[which].append(seconds((ours, theirs)[which], device))
    return times


def ratio(ours: list[float], theirs: list[float]) -> float:
    return statistics.median(b / a for a, b in zip(ours, theirs, strict=True))


def cache(options: argparse.Namespace) -> dict[str, Any]:
    """Cached beside uncached, for every prior."""
    found = {}
    for name, build in PRIORS.items():
        prior, shape = make(build, options.device), (options.batch, *GRID)
        drawn = {}

        def draw(cached: bool, prior: Prior = prior, drawn: dict[bool, Any] = drawn) -> None:
            drawn[cached] = prior.sample(shape, seed=0, cache=cached)  # noqa: B023

        draw(True)  # the first pass allocates
        ours, theirs = duel(
            lambda d=draw: d(True), lambda d=draw: d(False), options.rounds, options.device
        )
        numbers = torch.Generator().manual_seed(0)
        alone = [prior.sample((1, *GRID), generator=numbers) for _ in range(options.batch)]
        equal = float((drawn[True] == drawn[False]).double().mean())
        found[name] = {
            "parameters": sum(p.numel() for p in prior.parameters()),
            "cached_ms_per_position": 1e3 * statistics.median(ours) / (GRID[0] * GRID[1]),
            "uncached_ms_per_position": 1e3 * statistics.median(theirs) / (GRID[0] * GRID[1]),
            "times_as_fast": ratio(ours, theirs),
            "equal_codes": equal,
            "equal_codes_one_by_one": float((drawn[True] == torch.cat(alone)).double().mean()),
        }
        print(f"{name}: {found[name]['times_as_fast']:.1f} times as fast, {equal:.2%} equal")
    return found


def generate(options: argparse.Namespace) -> dict[str, Any]:
    """`TransformerPrior.sample` beside `generate` of the same module."""
    found = {}
    for architecture in ("gpt2", "llama"):
        prior = make(lambda codes: TransformerPrior(codes, architecture=architecture),  # noqa: B023
                     options.device)  # fmt: skip
        assert isinstance(prior, TransformerPrior)
        prompt = torch.full((64, 1), prior.vocabulary.start, device=options.device)
        arguments = {
            "attention_mask": torch.ones_like(prompt),
            "max_new_tokens": GRID[0] * GRID[1],
            "do_sample": True,
            "top_k": 0,
            "use_cache": True,
            "pad_token_id": 0,
        }

        def ours(prior: TransformerPrior = prior) -> None:
            prior.sample((64, *GRID), seed=0)

        def theirs(
            prior: TransformerPrior = prior,
            prompt: torch.Tensor = prompt,
            arguments: dict[str, Any] = arguments,
        ) -> None:
            with torch.inference_mode():
                assert prior.model.generate(prompt, **arguments).shape[1] == 257

        ours(), theirs()
        a, b = duel(ours, theirs, options.rounds, options.device)
        found[architecture] = {
            "parameters": sum(p.numel() for p in prior.parameters()),
            "ours_seconds": statistics.median(a),
            "generate_seconds": statistics.median(b),
            "times_as_fast": ratio(a, b),
        }
        print(f"{architecture}: {found[architecture]['times_as_fast']:.2f} times generate")
    return found


def main() -> None:
    """Time both comparisons and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=4, help="of cached beside uncached")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--name", default="sampling-speed", help="name of the result")
    options = parser.parse_args()
    words = [Path(sys.argv[0]).name, *map(shlex.quote, sys.argv[1:])]
    figures = {
        "goals": {"cached_over_uncached": CACHE_GOAL, "ours_over_generate": GENERATE_GOAL},
        "transformers": transformers.__version__,
        "device": options.device,
        "rounds": options.rounds,
        "grid": GRID,
        "codebook_size": BOOK,
        "cache": {"batch": options.batch, "priors": cache(options)},
        "generate": {"batch": 64, "new_tokens": GRID[0] * GRID[1], "models": generate(options)},
    }
    command = "python benchmarks/" + " ".join(words)
    common.write(record(options.name, command, torch.get_num_threads(), figures))


if __name__ == "__main__":
    main()
