"""A picture in another format, which reports show beside ours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Rival:
    """A picture in another format, in a file of about the same size.

    Attributes:
        name: name of the format.
        pixels: (H, W, C) uint8, decoded.
        bytes: size of its file.
        own_bytes: size of the tokenizer's file.
    """

    name: str
    pixels: NDArray[np.uint8]
    bytes: int
    own_bytes: int
