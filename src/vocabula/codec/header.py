"""The head of a compressed file: which model made it, and which streams its segments hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from vocabula.codec.kinds import DIMENSIONS, GRID, FileKind, check_number, kind_in_file
from vocabula.codec.layout import (
    MAGIC,
    VERSION,
    Attachment,
    ModelId,
    Packer,
    Role,
    Unpacker,
    checksum,
    damaged,
    runs,
)
from vocabula.codec.limits import MAX_SYMBOLS, Limits
from vocabula.errors import CodecError
from vocabula.signals.codes import cells

PREFIX = 10
"""Bytes before the variable part: magic, version, flags and the header's length."""
HASH = 32
MODEL_HASH = 8
LONGEST_BUILD = 64
"""Bytes of the name of a build."""
PIXEL_STRIDES = (1, 1)
_LARGEST_STRIDE = 2**20
_LARGEST_HEADER = 2**31
_CODEWORD_BYTES = 64
"""What the tables of an entropy model take in memory for a codeword."""


@dataclass(frozen=True, slots=True)
class ModelName:
    """An entropy model, as a file names it.

    Attributes:
        id: its kind.
        hash: the first 8 bytes of the SHA-256 of what its probabilities depend on.
    """

    id: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Stage:
    """Streams that are useful only together: a residual quantizer's stage, or all books.

    Attributes:
        symbols: K of each stream (book).
        strides: positions of the signal per cell, for each dimension.
        factors: codes per cell, for each dimension: 1 for the coarsest level.
        model: index of the entropy model in `Header.models`.
        role: what the streams hold.
    """

    symbols: tuple[int, ...]
    strides: tuple[int, ...]
    factors: tuple[int, ...]
    model: int = 0
    role: int = Role.CODES

    def grid(self, size: tuple[int, ...]) -> tuple[int, ...]:
        """Size of the grid of a signal: ceil(size / stride) cells of `factors` codes."""
        counts = cells(size, self.strides)
        return tuple(n * factor for n, factor in zip(counts, self.factors, strict=True))


@dataclass(frozen=True, slots=True)
class Header:
    """What holds for all segments of a file.

    Attributes:
        tokenizer: SHA-256 of the tokenizer; 32 zeros without one.
        kind: the number of the kind of the signals.
        channels: channels of the signals; 0 for grids.
        models: the entropy models.
        stages: all stages of the tokenizer, first to last.
        kept: how many of them the file holds; fewer than all in a file that was cut.
        attachments: further content.
    """

    tokenizer: bytes
    kind: int
    channels: int
    models: tuple[ModelName, ...]
    stages: tuple[Stage, ...]
    kept: int
    attachments: Mapping[int, bytes] = field(default_factory=dict)

    @property
    def signal(self) -> FileKind:
        """What the signals are."""
        return kind_in_file(self.kind, self.attachments, "header")

    @property
    def symbols(self) -> tuple[int, ...]:
        """K of each stream that the file holds."""
        return tuple(k for stage in self.stages[: self.kept] for k in stage.symbols)

    @property
    def code_stages(self) -> tuple[Stage, ...]:
        """The stages of codes that the file holds, without the stage of exact pixels."""
        return tuple(stage for stage in self.stages[: self.kept] if stage.role == Role.CODES)

    @property
    def books(self) -> tuple[int, ...]:
        """K of each stream of `code_stages`."""
        return tuple(k for stage in self.code_stages for k in stage.symbols)

    @property
    def lossless(self) -> bool:
        """Whether the file holds the exact pixels, which are then its last stage."""
        return self.stages[self.kept - 1].role == Role.RESIDUAL

    @property
    def needed(self) -> dict[int, ModelName]:
        """The entropy models of the stages that the file holds, by their index."""
        places = sorted({stage.model for stage in self.stages[: self.kept]})
        return {place: self.models[place] for place in places}

    @property
    def fingerprint(self) -> str:
        """The tokenizer's SHA-256 in hexadecimal; empty without one."""
        return self.tokenizer.hex() if any(self.tokenizer) else ""

    @property
    def build(self) -> str:
        """The build that the entropy model's network ran on; empty where none is named."""
        return self.attachments.get(Attachment.BUILD, b"").decode()

    @property
    def names(self) -> list[str]:
        """Names of the signals; empty where the file has none."""
        content = self.attachments.get(Attachment.NAMES, b"")
        return content.decode().split("\0")[:-1]

    def cut(self, stages: int) -> Header:
        """The header of the same file with only the first `stages` stages."""
        return replace(self, kept=stages)

    def pack(self) -> bytes:
        """The header's bytes."""
        body = Packer()
        body.raw(self.tokenizer)
        body.varint(self.kind)
        body.varint(self.channels)
        body.varint(len(self.models))
        for model in self.models:
            body.varint(model.id)
            body.raw(model.hash)
        body.varint(len(self.stages))
        body.varint(self.kept)
        for count, stage in _stage_runs(self.stages):
            _pack_stage(body, count, stage)
        body.varint(len(self.attachments))
        for kind in sorted(self.attachments):
            body.varint(kind)
            body.varint(len(self.attachments[kind]))
            body.raw(self.attachments[kind])
        content = body.content()
        head = Packer()
        head.raw(MAGIC)
        head.fixed(1, VERSION)
        head.fixed(1, 0)
        head.fixed(4, PREFIX + len(content) + 4)
        head.raw(content)
        whole = head.content()
        return whole + checksum(whole).to_bytes(4, "little")


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
    _check_names(attachments, name)
    _check_build(attachments, name)
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


def _check_names(attachments: Mapping[int, bytes], name: str) -> None:
    content = attachments.get(Attachment.NAMES)
    if content is None:
        return
    try:
        content.decode()
    except UnicodeDecodeError:
        raise damaged(name, "names in UTF-8", "other bytes") from None
    if not content.endswith(b"\0"):
        raise damaged(name, "names that end with a zero byte", "a cut one")


def _check_build(attachments: Mapping[int, bytes], name: str) -> None:
    content = attachments.get(Attachment.BUILD)
    if content is None:
        return
    if not 1 <= len(content) <= LONGEST_BUILD:
        raise damaged(name, f"a build of 1 to {LONGEST_BUILD} bytes", str(len(content)))
    try:
        printable = content.decode().isprintable()
    except UnicodeDecodeError:
        printable = False
    if not printable:  # messages show it: it must not hold characters that move a terminal's cursor
        raise damaged(name, "a build in printable UTF-8", "other bytes")


def _stage_runs(stages: tuple[Stage, ...]) -> list[tuple[int, Stage]]:
    found: list[tuple[int, Stage]] = []
    for stage in stages:
        if found and found[-1][1] == stage:
            found[-1] = (found[-1][0] + 1, stage)
        else:
            found.append((1, stage))
    return found


def _pack_stage(body: Packer, count: int, stage: Stage) -> None:
    body.varint(count)
    body.varint(stage.role)
    body.varint(stage.model)
    for number in (*stage.strides, *stage.factors):
        body.varint(number)
    equal = runs([(k,) for k in stage.symbols])
    body.varint(len(equal))
    for books, (symbols,) in equal:
        body.varint(books)
        body.varint(symbols)


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
