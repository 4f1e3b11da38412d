"""Colour profiles of pictures (ICC), which define what colours their pixels stand for."""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from vocabula.data.bare_pictures import LARGEST_PROFILE
from vocabula.data.picture_file import with_picture

_SPACES = {1: b"GRAY", 3: b"RGB ", 4: b"RGB "}
_NAMES = {b"GRAY": "grey", b"RGB ": "RGB"}
_SHORTEST = 128  # size of the header alone
_EQUAL = 2  # of 255: rounding in two places


def color_profile(file: Path | bytes, channels: int) -> tuple[bytes, str]:
    """The profile that applies to what `decode` gives, exactly as the file stores it.

    Args:
        file: a path, or the bytes of a file, that `read_header` reads.
        channels: 1 (grey), 3 (RGB) or 4 (RGBA) that it is decoded to.

    Returns:
        The profile, empty if there is none; and the reason, in words, if it does not apply.
    """
    profile = with_picture(file, lambda picture: picture.info.get("icc_profile"))
    if not isinstance(profile, bytes) or len(profile) < _SHORTEST or profile[36:40] != b"acsp":
        return b"", ""
    if len(profile) > LARGEST_PROFILE:
        return b"", f"more than {LARGEST_PROFILE:,} bytes"
    space = profile[16:20]
    if space != _SPACES[channels]:
        made = space.decode("ascii", "replace").strip()
        return b"", f"it is for {_NAMES.get(space, made)} pictures"
    return profile, ""


@lru_cache(maxsize=64)
def means_srgb(profile: bytes) -> bool:
    """Whether a profile says what is assumed without one: that colours are sRGB.

    It must leave a grid of colours unchanged. If Pillow cannot convert them, the answer is no.
    """
    from PIL import ImageCms  # where Pillow is built without it, its functions raise ImportError

    steps = np.linspace(0, 255, 6).astype(np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3)
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        shown = ImageCms.profileToProfile(
            Image.fromarray(grid),
            own,
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        )
    except (ImportError, OSError, ValueError, TypeError, ImageCms.PyCMSError):
        return False
    return int(np.abs(np.asarray(shown).astype(int) - grid).max()) <= _EQUAL
