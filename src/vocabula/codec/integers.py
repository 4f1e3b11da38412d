"""Integers as bytes, and back."""

from __future__ import annotations

import zlib

from vocabula.errors import CodecError

LONGEST_VARINT = 8


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
