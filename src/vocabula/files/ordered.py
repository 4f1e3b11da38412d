"""Bytes of safetensors files in a fixed order, so that equal contents give equal files."""

from __future__ import annotations

import json

_LENGTH, _UNIT = 8, 8  # bytes of the header's length; the header is a multiple of it


def in_stable_order(content: bytes) -> tuple[bytes, memoryview]:
    """A safetensors file with its metadata sorted by key.

    The library writes them in an order that changes from call to call.

    Args:
        content: the result of the library's ``save``.

    Returns:
        The new header, and the tensors as they are in `content`: together, the file.

    Source: the README of safetensors, "Format": 8 bytes of length, little-endian,
        a header of JSON padded with spaces, and the tensors at offsets from its end.
    """
    length = int.from_bytes(content[:_LENGTH], "little")
    header = json.loads(content[_LENGTH : _LENGTH + length])
    if "__metadata__" in header:
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _UNIT)
    start = len(text).to_bytes(_LENGTH, "little") + text
    return start, memoryview(content)[_LENGTH + length :]
