"""What a tokenizer's files are compared with: picture formats, as Pillow writes them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import features

from vocabula.data.picture_formats import register
from vocabula.data.pixels import decode
from vocabula.data.png import picture
from vocabula.errors import DataError, OptionError, picture_size
from vocabula.files import one_line

CHANNELS = (1, 3)
"""Channels of pictures that all formats hold: grey and RGB."""


@dataclass(frozen=True)
class PictureCodec:
    """A lossy picture format of Pillow.

    Attributes:
        name: the format's name for readers.
        options: how it is written, apart from the quality.
        qualities: the qualities of its curve, rising; the first and last are its limits.
        format: its name for Pillow; empty for `name`.
    """

    name: str
    options: Mapping[str, object]
    qualities: tuple[int, ...]
    format: str = ""

    def encode(self, pixels: NDArray[np.uint8], quality: int) -> bytes:
        """Encode a picture as a file.

        Args:
            pixels: (H, W, 1) grey or (H, W, 3) RGB.
            quality: within the limits.

        Raises:
            DataError: the picture is too large for the format.
        """
        file = io.BytesIO()
        try:
            picture(pixels).save(file, self.format or self.name, quality=quality, **self.options)
        except (OSError, ValueError) as reason:
            size = picture_size(*pixels.shape[:2])
            raise DataError(
                f"rate: expected pictures that {self.name} can hold, got one of {size} "
                f"({one_line(str(reason))}); leave it out"
            ) from None
        return file.getvalue()

    def decode(self, content: bytes, channels: int) -> NDArray[np.uint8]:
        """Decode a file to a picture (H, W, channels)."""
        return decode(content, channels)


# libjpeg takes 0 as 1. Pillow subsamples JPEG's colours 4:2:0 by default; lossy WebP always does.
JPEG = PictureCodec(
    "JPEG", {"optimize": True}, (1, 3, 5, 7, 10, 15, 20, 30, 40, 50, 60, 70, 80, 90, 95, 100)
)
WEBP = PictureCodec("WebP", {"method": 6}, (0, 2, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100))
AVIF = PictureCodec("AVIF", {"speed": 6, "max_threads": 1}, (1, 5, *range(10, 91, 10), 100))
# 100 is lossless JPEG XL, another mode.
JPEG_XL = PictureCodec(
    "JPEG XL", {"num_threads": 1}, (1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99), "JXL"
)


def picture_codecs() -> tuple[PictureCodec, ...]:
    """JPEG and WebP; AVIF where Pillow has it, JPEG XL where pillow-jxl-plugin is installed."""
    found = [JPEG, WEBP]
    if features.check("avif"):
        found.append(AVIF)
    if register("JXL"):
        found.append(JPEG_XL)
    return tuple(found)


def check_channels(channels: int) -> None:
    """Refuse images that the formats cannot hold.

    Raises:
        OptionError: they do not have one or three channels.
    """
    if channels not in CHANNELS:
        raise OptionError(
            f"rate: expected a tokenizer of 1 or 3 channels, which picture formats hold, got "
            f"{channels}; compress and evaluate measure others"
        )
