"""Names of signals in few bytes: what each shares with the one before, then zlib.

Names of recordings are long beside their codes, and alike.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from vocabula.codec.integers import Packer, Unpacker, damaged


def pack_names(names: Sequence[str]) -> bytes:
    """Names as a zlib stream of (bytes shared with the name before, the other bytes, zero)."""
    body, before = Packer(), b""
    for name in names:
        content = name.encode()
        shared = _shared(before, content)
        body.varint(shared)
        body.raw(content[shared:] + b"\0")
        before = content
    return zlib.compress(body.content(), 9)


def _shared(one: bytes, other: bytes) -> int:
    """The length of the longest common start."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def unpack_names(content: bytes, name: str, most: int | None = None) -> list[str]:
    """The names again.

    Args:
        content: what `pack_names` gave.
        name: what messages call the file.
        most: bytes that all names may take together; None takes any number.

    Raises:
        CodecError: the bytes are no such stream, or the names are longer.
    """
    stream = zlib.decompressobj()
    try:
        plain = stream.decompress(content, 0 if most is None else most + 1)
    except zlib.error:
        raise damaged(name, "names in a zlib stream", "other bytes") from None
    if not stream.eof or stream.unused_data:
        raise damaged(name, "names in one whole zlib stream", "a longer or a cut one")
    body, before, total = Unpacker(plain, name), b"", 0
    names = []
    while body.left:
        shared = body.between("bytes shared with the name before", 0, len(before))
        before = before[:shared] + _rest(body, plain)
        total += len(before)
        if most is not None and total > most:
            raise damaged(name, f"names of at most {most} bytes", "more")
        try:
            names.append(before.decode())
        except UnicodeDecodeError:
            raise damaged(name, "names in UTF-8", "other bytes") from None
    return names


def _rest(body: Unpacker, plain: bytes) -> bytes:
    """The bytes up to the next zero, which is passed over."""
    at = len(plain) - body.left
    end = plain.find(b"\0", at)
    if end < 0:
        raise body.damaged("names that end with a zero byte", "a cut one")
    return body.raw(end - at + 1)[:-1]
