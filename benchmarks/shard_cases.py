"""What the benchmarks of shards share: a tokenizer, pictures and forked processes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from vocabula.errors import VocabulaError
from vocabula.tokenizers import SignalTokenizer, build_tokenizer


def tokenizer(hidden: int = 32) -> SignalTokenizer:
    """An untrained tokenizer of colour pictures, with books that fit what its encoder gives."""
    torch.manual_seed(0)
    networks = {"name": "vqvae", "hidden": hidden, "residual_hidden": hidden, "downsample": 4}
    quantizer = {"name": "vector", "dim": 16, "codebook_size": 256, "initialization": "kmeans"}
    made = build_tokenizer({"encoder": networks, "decoder": networks, "quantizer": quantizer}, 3)
    made.train()(torch.rand(16, 3, 32, 32))
    return made.eval()


def pictures(folder: Path, count: int, side: int = 64) -> Path:
    """Smooth pictures in two folders, and one that is broken behind its header."""
    rng = np.random.default_rng(0)
    for number in range(count):
        place = folder / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        small = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(small).resize((side, side), Image.BICUBIC).save(place / f"{number:05}.png")
    whole = (folder / "a/00000.png").read_bytes()
    (folder / "a/00000-broken.png").write_bytes(whole[: len(whole) // 2])
    return folder


def forked(work: Callable[[], object]) -> int:
    """The number of a process that does some work; its exit code is 2 for an error of one line."""
    number = os.fork()
    if number:
        return number
    try:
        work()
    except VocabulaError as error:
        print(f"  {str(error)[-120:]}")
        os._exit(2)
    except BaseException as error:
        print(f"  {error!r}")
        os._exit(1)
    os._exit(0)


def exit_code(number: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])


def content(folder: Path) -> dict[str, str]:
    """The hash of all that a folder holds."""
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}
