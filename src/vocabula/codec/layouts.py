"""From a tokenizer to the header of its files, and its codes to streams and back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from vocabula.codec.header import HASH, Header, Stage
from vocabula.codec.layout import Attachment, SignalKind
from vocabula.codec.limits import MAX_SYMBOLS
from vocabula.codec.models import EntropyModel
from vocabula.codec.writer import CodedSignal
from vocabula.errors import CodecError, OptionError
from vocabula.quantizers.base import Quantizer
from vocabula.quantizers.residual import ABSENT, ResidualQuantizer
from vocabula.tokenizers import Tokenizer


def discrete(tokenizer: Tokenizer) -> Quantizer:
    """The quantizer of a tokenizer.

    Raises:
        OptionError: it is continuous and has no codes, or a book is too large.
    """
    quantizer = tokenizer.quantizer
    if not isinstance(quantizer, Quantizer):
        raise OptionError(
            f"compress: expected a tokenizer with a codebook, got the continuous "
            f"{type(quantizer).__name__}, which has no codes; use one with another quantizer"
        )
    if max(quantizer.codebook_sizes) > MAX_SYMBOLS:
        raise OptionError(
            f"compress: expected books of at most {MAX_SYMBOLS} codewords, got "
            f"{max(quantizer.codebook_sizes)}; train with several smaller books"
        )
    return quantizer


def books_by_stage(quantizer: Quantizer) -> list[int]:
    """Books of each stage that a file can be cut after; one stage where none can be left out."""
    if isinstance(quantizer, ResidualQuantizer):
        return [stage.books for stage in quantizer.stages]
    return [len(quantizer.codebook_sizes)]


def tokenizer_header(
    tokenizer: Tokenizer, model: EntropyModel, *, stages: int | None, names: Sequence[str] = ()
) -> Header:
    """The header of files that a tokenizer's codes go into.

    Args:
        tokenizer: with a codebook.
        model: the entropy model.
        stages: how many of its stages are kept; None keeps all.
        names: of the signals, in order; none are stored if empty.

    Raises:
        OptionError: the tokenizer is continuous, or has not so many stages.
    """
    quantizer = discrete(tokenizer)
    books = books_by_stage(quantizer)
    if stages is not None and not 1 <= stages <= len(books):
        only = "; its codes come in one piece" if len(books) == 1 else ""
        raise OptionError(
            f"stages: expected 1 to {len(books)} for this tokenizer, got {stages}{only}; "
            "choose another number"
        )
    held, first = [], 0
    for count in books:
        symbols = tuple(quantizer.codebook_sizes[first : first + count])
        held.append(Stage(symbols, (tokenizer.stride, tokenizer.stride)))
        first += count
    return Header(
        tokenizer=bytes.fromhex(tokenizer.fingerprint()),
        kind=SignalKind.IMAGE,
        channels=tokenizer.channels,
        models=(model.name,),
        stages=tuple(held),
        kept=len(held) if stages is None else stages,
        attachments=name_attachment(names),
    )


def codes_header(codebook_sizes: Sequence[int], model: EntropyModel) -> Header:
    """The header of files of codes alone, whose signals are the grids themselves."""
    stage = Stage(tuple(codebook_sizes), (1, 1))
    return Header(bytes(HASH), SignalKind.GRID, 0, (model.name,), (stage,), 1)


def name_attachment(names: Sequence[str]) -> Mapping[int, bytes]:
    """The names of signals as the header holds them."""
    if not names:
        return {}
    for name in names:
        if "\0" in name:
            raise OptionError(f"names: expected no zero bytes, got {name!r}; rename the signal")
    return {Attachment.NAMES: b"".join(name.encode() + b"\0" for name in names)}


def to_streams(codes: NDArray[np.int64], size: tuple[int, ...]) -> CodedSignal:
    """Codes (h, w, *code_shape) of one signal as streams."""
    books = math.prod(codes.shape[2:])
    flat = codes.reshape(*codes.shape[:2], books)
    return CodedSignal(size, tuple(flat[..., book] for book in range(books)))


def from_streams(signal: CodedSignal, quantizer: Quantizer) -> NDArray[np.int64]:
    """Codes (h, w, *code_shape) of streams; books that a cut file lacks are absent (-1)."""
    books = len(quantizer.codebook_sizes)
    codes = np.full((*signal.streams[0].shape, books), ABSENT, np.int64)
    for book, stream in enumerate(signal.streams):
        codes[..., book] = stream
    return codes.reshape(*codes.shape[:2], *quantizer.code_shape)


def check_tokenizer(header: Header, tokenizer: Tokenizer, name: str) -> None:
    """Refuse a file that another tokenizer made.

    Raises:
        CodecError: the error names the fingerprint that is needed.
    """
    if header.kind != SignalKind.IMAGE:
        raise CodecError(
            f"{name}: expected the codes of images, got codes alone; read it with codec.read_codes"
        )
    if header.fingerprint != tokenizer.fingerprint():
        raise CodecError(
            f"{name}: expected the tokenizer with fingerprint {header.fingerprint}, got "
            f"{tokenizer.fingerprint()}; give the run that compressed it (vocabula info RUN)"
        )
    books = books_by_stage(discrete(tokenizer))
    sizes = tuple(k for stage in header.stages for k in stage.symbols)
    fits = (
        [len(stage.symbols) for stage in header.stages] == books
        and sizes == tuple(discrete(tokenizer).codebook_sizes)
        and header.channels == tokenizer.channels
        and all(stage.strides == (tokenizer.stride,) * 2 for stage in header.stages)
    )
    if not fits:
        raise CodecError(
            f"{name}: expected the books, channels and stride of its tokenizer, got others; "
            "the file was not written by vocabula"
        )
