"""The stages and the header of files of a tokenizer's codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vocabula.codec.header import HASH, Header, Stage
from vocabula.codec.kinds import GRID, FileKind, in_two, kind_of
from vocabula.codec.layout import Attachment
from vocabula.codec.limits import MAX_SYMBOLS
from vocabula.codec.models import EntropyModel
from vocabula.codec.packed_names import pack_names
from vocabula.errors import OptionError
from vocabula.files import unicode_text
from vocabula.files.packaged import packaged_of
from vocabula.quantizers.base import Quantizer
from vocabula.quantizers.residual import ResidualQuantizer
from vocabula.tokenizers import SignalTokenizer
from vocabula.tokenizers.code_level import quantizers_of


def discrete(tokenizer: SignalTokenizer) -> list[Quantizer]:
    """The quantizers of a tokenizer's levels, the coarsest first.

    Raises:
        OptionError: it is continuous and has no codes, or a book is too large.
    """
    advice = "use a tokenizer with a codebook"
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
    kind, identity = kind_of(tokenizer.signal), tokenizer.code_names().written
    carried = packaged_of(identity)
    own: dict[int, bytes] = {}
    if carried is not None:
        own[Attachment.PACKAGED] = carried.name.encode()
    return Header(
        tokenizer=bytes.fromhex(identity),
        kind=kind.number,
        channels=tokenizer.channels,
        models=(model.name,),
        stages=tuple(held),
        kept=len(held) if stages is None else stages,
        attachments={
            **model.attachments(),
            **name_attachment(names, kind),
            **kind.attachments(),
            **own,
        },
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


def name_attachment(names: Sequence[str], kind: FileKind | None = None) -> Mapping[int, bytes]:
    """The attachment that stores the names of signals in the header.

    Args:
        names: one for each signal; nothing is stored of none.
        kind: of the signals; those that are sampled have packed names.

    Raises:
        OptionError: a name holds a zero byte.
    """
    if not names:
        return {}
    for name in names:
        if "\0" in name:
            raise OptionError(f"names: expected no zero bytes, got {name!r}; rename the signal")
    texts = list(map(unicode_text, names))  # names of files may hold bytes that are not UTF-8
    if kind is not None and kind.sampled:
        return {Attachment.PACKED_NAMES: pack_names(texts)}
    return {Attachment.NAMES: b"".join(text.encode() + b"\0" for text in texts)}
