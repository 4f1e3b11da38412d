"""The head of a compressed file: which model made it, and which streams its segments hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from vocabula.codec.integers import Packer, checksum
from vocabula.codec.kinds import FileKind, kind_in_file
from vocabula.codec.layout import MAGIC, VERSION, Attachment, Role, runs
from vocabula.codec.packed_names import unpack_names
from vocabula.signals.codes import cells

PREFIX = 10
"""Bytes before the variable part: magic, version, flags and the header's length."""
HASH = 32
MODEL_HASH = 8
LONGEST_BUILD = 64
"""Bytes of the name of a build, or of a tokenizer of the package."""
PIXEL_STRIDES = (1, 1)


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
    def packaged(self) -> str:
        """The name of the tokenizer, if it came with the package; else empty."""
        return self.attachments.get(Attachment.PACKAGED, b"").decode()

    @property
    def names(self) -> list[str]:
        """Names of the signals; empty where the file has none."""
        packed = self.attachments.get(Attachment.PACKED_NAMES)
        if packed is not None:
            return unpack_names(packed, "header")
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
