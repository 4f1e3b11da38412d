"""Bytes of CIFAR-10's test images under each entropy model, with the committed portable prior.

    python benchmarks/portable.py DATA

DATA holds cifar10/test.parquet. Tokenizer and portable prior are in benchmarks/models/cifar10;
they were made with

    vocabula train DATA/cifar10/train.parquet --preset cifar10 --out flat
    vocabula counts flat DATA/cifar10/train.parquet
    vocabula encode flat DATA/cifar10/train.parquet -o train-codes.parquet
    vocabula train-prior flat train-codes.parquet --model portable --out cifar10 training.steps=6000

Every file is read again and compared. The portable model's bits stand beside the nats of the same
weights in floating point, rounded to their steps and not rounded at all.
"""

from __future__ import annotations

import argparse
import io
import math
import time
from pathlib import Path
from typing import Any

import common
import numpy as np
import torch
from numpy.typing import NDArray

from vocabula import codec, open_source
from vocabula.codec.models import EntropyModel
from vocabula.codec.span import Block
from vocabula.priors import Generator, load_generator
from vocabula.tokenizers.inference import inference

MODEL = common.ROOT / "benchmarks/models/cifar10"
COUNTS = (1, 100, 1000, 10_000)
SINGLE = 200
"""Images that are each a file of their own."""
FLOATS = 1024
"""Images of a batch in floating point."""


def encoded(generator: Generator, path: Path, limit: int) -> NDArray[np.int64]:
    """Codes (N, h, w) of the first images of a file."""
    found = []
    with inference(generator.tokenizer) as device:
        for batch in open_source(path).batches(batch_size=64, limit=limit):
            found.append(generator.tokenizer.encode(batch.values.to(device)).cpu())
    return torch.cat(found).numpy()


def written(codes: NDArray[np.int64], sizes: list[int], model: EntropyModel) -> int:
    """Bytes of one file of codes, which is read again and compared."""
    file = io.BytesIO()
    codec.write_codes(file, list(codes), sizes, entropy=model, jobs=1)
    back = codec.read_codes(file.getvalue(), models=[model], jobs=1).codes
    assert np.array_equal(np.stack(back), codes), "a file decodes to its codes"
    return len(file.getvalue())


def float_bits(generator: Generator, codes: NDArray[np.int64], *, steps: bool) -> float:
    """Bits a code of the prior in floating point."""
    prior = generator.priors[0]
    prior.steps = steps
    nats = 0.0
    with torch.inference_mode():
        for part in torch.from_numpy(codes).split(FLOATS):
            nats -= float(prior.log_probs(part).double().sum())
    prior.steps = True
    return nats / math.log(2) / codes.size


def integer_bits(model: EntropyModel, codes: NDArray[np.int64], symbols: int) -> float:
    """Bits a code of an entropy model's own probabilities."""
    grids = ((len(codes), codes.shape[1:]),)
    block = Block(((symbols,),), (grids,), [codes.reshape(-1).astype(np.uint32)])
    return model.bits(block, 0) / codes.size


def speed(model: EntropyModel, codes: NDArray[np.int64], sizes: list[int]) -> dict[str, float]:
    """Thousand codes a second of writing and reading one file."""
    file = io.BytesIO()
    start = time.perf_counter()
    codec.write_codes(file, list(codes), sizes, entropy=model)
    middle = time.perf_counter()
    codec.read_codes(file.getvalue(), models=[model])
    end = time.perf_counter()
    return {
        "write_thousand_per_second": codes.size / 1e3 / (middle - start),
        "read_thousand_per_second": codes.size / 1e3 / (end - middle),
    }


def main() -> None:
    """Measure, print and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with cifar10/test.parquet")
    parser.add_argument("--limit", type=int, default=10_000, help="test images")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    generator = load_generator(MODEL)
    tokenizer = generator.tokenizer
    statistics = tokenizer.code_statistics
    codes = encoded(generator, options.data / "cifar10/test.parquet", options.limit)
    sizes = list(tokenizer.quantizer.codebook_sizes)
    portable = codec.PortableModel(generator.priors)
    models: dict[str, EntropyModel] = {
        "fixed length": codec.choose_model("uniform", None),
        "static": codec.choose_model("static", statistics),
        "adaptive, nothing known": codec.choose_model("adaptive", None),
        "adaptive": codec.choose_model("adaptive", statistics),
        "portable": portable,
    }
    rows: list[dict[str, Any]] = []
    for count in [n for n in COUNTS if n <= len(codes)]:
        found = {name: written(codes[:count], sizes, model) for name, model in models.items()}
        rows.append({"images": count, "codes": codes[:count].size, "bytes": found})
        print(rows[-1], flush=True)
    each = {
        name: sum(written(codes[i : i + 1], sizes, model) for i in range(SINGLE))
        for name, model in models.items()
    }
    figures = {
        "tokenizer": tokenizer.fingerprint(),
        "prior": generator.priors[0].fingerprint(),
        "parameters": sum(p.numel() for p in generator.priors[0].parameters()),
        "files": rows,
        "a_file_each": {"images": SINGLE, "bytes": each},
        "portable_over_adaptive": rows[-1]["bytes"]["portable"] / rows[-1]["bytes"]["adaptive"],
        "bits_per_code": {
            "integers": integer_bits(portable, codes, sizes[0]),
            "float, on steps": float_bits(generator, codes, steps=True),
            "float": float_bits(generator, codes, steps=False),
        },
        "speed": speed(portable, codes, sizes),
    }
    common.write_result("portable", figures)


if __name__ == "__main__":
    main()
