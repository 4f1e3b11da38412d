"""What another format makes of a picture, which reports show beside ours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Rival:
    """What another format makes of a picture in about as many bytes.

    Attributes:
        name: of the format.
        pixels: (H, W, C) uint8, decoded.
        bytes: of its file.
        own_bytes: of the tokenizer's file.
    """

    name: str
    pixels: NDArray[np.uint8]
    bytes: int
    own_bytes: int
