"""From a tokenizer to the header of its files, and its codes to streams and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from vocabula.codec.header import HASH, Header, Stage
from vocabula.codec.layout import Attachment, Role, SignalKind
from vocabula.codec.limits import MAX_SYMBOLS
from vocabula.codec.models import EntropyModel
from vocabula.codec.writer import CodedSignal
from vocabula.errors import CodecError, OptionError
from vocabula.files import unicode_text
from vocabula.quantizers.base import Quantizer
from vocabula.quantizers.residual import ABSENT, ResidualQuantizer
from vocabula.tokenizers import SignalTokenizer


def discrete(tokenizer: SignalTokenizer) -> list[Quantizer]:
    """The quantizers of a tokenizer's levels, the coarsest first.

    Raises:
        OptionError: it is continuous and has no codes, or a book is too large.
    """
    quantizers = []
    for level in tokenizer.levels:
        quantizer = level.quantizer
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
        quantizers.append(quantizer)
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
        factor = tokenizer.stride // level.stride
        first = 0
        for count in books:
            symbols = tuple(quantizer.codebook_sizes[first : first + count])
            stages.append(Stage(symbols, (tokenizer.stride,) * 2, (factor,) * 2))
            first += count
    return stages


def least_stages(tokenizer: SignalTokenizer, *, joined: bool = False) -> int:
    """Stages without which nothing can be decoded: the finest level needs only its first."""
    last = tokenizer.levels[-1].quantizer
    optional = len(last.stages) - 1 if isinstance(last, ResidualQuantizer) and not joined else 0
    return len(tokenizer_stages(tokenizer, joined=joined)) - optional


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
    return Header(
        tokenizer=bytes.fromhex(tokenizer.fingerprint()),
        kind=SignalKind.IMAGE,
        channels=tokenizer.channels,
        models=(model.name,),
        stages=tuple(held),
        kept=len(held) if stages is None else stages,
        attachments={**model.attachments(), **name_attachment(names)},
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
    return Header(bytes(HASH), SignalKind.GRID, 0, (model.name,), (stage,), 1, attachments)


def name_attachment(names: Sequence[str]) -> Mapping[int, bytes]:
    """The attachment that stores the names of signals in the header."""
    if not names:
        return {}
    for name in names:
        if "\0" in name:
            raise OptionError(f"names: expected no zero bytes, got {name!r}; rename the signal")
    texts = map(unicode_text, names)  # the name of a file may hold bytes that are not UTF-8
    return {Attachment.NAMES: b"".join(text.encode() + b"\0" for text in texts)}


def to_signals(levels: Sequence[Tensor], size: tuple[int, ...]) -> list[CodedSignal]:
    """The streams of each signal of a batch.

    Args:
        levels: the codes (B, h, w, *code_shape) of each level.
        size: (H, W) of every signal.
    """
    arrays = [codes.reshape(*codes.shape[:3], -1).cpu().numpy() for codes in levels]
    return [
        CodedSignal(
            size,
            tuple(codes[i, ..., book] for codes in arrays for book in range(codes.shape[-1])),
        )
        for i in range(len(arrays[0]))
    ]


def from_signals(signals: Sequence[CodedSignal], tokenizer: SignalTokenizer) -> list[Tensor]:
    """Codes (B, h, w, *code_shape) of each level; books that a cut file lacks are absent (-1)."""
    levels, first = [], 0
    height, width = signals[0].size
    for level, grid in zip(tokenizer.levels, tokenizer.grids(height, width), strict=True):
        books = len(level.codebook_sizes)
        codes = torch.full((len(signals), *grid, books), ABSENT)
        for i, signal in enumerate(signals):
            for book, stream in enumerate(signal.streams[first : first + books]):
                codes[i, ..., book] = torch.from_numpy(stream.astype("i8"))
        levels.append(codes.reshape(len(signals), *grid, *level.code_shape))
        first += books
    return levels


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
        CodecError: the error names the fingerprint that is needed.
    """
    if header.kind != SignalKind.IMAGE:
        raise CodecError(
            f"{name}: expected the codes of images, got codes alone; read it with codec.read_codes"
        )
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
