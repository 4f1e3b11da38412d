"""Colour profiles in the header of files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vocabula import codec
from vocabula.codec.layout import Attachment
from vocabula.codec.profiles import profile_attachment, profiles_of
from vocabula.data import DataWarning
from vocabula.errors import CodecError
from vocabula.pipelines.blocks import write_block_files
from vocabula.pipelines.decompress import decompress_files

from . import specified


def test_each_profile_stands_once_and_the_specification_suffices() -> None:
    profiles = [b"", b"one" * 99, b"two" * 99, b"one" * 99]
    attached = profile_attachment(profiles)
    assert profiles_of(attached, "x") == profiles
    assert specified.profiles(attached[Attachment.PROFILES], 4) == profiles
    assert len(attached[Attachment.PROFILES]) < 60
    assert profile_attachment([b"", b""]) == {} and profiles_of({}, "x") == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "more bytes"),
        (b"\1\2ab", "that unpack"),
        (b"\1\0", "whole colour profiles"),
        (profile_attachment([b"a"])[4][:-1] + b"\2", "place of a colour profile"),
        (profile_attachment([bytes(2**24 + 1)])[4], "cut or too long"),
    ],
)
def test_damaged_profiles_are_refused(content: bytes, message: str) -> None:
    with pytest.raises(CodecError, match=message):
        profiles_of({Attachment.PROFILES: content}, "x.vcb")


def picture(path: Path, profile: bytes, mode: str = "RGB") -> Path:
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3) * 5
    Image.fromarray(pixels).convert(mode).save(path, icc_profile=profile)
    return path


def shown(path: Path) -> bytes | None:
    with Image.open(path) as opened:
        return opened.info.get("icc_profile")


def test_blocks_keep_what_is_not_srgb(
    tmp_path: Path, srgb_profile: bytes, other_profile: bytes
) -> None:
    each = (other_profile, b"", srgb_profile)
    files = [picture(tmp_path / f"{i}.png", profile) for i, profile in enumerate(each)]
    write_block_files(files, tmp_path / "all.vcb")
    places = decompress_files(None, [tmp_path / "all.vcb"], tmp_path / "back")
    assert [shown(place) for place in places] == [other_profile, None, None]
    write_block_files(files[1:2], tmp_path / "none")
    assert Attachment.PROFILES not in codec.inspect(tmp_path / "none" / "1.vcb").header.attachments


def test_a_profile_that_does_not_hold_is_said(tmp_path: Path, srgb_profile: bytes) -> None:
    ink = srgb_profile[:16] + b"CMYK" + srgb_profile[20:]
    file = picture(tmp_path / "a.jpg", ink, "CMYK")
    with pytest.warns(DataWarning, match=r"a\.jpg: leaving out its colour profile, it is for CMYK"):
        write_block_files([file], tmp_path / "a.vcb")
    (back,) = decompress_files(None, [tmp_path / "a.vcb"], tmp_path)
    assert shown(back) is None
