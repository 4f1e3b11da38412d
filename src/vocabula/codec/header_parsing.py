"""Reads headers of compressed files, and refuses damaged ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vocabula.codec.header import (
    HASH,
    LONGEST_BUILD,
    MODEL_HASH,
    PIXEL_STRIDES,
    PREFIX,
    Header,
    ModelName,
    Stage,
)
from vocabula.codec.integers import Unpacker, checksum, damaged
from vocabula.codec.kinds import DIMENSIONS, GRID, FileKind, check_number, kind_in_file
from vocabula.codec.layout import MAGIC, VERSION, Attachment, ModelId, Role
from vocabula.codec.limits import MAX_SYMBOLS, Limits
from vocabula.codec.packed_names import unpack_names
from vocabula.errors import CodecError

_LARGEST_STRIDE = 2**20


_LARGEST_HEADER = 2**31


_CODEWORD_BYTES = 64
"""What the tables of an entropy model take in memory for a codeword."""


def header_length(prefix: bytes, name: str, limits: Limits) -> int:
    """Length of the whole header, from the first `PREFIX` bytes of a file.

    Raises:
        CodecError: it is not such a file, or has another version, unknown flags or too large a
            header.
    """
    if not prefix:
        raise CodecError(
            f"{name}: expected a file of vocabula compress, got an empty one; check the path"
        )
    if prefix[:4] != MAGIC[: len(prefix)]:
        raise CodecError(
            f"{name}: expected a file of vocabula compress, got one that begins with "
            f"{prefix[:4].hex(' ')}; check the path"
        )
    if len(prefix) < PREFIX:
        raise damaged(name, f"a header of more than {PREFIX} bytes", f"{len(prefix)} bytes in all")
    head = Unpacker(prefix[4:], name)
    version, flags, length = head.fixed(1), head.fixed(1), head.fixed(4)
    if version != VERSION:
        raise CodecError(
            f"{name}: expected version {VERSION} of the format, got {version}; "
            "use the version of vocabula that wrote the file"
        )
    if flags:
        raise CodecError(
            f"{name}: expected no flags, got {flags:#04x}, which this version does not know; "
            "use the version of vocabula that wrote the file"
        )
    limits.check(name, "memory", length)
    if not PREFIX + HASH + 4 < length < _LARGEST_HEADER:
        raise damaged(name, f"a header of more than {PREFIX + HASH + 4} bytes", str(length))
    return length


def parse_header(content: bytes, name: str, limits: Limits) -> Header:
    """A header from all its bytes, as `header_length` counts them.

    Raises:
        CodecError: damaged, unknown, or larger than the limits.
    """
    if checksum(content[:-4]) != int.from_bytes(content[-4:], "little"):
        raise damaged(name, "a header with its checksum", "another checksum")
    body = Unpacker(content[PREFIX:-4], name)
    tokenizer = body.raw(HASH)
    kind = check_number(body.varint(), name)
    channels = body.between("channels", int(kind != GRID), 2**16)
    models = tuple(
        ModelName(_known(body, "entropy model", ModelId, name), body.raw(MODEL_HASH))
        for _ in range(body.between("entropy models", 1, 16))
    )
    total = body.varint()
    limits.check(name, "books", total)
    kept = body.between("stages", 1, total)
    stages: list[Stage] = []
    books = tables = 0
    while len(stages) < total:
        count = body.between("equal stages", 1, total - len(stages))
        stage = _parse_stage(body, len(models), name, limits)
        books += count * len(stage.symbols)
        limits.check(name, "books", books)
        tables += count * sum(stage.symbols) * _CODEWORD_BYTES
        limits.check(name, "memory", tables)
        stages += [stage] * count
    attachments: dict[int, bytes] = {}
    for _ in range(body.between("attachments", 0, len(Attachment))):
        attached = _known(body, "attachment", Attachment, name)
        if attachments and attached <= max(attachments):
            raise damaged(name, "attachments in order", str(attached))
        attachments[attached] = body.raw(body.varint())
    body.end()
    signal = kind_in_file(kind, attachments, name)
    _check_extents(stages, signal, name)
    _check_names(attachments, signal, name, limits)
    _check_word(attachments, Attachment.BUILD, "build", name)
    _check_word(attachments, Attachment.PACKAGED, "name of a tokenizer", name)
    _check_pixels(stages, models, signal.exact, channels, name)
    return Header(tokenizer, kind, channels, models, tuple(stages), kept, attachments)


def _check_extents(stages: list[Stage], signal: FileKind, name: str) -> None:
    """A stage has strides and factors along the axes of the signals alone."""
    for stage in stages:
        missing = (*stage.strides[signal.axes :], *stage.factors[signal.axes :])
        if missing != (1,) * len(missing):
            raise damaged(name, f"strides along {signal.axes} axes", "others")


def _check_pixels(
    stages: list[Stage], models: tuple[ModelName, ...], exact: bool, channels: int, name: str
) -> None:
    """Exact pixels are the last stage of images, and nothing else has their entropy model."""
    for number, stage in enumerate(stages):
        pixels = stage.role == Role.RESIDUAL
        if pixels != (models[stage.model].id == ModelId.PIXELS):
            raise damaged(name, "the entropy model of exact pixels for them alone", "another")
        if not pixels:
            continue
        shape = (stage.symbols, stage.strides, stage.factors)
        last = 0 < number == len(stages) - 1 and exact and channels <= 4
        if not last or shape != ((256,) * channels, PIXEL_STRIDES, PIXEL_STRIDES):
            raise damaged(name, "exact pixels of images as the last stage", "others")


def _known(body: Unpacker, what: str, known: Any, name: str) -> int:
    value = body.varint()
    if value not in {int(member) for member in known}:
        raise CodecError(
            f"{name}: expected a known {what}, got number {value}; "
            "use the version of vocabula that wrote the file"
        )
    return value


def _check_names(
    attachments: Mapping[int, bytes], signal: FileKind, name: str, limits: Limits
) -> None:
    other = Attachment.NAMES if signal.sampled else Attachment.PACKED_NAMES
    if other in attachments:
        raise damaged(name, "names in the form of the kind", "another form")
    if Attachment.PACKED_NAMES in attachments:
        unpack_names(attachments[Attachment.PACKED_NAMES], name, limits.memory)
    content = attachments.get(Attachment.NAMES)
    if content is None:
        return
    try:
        content.decode()
    except UnicodeDecodeError:
        raise damaged(name, "names in UTF-8", "other bytes") from None
    if not content.endswith(b"\0"):
        raise damaged(name, "names that end with a zero byte", "a cut one")


def _check_word(attachments: Mapping[int, bytes], kind: int, what: str, name: str) -> None:
    content = attachments.get(kind)
    if content is None:
        return
    if not 1 <= len(content) <= LONGEST_BUILD:
        raise damaged(name, f"a {what} of 1 to {LONGEST_BUILD} bytes", str(len(content)))
    try:
        printable = content.decode().isprintable()
    except UnicodeDecodeError:
        printable = False
    if not printable:  # messages show it: it must not hold characters that move a terminal's cursor
        raise damaged(name, f"a {what} in printable UTF-8", "other bytes")


def _parse_stage(body: Unpacker, models: int, name: str, limits: Limits) -> Stage:
    role = _known(body, "role of streams", Role, name)
    model = body.between("place of an entropy model", 0, models - 1)
    strides = tuple(body.between("stride", 1, _LARGEST_STRIDE) for _ in range(DIMENSIONS))
    factors = tuple(body.between("codes to a cell", 1, stride) for stride in strides)
    symbols: list[int] = []
    for _ in range(body.between("runs of books", 1, limits.books)):
        count = body.between("books", 1, 2**32)
        limits.check(name, "books", len(symbols) + count)
        size = body.between("codewords", 1, MAX_SYMBOLS)
        limits.check(name, "symbols", size)
        symbols += [size] * count
    return Stage(tuple(symbols), strides, factors, model, role)
