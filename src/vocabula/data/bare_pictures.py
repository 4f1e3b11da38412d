"""Picture files reduced to what their pixels need, and the metadata that follows the pixels."""

from __future__ import annotations

import contextlib
import struct
import zlib
from collections.abc import Iterator
from typing import IO, Any

from PIL import PngImagePlugin

SIGNATURE = b"\x89PNG\r\n\x1a\n"
STRIPPED = (SIGNATURE, b"\xff\xd8")
"""First bytes of the files that `pixels_alone` knows: PNG and JPEG."""
LARGEST_PROFILE = 2**24
"""Bytes of a colour profile, unpacked; Pillow alone reads up to 1 MiB in PNG files."""

_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_NOTES = (b"eXIf", b"tEXt", b"zTXt", b"iTXt")
_LONGEST_NOTE = 2**20
_MOST_CHUNKS = 2**16
_EXIF = b"Exif\0\0"
_SCAN = 0xDA


def info_behind_pixels(file: IO[bytes]) -> dict[Any, Any]:
    """The orientation noted in the chunks between a PNG file's pixels and its end.

    The pixels are skipped, in a few steps if their chunks have equal size.

    Args:
        file: positioned at the data of its first chunk of pixels, and left there.

    Returns:
        Entries for Pillow's ``info``.
    """
    place = file.tell()
    stream = PngImagePlugin.PngStream(file)
    try:
        at = _after_pixels(file, place - 8)
        for _ in range(_MOST_CHUNKS):
            length, name = _head(file, at)
            if name in (b"", b"IEND"):
                break
            if name in _NOTES and length <= _LONGEST_NOTE:
                with contextlib.suppress(ValueError, SyntaxError, OSError):  # a damaged chunk
                    stream.call(name, at + 8, length)
            at += 12 + length
    finally:
        file.seek(place)
    wanted = ("exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif")
    return {key: stream.im_info[key] for key in wanted if key in stream.im_info}


def _after_pixels(file: IO[bytes], at: int) -> int:
    """Where the first chunk without pixels begins, starting from a chunk with pixels."""
    while True:
        head = _head(file, at)
        if head[1] != b"IDAT":
            return at
        size, count = 12 + head[0], 1
        while _head(file, at + 2 * count * size) == head:  # 64 bits, unlikely in pixels
            count *= 2
        at += count * size


def _head(file: IO[bytes], at: int) -> tuple[int, bytes]:
    """Length and name of the chunk at an offset; the name is empty at the end of the file."""
    file.seek(at)
    head = file.read(8)
    return int.from_bytes(head[:4], "big"), head[4:] if len(head) == 8 else b""


def pixels_alone(content: bytes) -> tuple[bytes, dict[Any, Any]] | None:
    """A PNG or JPEG file with only its pixels, and the metadata that is worth keeping.

    Readers refuse files for content unrelated to their pixels: texts that are too long, damaged, or
    unpack to more than a limit.

    Args:
        content: the file.

    Returns:
        The shorter file and entries for Pillow's ``info``: EXIF data and the colour profile. None
        if it is neither, or holds only pixels.
    """
    if content.startswith(SIGNATURE):
        return _bare_png(content)
    return _bare_jpeg(content) if content.startswith(STRIPPED[1]) else None


def _bare_png(content: bytes) -> tuple[bytes, dict[Any, Any]] | None:
    kept, info, dropped = [SIGNATURE], dict[Any, Any](), False
    for name, data in _chunks(content):
        if name in _PIXELS:
            kept.append(struct.pack(">I", len(data)) + name + data)
            kept.append(struct.pack(">I", zlib.crc32(name + data)))
            continue
        dropped = True
        if name == b"eXIf":
            info["exif"] = _EXIF + data
        elif name == b"iCCP":
            info["icc_profile"] = _profile(data)
    return (b"".join(kept), info) if dropped else None


def _bare_jpeg(content: bytes) -> tuple[bytes, dict[Any, Any]] | None:
    kept, info, at = [content[:2]], dict[Any, Any](), 2
    while at + 4 <= len(content) and content[at] == 0xFF and content[at + 1] != _SCAN:
        end = at + 2 + int.from_bytes(content[at + 2 : at + 4], "big")
        marker, data = content[at + 1], content[at + 4 : end]
        if marker == 0xE1 and data.startswith(_EXIF):
            info.setdefault("exif", data)
        of_pixels = not 0xE0 <= marker <= 0xEF and marker != 0xFE  # application data and comments
        profile = marker == 0xE2 and data.startswith(b"ICC_PROFILE\0") and len(data) > 13
        colours = marker == 0xEE and data.startswith(b"Adobe") and len(data) > 11
        if of_pixels or profile or colours:
            kept.append(content[at:end])
        at = end
    kept.append(content[at:])
    bare = b"".join(kept)
    return (bare, info) if len(bare) < len(content) else None


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and data of each chunk; the last one may be cut."""
    at = len(SIGNATURE) if content.startswith(SIGNATURE) else len(content)
    while at + 8 <= len(content):
        length, name = struct.unpack_from(">I4s", content, at)
        yield name, content[at + 8 : at + 8 + length]
        at += 12 + length


def _profile(data: bytes) -> bytes:
    """The colour profile of an iCCP chunk; empty where it is damaged or too large."""
    _, _, packed = data.partition(b"\0")
    unpacker = zlib.decompressobj()
    try:
        profile = unpacker.decompress(packed[1:], LARGEST_PROFILE)
    except zlib.error:
        return b""
    return profile if unpacker.eof else b""
