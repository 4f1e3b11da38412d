"""Train a preset, measure it on the test split, and record both.

    python benchmarks/preset.py DATA cifar10
    python benchmarks/preset.py DATA cifar10 --name large-codebook \
        quantizer.codebook_size=8192 training.steps=1000

DATA is a folder with ``train.parquet`` and ``test.parquet`` (Hugging Face image feature).
"""

from __future__ import annotations

import argparse
import math
import tempfile
from pathlib import Path

from common import variance, write_result

from vocabula import load, open_source
from vocabula.evaluation import evaluate
from vocabula.training import load_config, train


def main() -> None:
    """Train, evaluate, write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with train.parquet and test.parquet")
    parser.add_argument("preset")
    parser.add_argument("overrides", nargs="*", help="section.option=value")
    parser.add_argument("--name", help="name of the result; default: the preset's")
    parser.add_argument("--out", type=Path, help="keep the run in this folder")
    options = parser.parse_intermixed_args()
    name = options.name or options.preset
    config = load_config(options.preset, options.overrides)
    train_data, test_data = (str(options.data / f"{s}.parquet") for s in ("train", "test"))
    with tempfile.TemporaryDirectory() as scratch:
        out = options.out or Path(scratch) / "run"
        last = train(config, train_data, out, overwrite=True)
        tokenizer = load(out)
        test = evaluate(tokenizer, open_source(test_data), progress=True).to_dict()
    spread = variance(train_data)
    write_result(
        name,
        {
            "preset": options.preset,
            "overrides": options.overrides,
            "seed": config.sections["training"].get("seed", 0),
            "steps": last["steps"],
            "train_variance": spread,
            "last_100_batches": {
                "mse_over_variance": last["mse"] / spread,
                "psnr": -10 * math.log10(last["mse"]),
                "perplexity": last.get("perplexity"),
                "grad_norm": last.get("grad_norm"),
            },
            "seconds": last["seconds"],
            "test": {**test, "data": "DATA/test.parquet"},
        },
    )


if __name__ == "__main__":
    main()
