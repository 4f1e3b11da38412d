"""The bytes of a compressed file: integers, checksums and the meaning of its numbers.

docs/vcb.md specifies the format byte by byte.
"""

from __future__ import annotations

import enum
import zlib

from vocabula.errors import CodecError

MAGIC = b"\x89VCB"
"""The first four bytes; one is no ASCII, so that a transfer as text shows at once."""
VERSION = 1
"""Version of the format; independent of the library's."""
LONGEST_VARINT = 8


class Role(enum.IntEnum):
    """What a stage of streams holds."""

    CODES = 0  # a tokenizer's codes
    RESIDUAL = 1  # the signal itself, coded given what its codes decode to


class ModelId(enum.IntEnum):
    """The kinds of entropy models; see docs/vcb.md."""

    UNIFORM = 0
    STATIC = 1
    ADAPTIVE = 2
    PORTABLE = 3
    PRIOR = 4
    PIXELS = 5


class Attachment(enum.IntEnum):
    """Further content of the header."""

    NAMES = 1  # of the signals, UTF-8, each ended by a zero byte
    CODEBOOK = 2  # of blocks of pixels, so that no tokenizer is needed
    BUILD = 3  # what a network ran on, UTF-8
    PROFILES = 4  # ICC profiles of the signals' colours
    SIGNAL = 5  # the axes and the name of a kind of signals without a number of its own


class Packer:
    """Packs integers into bytes, little-endian."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def raw(self, content: bytes) -> None:
        """Append bytes."""
        self._parts.append(content)

    def fixed(self, width: int, value: int) -> None:
        """Append an unsigned integer of `width` bytes."""
        self._parts.append(value.to_bytes(width, "little"))

    def varint(self, value: int) -> None:
        """Append an unsigned integer in groups of 7 bits, lowest first; all but the last + 128."""
        content = bytearray()
        while value > 0x7F:
            content.append(value & 0x7F | 0x80)
            value >>= 7
        content.append(value)
        self._parts.append(bytes(content))

    def content(self) -> bytes:
        """Everything so far."""
        return b"".join(self._parts)


class Unpacker:
    """Reads integers from bytes; a missing byte is a `CodecError`.

    Args:
        content: the bytes.
        name: what messages call the file.
    """

    def __init__(self, content: bytes, name: str) -> None:
        self._content, self._name, self._at = content, name, 0

    @property
    def left(self) -> int:
        """Number of bytes not yet read."""
        return len(self._content) - self._at

    def raw(self, count: int) -> bytes:
        """The next `count` bytes."""
        if count > self.left:
            raise self.damaged(f"{count} more bytes", f"{self.left}")
        self._at += count
        return self._content[self._at - count : self._at]

    def fixed(self, width: int) -> int:
        """An unsigned integer of `width` bytes."""
        return int.from_bytes(self.raw(width), "little")

    def varint(self) -> int:
        """An unsigned integer below 2^56 in its shortest form."""
        value = 0
        for place in range(LONGEST_VARINT):
            byte = self.fixed(1)
            value |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                if byte == 0 and place:
                    raise self.damaged("an integer in its shortest form", "a longer one")
                return value
        raise self.damaged(f"an integer of at most {LONGEST_VARINT} bytes", "a longer one")

    def between(self, what: str, low: int, high: int) -> int:
        """A varint that must lie in [low, high]."""
        value = self.varint()
        if not low <= value <= high:
            raise self.damaged(f"{what} in [{low}, {high}]", str(value))
        return value

    def end(self) -> None:
        """Refuse bytes that have not been read."""
        if self.left:
            raise self.damaged("no further bytes", str(self.left))

    def damaged(self, expected: str, got: str) -> CodecError:
        """The error for content that no encoder writes."""
        return damaged(self._name, expected, got)


def damaged(name: str, expected: str, got: str) -> CodecError:
    """The error for a damaged file."""
    return CodecError(
        f"{name}: expected {expected}, got {got}; the file is damaged, copy it again or compress "
        "the original again"
    )


def checksum(content: bytes | memoryview, start: int = 0) -> int:
    """CRC-32 as in zip and PNG, continued from `start`."""
    return zlib.crc32(content, start)


def runs(values: list[tuple[int, ...]]) -> list[tuple[int, tuple[int, ...]]]:
    """Equal neighbours as (count, value)."""
    found: list[tuple[int, tuple[int, ...]]] = []
    for value in values:
        if found and found[-1][1] == value:
            found[-1] = (found[-1][0] + 1, value)
        else:
            found.append((1, value))
    return found
