"""Both forms of finite scalar quantization beside each other on CIFAR-10.

    python benchmarks/finite_scalar.py DATA
    python benchmarks/finite_scalar.py DATA --steps 600 --limit 2000 --hidden 32

DATA is a folder with ``train.parquet`` and ``test.parquet`` (Hugging Face image feature). The
networks, batches and optimizer are those of the preset `cifar10-fsq`, the networks narrower with
--hidden; only the quantizer differs.
Runs of equal levels have equal seeds. One table of levels is the paper's, the other has components
of 2 and 4 levels, at which the forms differ most.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from common import write_result

from vocabula import load, open_source
from vocabula.evaluation import evaluate
from vocabula.training import load_config, train

LEVELS = [[8, 5, 5, 5], [4, 4, 4, 2, 2, 2]]
FORMS: dict[str, list[str]] = {
    "published": [],
    "symmetric": ["quantizer.symmetric=true"],
}


def run(data: Path, limit: int | None, overrides: list[str]) -> dict[str, Any]:
    """Train on the training split, and measure on the test split."""
    config = load_config("cifar10-fsq", overrides)
    with tempfile.TemporaryDirectory() as scratch:
        last = train(config, str(data / "train.parquet"), Path(scratch) / "run")
        source = open_source(str(data / "test.parquet"))
        test = evaluate(load(Path(scratch) / "run"), source, limit=limit)
    found = test.to_dict()
    kept = ("mse", "psnr", "perplexity", "usage", "code_bits_per_pixel")
    return {"seconds": last["seconds"], **{name: found[name] for name in kept}}


def main() -> None:
    """Train and measure every form with every table of levels, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with train.parquet and test.parquet")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, help="test pictures; default: all")
    parser.add_argument("--hidden", type=int, default=128, help="width of the networks")
    options = parser.parse_args()
    shared = [
        *(f"training.{name}={getattr(options, name)}" for name in ("steps", "seed")),
        *(f"{network}.hidden={options.hidden}" for network in ("encoder", "decoder")),
    ]
    runs = [
        {"levels": levels, "form": form}
        | run(options.data, options.limit, [*shared, f"quantizer.levels={levels}", *chosen])
        for levels in LEVELS
        for form, chosen in FORMS.items()
    ]
    figures = {
        "steps": options.steps,
        "seed": options.seed,
        "hidden": options.hidden,
        "test_pictures": options.limit or 10_000,
        "runs": runs,
    }
    write_result("finite-scalar", figures)


if __name__ == "__main__":
    main()
