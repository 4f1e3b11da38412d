"""A JPEG file as large as the tokenizer's file of a picture, for reports."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from vocabula.benchmark.rate.matching import RivalPicture
from vocabula.benchmark.rate.picture_codecs import CHANNELS, JPEG
from vocabula.codec import to_bytes
from vocabula.evaluation.rival import Rival
from vocabula.tokenizers import SignalTokenizer


def jpeg_beside(
    tokenizer: SignalTokenizer,
) -> Callable[[NDArray[np.uint8]], Rival] | None:
    """A function that gives a JPEG file as large as the tokenizer's file of a picture.

    The tokenizer's file is a whole ``.vcb`` file with the adaptive entropy model. If even the
    smallest JPEG file is larger, it gives that one.

    Returns:
        A function of a picture (H, W, C) uint8; None where there is nothing to compare: the
        tokenizer is continuous, or JPEG does not support its channels.
    """
    if tokenizer.channels not in CHANNELS or not all(x.codebook_sizes for x in tokenizer.levels):
        return None

    def beside(pixels: NDArray[np.uint8]) -> Rival:
        image = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
        own = len(to_bytes(image[None], tokenizer))
        rival = RivalPicture(JPEG, pixels)
        quality = rival.quality_for(own)
        return Rival(JPEG.name, rival.pixels(quality), rival.size(quality), own)

    return beside
