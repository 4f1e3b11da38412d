"""From a tokenizer to the header of its files, and its codes to streams and back."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from vocabula.codec.header import Header
from vocabula.codec.kinds import GRID, in_two
from vocabula.codec.layout import Role
from vocabula.codec.stages import least_stages, tokenizer_stages
from vocabula.codec.writer import CodedSignal
from vocabula.errors import CodecError
from vocabula.quantizers.dropout import ABSENT
from vocabula.signals.code_names import CodeNames
from vocabula.tokenizers import SignalTokenizer


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
    header: Header, tokenizer: SignalTokenizer, name: str, names: CodeNames
) -> None:
    """Refuse a file of the codes of another tokenizer.

    Args:
        header: of the file.
        tokenizer: the tokenizer that is to decode it.
        name: what messages call the file.
        names: of the tokenizer's codes, which take a pass over its weights.

    Raises:
        CodecError: the error names the kind or the fingerprint that is needed.
    """
    check_kind(header, tokenizer, name)
    if not names.know(header.fingerprint):
        named = f"{header.packaged}, " if header.packaged else ""
        fix = "leave out RUN, or update vocabula" if named else "give the run that compressed it"
        raise CodecError(
            f"{name}: expected the tokenizer {named}with fingerprint {header.fingerprint}, got "
            f"{names.in_words()}; {fix} (vocabula info RUN)"
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
