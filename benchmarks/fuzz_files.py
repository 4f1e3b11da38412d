"""The files that `fuzz_codec.py` begins with, and what takes them apart and puts them together."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import atheris

with atheris.instrument_imports(include=["vocabula.codec"]):
    from vocabula import codec
    from vocabula.codec import portable, writer
    from vocabula.codec.header import PREFIX, Header, Stage
    from vocabula.codec.header_parsing import parse_header
    from vocabula.codec.integers import Unpacker, checksum
    from vocabula.codec.kinds import AUDIO, IMAGE
    from vocabula.codec.known_models import known_models
    from vocabula.codec.layout import Attachment
    from vocabula.codec.pixels import PixelModel
    from vocabula.codec.segment import SegmentHead, codes_checksum, parse_head, seed_of
    from vocabula.codec.span import Block, Chunk, empty_block
    from vocabula.codec.writer import CodedSignal, write_signals
    from vocabula.errors import CodecError

import numpy as np
from common import ROOT

from vocabula.priors import CodeGrid, PortablePrior
from vocabula.tokenizers import load

Parts = tuple[Header, list[tuple[SegmentHead, list[bytes]]]]

LIMITS = codec.Limits(2**16, signals=2**8, books=16, symbols=2**18, memory=2**23 + 2**18)
SYMBOLS = 50
COUNTS = np.arange(SYMBOLS) ** 2
ORDER = np.arange(SYMBOLS, dtype=np.uint32)[::-1]
TWO = codec.CodeStatistics("fuzz", (COUNTS,) * 2, (ORDER,) * 2)
ONE = codec.CodeStatistics("fuzz", (COUNTS,), (ORDER,))
GOLDEN = ROOT / "tests/codec/golden"
portable.CHUNK_BYTES = 2**12  # so that what it computes at a time fits the limits
NETWORK = PortablePrior(CodeGrid((SYMBOLS,), (5, 6)), hidden=8, layers=1, embedding=4, reach=2)
MODELS: tuple[codec.EntropyModel, ...] = (
    codec.UniformModel(),
    codec.AdaptiveModel(),
    codec.AdaptiveModel(ONE),
    codec.AdaptiveModel(TWO),
    codec.StaticModel(ONE),
    codec.StaticModel(TWO),
    codec.PortableModel([NETWORK]),
)
FILE_MODELS = (*MODELS, PixelModel(load(GOLDEN / "tokenizer")))
"""Those of files: the model of pixels needs the codes before them."""
BARE = Block(((SYMBOLS,),), (((2, (5, 6)), (1, (3, 1))),))


# The corpus: a function each, which returns files.


def grids() -> list[bytes]:
    """Of every model, one book and two, one signal and several, with names and without."""
    generator = np.random.default_rng(0)
    files = []
    for entropy in codec.ENTROPIES:
        for books, known in ((1, ONE), (2, TWO)):
            shape = (5, 7) if books == 1 else (5, 7, 2)
            codes = [generator.integers(0, SYMBOLS, shape), generator.integers(0, 3, shape)]
            for count in (1, 2):
                file = io.BytesIO()
                symbols = [SYMBOLS] * books
                codec.write_codes(file, codes[:count], symbols, entropy=entropy, statistics=known)
                files.append(file.getvalue())
    return files


def levels() -> list[bytes]:
    """A hierarchy whose finer level is residual, with names; whole, cut off and cut short."""
    coarse, fine = Stage((64,), (8, 8), (1, 1)), Stage((16, 9), (8, 8), (2, 2))
    stages = (coarse, fine, replace(fine, symbols=(16,)), replace(fine, symbols=(1, 2)))
    files = []
    for model in (codec.AdaptiveModel(), codec.UniformModel()):
        names = {int(Attachment.NAMES): b"one.png\0two.png\0"}
        header = Header(b"\1" * 32, IMAGE, 3, (model.name,), stages, 4, names)
        whole = written(header, [model], [(17, 30), (8, 8)], 0)
        short = io.BytesIO()
        codec.cut(whole, short, 2)
        files += [whole, short.getvalue(), whole[: -codec.inspect(whole).stage_bytes[-1]]]
    return files


def several_models() -> list[bytes]:
    """A residual tokenizer's stages, each by another model, and one book of 2^12 codewords."""
    used = (codec.AdaptiveModel(), codec.UniformModel())
    names = tuple(model.name for model in used)
    stages = tuple(Stage((12,), (4, 4), (1, 1), number % 2) for number in range(6))
    header = Header(bytes(32), IMAGE, 1, names, stages, 6)
    large = replace(header, models=names[:1], stages=(Stage((2**12,), (1, 1), (1, 1)),), kept=1)
    return [written(header, used, [(20, 12)], 1), written(large, used[:1], [(4, 9)], 2)]


def parts() -> list[bytes]:
    """Several segments: a signal in parts between small ones."""
    model = codec.AdaptiveModel()
    stages = (Stage((16,), (2, 2), (1, 1)),) * 2
    header = Header(b"\2" * 32, IMAGE, 3, (model.name,), stages, 2)
    return [written(header, [model], [(6, 6), (41, 9), (6, 6), (6, 6)], 3, segment_bits=100)]


def networks() -> list[bytes]:
    """Of the portable model, one signal and several of different sizes."""
    generator, files = np.random.default_rng(4), []
    codes = [generator.integers(0, SYMBOLS, shape) for shape in ((5, 7), (1, 3), (5, 7))]
    for count in (1, 3):
        file = io.BytesIO()
        codec.write_codes(file, codes[:count], [SYMBOLS], entropy=MODELS[-1])
        files.append(file.getvalue())
    return files


def others() -> list[bytes]:
    """Vectors with names, signals of one axis of a kind by its name, and recordings."""
    names = ("vectors", "series", "recordings")
    return [(GOLDEN / f"{name}.vcb").read_bytes() for name in names]


def pixels() -> list[bytes]:
    """Exact pixels after their codes, and blocks of pixels with their codebook."""
    return [(GOLDEN / f"{name}.vcb").read_bytes() for name in ("lossless", "blocks")]


def written(
    header: Header,
    used: Any,
    sizes: list[tuple[int, int]],
    seed: int,
    segment_bits: int = writer.SEGMENT_BITS,
) -> bytes:
    """A file of random codes."""
    generator, signals = np.random.default_rng(seed), []
    kept = [(stage, k) for stage in header.stages[: header.kept] for k in stage.symbols]
    for size in sizes:
        streams = (generator.integers(0, k, stage.grid(size)) for stage, k in kept)
        signals.append(CodedSignal(size, tuple(streams)))
    file = io.BytesIO()
    before, writer.SEGMENT_BITS = writer.SEGMENT_BITS, segment_bits
    try:
        write_signals(file, header, used, signals)
    finally:
        writer.SEGMENT_BITS = before
    return file.getvalue()


MAKERS: tuple[Callable[[], list[bytes]], ...] = (
    *(grids, levels, several_models),
    *(parts, networks, others, pixels),
)
KNOWN = {content for make in MAKERS for content in make()}


# Files in parts, and together again with right checksums.


def taken_apart(content: bytes) -> Parts:
    """Header and segments, as far as they can be read; checksums are not looked at.

    Raises:
        CodecError: there is no header.
    """
    length = int.from_bytes(content[6:10], "little")
    if not PREFIX < length - 4 < len(content):
        raise CodecError("no header")
    start = content[: length - 4]
    header = parse_header(start + checksum(start).to_bytes(4, "little"), "fuzz", LIMITS)
    segments: list[tuple[SegmentHead, list[bytes]]] = []
    rest = Unpacker(content[length:], "fuzz")
    while rest.left and not (segments and segments[-1][0].last):
        try:
            head = parse_head(rest.raw(rest.varint()), header, "fuzz", LIMITS)
            rest.raw(4)
        except CodecError:
            break
        chunks = [rest.raw(min(chunk.length, rest.left)) for chunk in head.chunks]
        segments.append((head, chunks))
    return header, segments


def together(
    header: Header, segments: list[tuple[SegmentHead, list[bytes]]], *, forge: bool
) -> bytes:
    """A file with right checksums; of the codes, too, if `forge`."""
    start = header.pack()
    content = start
    for number, (head, chunks) in enumerate(segments):
        sums = [chunk.codes_crc for chunk in head.chunks]
        if forge:
            sums[: len(chunks)] = codes_sums(header, head, chunks, sums)
        packed = [
            Chunk(chunk.length, checksum(bytes_), crc)
            for chunk, bytes_, crc in zip(head.chunks, chunks, sums, strict=False)
        ]
        new = SegmentHead(head.span, tuple(packed), head.last)
        content += new.pack(seed_of(start, number), sampled=header.kind == AUDIO)
        content += b"".join(chunks)
    return content


def codes_sums(
    header: Header, head: SegmentHead, chunks: list[bytes], sums: list[int]
) -> list[int]:
    """The checksums of what chunks decode to, up to the first that does not."""
    block = empty_block(header, head.span)
    find = known_models("fuzz", None, FILE_MODELS)
    found = []
    try:
        for number, chunk in enumerate(chunks):
            model = find(header, header.models[header.stages[number].model])
            codes = model.decode(block, number, chunk)
            found.append(codes_checksum(codes))
            block.codes += codes
    except CodecError:
        pass
    return [*found, *sums[len(found) :]][: len(chunks)]


def mended(content: bytes, *, forge: bool) -> bytes:
    """The same file with right checksums; as it is where no file can be seen in it."""
    try:
        return together(*taken_apart(content), forge=forge)
    except CodecError:
        return content
