"""Colour profiles: which hold for what is decoded, and which mean sRGB."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from vocabula.data.color_profile import color_profile, means_srgb


def encoded(mode: str, profile: bytes, form: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3)).convert(mode).save(
        file, form, icc_profile=profile
    )
    return file.getvalue()


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "WEBP", "AVIF"])
def test_profiles_of_every_format_are_found(form: str, srgb_profile: bytes) -> None:
    for channels in (3, 4):
        found = color_profile(encoded("RGB", srgb_profile, form), channels)
        assert found == (srgb_profile, "")


def test_a_profile_of_other_channels_does_not_hold(srgb_profile: bytes) -> None:
    grey, ink = (srgb_profile[:16] + space + srgb_profile[20:] for space in (b"GRAY", b"CMYK"))
    assert color_profile(encoded("L", grey), 1) == (grey, "")
    assert color_profile(encoded("L", grey), 3) == (b"", "it is for grey pictures")
    assert color_profile(encoded("CMYK", ink, "JPEG"), 3) == (b"", "it is for CMYK pictures")
    assert color_profile(encoded("RGB", srgb_profile), 1) == (b"", "it is for RGB pictures")
    assert color_profile(encoded("RGB", b"rubbish"), 3) == (b"", "")
    assert color_profile(encoded("RGB", b""), 3) == (b"", "")


def test_which_profile_means_srgb(srgb_profile: bytes, other_profile: bytes) -> None:
    assert means_srgb(srgb_profile)
    assert not means_srgb(other_profile)
    assert not means_srgb(srgb_profile[:200])
