"""From a tokenizer to the header of its files, and its codes to streams and back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from vocabula.codec.header import HASH, Header, Stage
from vocabula.codec.kinds import GRID, in_two, kind_of
from vocabula.codec.layout import Attachment, Role
from vocabula.codec.limits import MAX_SYMBOLS
from vocabula.codec.models import EntropyModel
from vocabula.codec.writer import CodedSignal
from vocabula.errors import CodecError, OptionError
from vocabula.files import unicode_text
from vocabula.quantizers.base import Quantizer
from vocabula.quantizers.dropout import ABSENT
from vocabula.quantizers.residual import ResidualQuantizer
from vocabula.tokenizers import SignalTokenizer
from vocabula.tokenizers.code_level import quantizers_of


def discrete(tokenizer: SignalTokenizer) -> list[Quantizer]:
    """The quantizers of a tokenizer's levels, the coarsest first.

    Raises:
        OptionError: it is continuous and has no codes, or a book is too large.
    """
    advice = "use a tokenizer with another quantizer"
    quantizers = quantizers_of(tokenizer.levels, "compress", advice)
    for quantizer in quantizers:
        if max(quantizer.codebook_sizes) > MAX_SYMBOLS:
            raise OptionError(
                f"compress: expected books of at most {MAX_SYMBOLS} codewords, got "
                f"{max(quantizer.codebook_sizes)}; train with several smaller books"
            )
    return quantizers


def tokenizer_stages(tokenizer: SignalTokenizer, *, joined: bool = False) -> list[Stage]:
    """The stages of a tokenizer's files: one for each residual stage, or else for each level.

    Args:
        tokenizer: the tokenizer.
        joined: one stage per level for any quantizer; see `EntropyModel.joins`.

    Raises:
        OptionError: see `discrete`.
    """
    stages = []
    for quantizer, level in zip(discrete(tokenizer), tokenizer.levels, strict=True):
        if isinstance(quantizer, ResidualQuantizer) and not joined:
            books = [stage.books for stage in quantizer.stages]
        else:
            books = [len(quantizer.codebook_sizes)]
        strides = in_two(tokenizer.strides)
        own, each = in_two(level.strides), in_two(level.spec.grid(level.strides))
        factors = tuple(s // t * n for s, t, n in zip(strides, own, each, strict=True))
        first = 0
        for count in books:
            symbols = tuple(quantizer.codebook_sizes[first : first + count])
            stages.append(Stage(symbols, strides, factors))
            first += count
    return stages


def least_stages(tokenizer: SignalTokenizer, *, joined: bool = False) -> int:
    """Stages without which nothing can be decoded: the last needed level needs only its first."""
    stages = [
        len(level.quantizer.stages)
        if isinstance(level.quantizer, ResidualQuantizer) and not joined
        else 1
        for level in tokenizer.levels
    ]
    return sum(stages[: tokenizer.needed_levels - 1]) + 1


def tokenizer_header(
    tokenizer: SignalTokenizer,
    model: EntropyModel,
    *,
    stages: int | None,
    names: Sequence[str] = (),
) -> Header:
    """The header of files that a tokenizer's codes go into.

    Args:
        tokenizer: with a codebook.
        model: the entropy model.
        stages: how many of its stages are kept; None keeps all.
        names: of the signals, in order; none are stored if empty.

    Raises:
        OptionError: the tokenizer is continuous or has fewer stages.
    """
    held = tokenizer_stages(tokenizer, joined=model.joins)
    least = least_stages(tokenizer, joined=model.joins)
    if stages is not None and not least <= stages <= len(held):
        only = "; its codes come in one piece" if len(held) == least else ""
        raise OptionError(
            f"stages: expected {least} to {len(held)} for this tokenizer, got {stages}{only}; "
            "choose another number"
        )
    kind = kind_of(tokenizer.signal)
    return Header(
        tokenizer=bytes.fromhex(tokenizer.fingerprint()),
        kind=kind.number,
        channels=tokenizer.channels,
        models=(model.name,),
        stages=tuple(held),
        kept=len(held) if stages is None else stages,
        attachments={**model.attachments(), **name_attachment(names), **kind.attachments()},
    )


def codes_header(codebook_sizes: Sequence[int], model: EntropyModel) -> Header:
    """The header of files of codes alone, whose signals are the grids themselves.

    Raises:
        OptionError: there is no book, or the format does not allow the size of one.
    """
    sizes = tuple(int(size) for size in codebook_sizes)
    if not sizes or min(sizes) < 1 or max(sizes) > MAX_SYMBOLS:
        raise OptionError(
            f"codebook sizes: expected one or more of 1 to {MAX_SYMBOLS}, got {list(sizes)}; "
            "give the codewords of each book"
        )
    stage = Stage(sizes, (1, 1), (1, 1))
    attachments = model.attachments()
    return Header(bytes(HASH), GRID, 0, (model.name,), (stage,), 1, attachments)


def name_attachment(names: Sequence[str]) -> Mapping[int, bytes]:
    """The attachment that stores the names of signals in the header."""
    if not names:
        return {}
    for name in names:
        if "\0" in name:
            raise OptionError(f"names: expected no zero bytes, got {name!r}; rename the signal")
    texts = map(unicode_text, names)  # the name of a file may hold bytes that are not UTF-8
    return {Attachment.NAMES: b"".join(text.encode() + b"\0" for text in texts)}


def to_signals(levels: Sequence[Tensor], extent: Sequence[int]) -> list[CodedSignal]:
    """The streams of each signal of a batch; signals without axes are rows of one.

    Args:
        levels: the codes (B, *grid, *code_shape) of each level.
        extent: of every signal, one number for each axis.
    """
    axes = len(extent)
    arrays = [codes.reshape(*codes.shape[: 1 + axes], -1).cpu().numpy() for codes in levels]
    streams = [codes[..., book] for codes in arrays for book in range(codes.shape[-1])]
    if not axes:
        rows = (len(streams[0]), 1)
        return [CodedSignal(rows, tuple(stream.reshape(rows) for stream in streams))]
    shapes = [in_two(stream.shape[1:]) for stream in streams]
    return [
        CodedSignal(
            in_two(extent),
            tuple(stream[i].reshape(grid) for stream, grid in zip(streams, shapes, strict=True)),
        )
        for i in range(len(streams[0]))
    ]


def extent_of(signal: CodedSignal, tokenizer: SignalTokenizer) -> tuple[int, ...]:
    """The extent of a signal of a tokenizer's file, one number for each axis."""
    return signal.size[: len(tokenizer.strides)]


def from_signals(signals: Sequence[CodedSignal], tokenizer: SignalTokenizer) -> list[Tensor]:
    """Codes (B, *grid, *code_shape) of each level; books that a cut file lacks are absent (-1).

    Args:
        signals: of one size; without axes of any number of rows.
        tokenizer: the one that made the codes.
    """
    grids = tokenizer.grids(*extent_of(signals[0], tokenizer))
    batch = sum(signal.streams[0].size for signal in signals) // math.prod(grids[0])
    levels, first = [], 0
    for level, grid in zip(tokenizer.levels, grids, strict=True):
        books = len(level.codebook_sizes)
        codes = torch.full((batch, *grid, books), ABSENT)
        for book in range(min(books, len(signals[0].streams) - first)):
            parts = [signal.streams[first + book] for signal in signals]
            stream = parts[0] if len(parts) == 1 else np.concatenate(parts)
            codes[..., book] = torch.from_numpy(stream.astype("i8")).reshape(batch, *grid)
        levels.append(codes.reshape(batch, *grid, *level.code_shape))
        first += books
    return levels


def check_kind(header: Header, tokenizer: SignalTokenizer, name: str) -> None:
    """Refuse a file of other signals than a tokenizer's.

    Raises:
        CodecError: the error names both kinds.
    """
    own = tokenizer.signal
    if header.kind == GRID:
        raise CodecError(
            f"{name}: expected the codes of {own.plural}, got codes alone; read it with "
            "codec.read_codes"
        )
    if header.signal.name != own.kind:
        raise CodecError(
            f"{name}: expected signals of kind {own.kind}, as this tokenizer's, got "
            f"{header.signal.title}; give the run that compressed it"
        )


def check_tokenizer(
    header: Header, tokenizer: SignalTokenizer, name: str, fingerprint: str
) -> None:
    """Refuse a file that another tokenizer made.

    Args:
        header: of the file.
        tokenizer: the tokenizer that is to decode it.
        name: what messages call the file.
        fingerprint: the tokenizer's fingerprint, which takes a pass over its weights.

    Raises:
        CodecError: the error names the kind or the fingerprint that is needed.
    """
    check_kind(header, tokenizer, name)
    if header.fingerprint != fingerprint:
        raise CodecError(
            f"{name}: expected the tokenizer with fingerprint {header.fingerprint}, got "
            f"{fingerprint}; give the run that compressed it (vocabula info RUN)"
        )
    made = [
        (stage.symbols, stage.strides, stage.factors)
        for stage in header.stages
        if stage.role == Role.CODES
    ]
    own = {
        joined: [
            (s.symbols, s.strides, s.factors) for s in tokenizer_stages(tokenizer, joined=joined)
        ]
        for joined in (False, True)
    }
    if made not in own.values() or header.channels != tokenizer.channels:
        raise CodecError(
            f"{name}: expected the books, channels and stride of its tokenizer, got others; "
            "the file was not written by vocabula"
        )
    least = least_stages(tokenizer, joined=made != own[False])
    if header.kept < least:
        raise CodecError(
            f"{name}: expected {least} or more stages of this tokenizer's levels, got "
            f"{header.kept}; use a file with more, or raise stages (--stages)"
        )
