"""Colour profiles of pictures in the header of a file, each profile once."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from vocabula.codec.integers import Packer, Unpacker, damaged
from vocabula.codec.layout import Attachment
from vocabula.data.bare_pictures import LARGEST_PROFILE
from vocabula.data.color_profile import color_profile, means_srgb
from vocabula.data.image_problems import DataWarning

_MOST_BYTES = 2**26  # bytes of all profiles of a file, unpacked


def profile_to_keep(path: Path, channels: int, *, exact: bool) -> bytes:
    """The colour profile that is stored with a picture; empty where there is none.

    A warning says if a profile does not apply to the stored pixels.

    Args:
        path: the picture.
        channels: number of channels that are stored.
        exact: keep the profile even if it says what is assumed without one.
    """
    profile, lost = color_profile(path, channels)
    if lost:
        warnings.warn(f"{path}: leaving out its colour profile, {lost}", DataWarning, stacklevel=2)
    return profile if exact or (profile and not means_srgb(profile)) else b""


def profile_attachment(profiles: Sequence[bytes]) -> Mapping[int, bytes]:
    """The attachments that store profiles in the header; empty if there are none.

    Args:
        profiles: the profile of each signal, in order; empty bytes for a signal without one.
    """
    different = list(dict.fromkeys(filter(None, profiles)))
    if not different:
        return {}
    body = Packer()
    body.varint(len(different))
    for profile in different:
        packed = zlib.compress(profile, 9)
        body.varint(len(packed))
        body.raw(packed)
    for profile in profiles:
        body.varint(different.index(profile) + 1 if profile else 0)
    return {Attachment.PROFILES: body.content()}


def profiles_of(attachments: Mapping[int, bytes], name: str) -> list[bytes]:
    """The profile of each signal; empty if the header has none.

    Args:
        attachments: attachments of the header.
        name: what messages call the file.

    Raises:
        CodecError: they are damaged, or unpack to more than 16 MiB each or 64 MiB together.
    """
    content = attachments.get(Attachment.PROFILES)
    if content is None:
        return []
    body = Unpacker(content, name)
    different = [b""]
    for _ in range(body.between("colour profiles", 1, len(content))):
        different.append(_unpacked(body.raw(body.varint()), name))
        if sum(map(len, different)) > _MOST_BYTES:
            raise damaged(name, f"colour profiles of at most {_MOST_BYTES} bytes", "more")
    places = []
    while body.left:
        places.append(body.between("place of a colour profile", 0, len(different) - 1))
    return [different[place] for place in places]


def _unpacked(packed: bytes, name: str) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        profile = unpacker.decompress(packed, LARGEST_PROFILE)
    except zlib.error:
        raise damaged(name, "colour profiles that unpack", "others") from None
    if not unpacker.eof or unpacker.unused_data or not profile:
        raise damaged(name, "whole colour profiles", "one that is cut or too long")
    return profile
