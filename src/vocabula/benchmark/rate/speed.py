"""How long it takes to write and to read the file of a picture, codec by codec."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from vocabula.benchmark.rate.picture_codecs import PictureCodec
from vocabula.codec import EntropyModel, read, to_bytes
from vocabula.tokenizers import SignalTokenizer

TIMED = 5
"""Pictures that are timed, the first ones."""
OURS = "vocabula"
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Speed:
    """Medians over the pictures that were timed, one at a time.

    Attributes:
        encode_seconds: from pixels to the bytes of a file.
        decode_seconds: and back.
    """

    encode_seconds: float
    decode_seconds: float


def measure_speeds(
    tokenizer: SignalTokenizer,
    model: EntropyModel,
    rivals: Sequence[PictureCodec],
    pictures: Sequence[NDArray[np.uint8]],
    qualities: Sequence[Mapping[str, int]],
) -> dict[str, Speed]:
    """Time our files with all stages, and each rival's of the nearest size below, or its smallest.

    Nothing else runs meanwhile; threads are those that each codec takes by itself, one for AVIF and
    JPEG XL. The first picture is encoded once before, so that no start is timed.

    Args:
        tokenizer: with a codebook.
        model: the entropy model.
        rivals: what to compare with.
        pictures: (H, W, C) each, at least one.
        qualities: each rival's quality for each of these pictures, or for more.
    """
    ours: list[tuple[float, float]] = []
    theirs: dict[str, list[tuple[float, float]]] = {rival.name: [] for rival in rivals}
    for i, pixels in enumerate(pictures):
        image = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None]
        if not i:
            read(to_bytes(image, tokenizer, entropy=model), tokenizer, models=[model])
        content, encode = _timed(to_bytes, image, tokenizer, entropy=model)
        _, decode = _timed(read, content, tokenizer, models=[model])
        ours.append((encode, decode))
        for rival in rivals:
            file, encode = _timed(rival.encode, pixels, qualities[i][rival.name])
            _, decode = _timed(rival.decode, file, pixels.shape[2])
            theirs[rival.name].append((encode, decode))
    return {
        name: Speed(*(statistics.median(seconds) for seconds in zip(*pairs, strict=True)))
        for name, pairs in {OURS: ours, **theirs}.items()
    }


def _timed(work: Callable[..., Result], *args: Any, **options: Any) -> tuple[Result, float]:
    """What a function gives, and its seconds."""
    started = time.perf_counter()
    found = work(*args, **options)
    return found, time.perf_counter() - started
