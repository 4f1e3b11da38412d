"""Coverage-guided fuzzing of the reader of compressed files, with atheris.

    python benchmarks/fuzz_codec.py                 100,000 inputs
    python benchmarks/fuzz_codec.py -runs=1000000   options are libFuzzer's

The first byte of an input says what it is for (`Kind`): a file as it is; a file whose checksums are
put right first, so that what is wrong reaches the parsers and the decoders; a file whose codes'
checksum is put right, too, which only a forger can write; words for one decoder alone. Mutations
know the format: they change lengths, counts, strides, flags, models, sizes and words, cut and
join, and write new files of random structure.

Every input must end in codes or in a `CodecError` of one line. A file as it is may only decode if
it is one of the corpus; codes lie in their books; words that decode are those that the encoder
writes. Inputs are limited to 4 s and 8 MiB of codes and tables, the process to 2 GiB.

Another kind of file is a function that makes some, in `MAKERS` of `fuzz_files.py`, and its
model in `MODELS`.
"""

from __future__ import annotations

import enum
import random
import resource
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import atheris
import numpy as np
from fuzz_files import (
    BARE,
    FILE_MODELS,
    KNOWN,
    LIMITS,
    MODELS,
    SYMBOLS,
    mended,
    taken_apart,
    together,
    written,
)

from vocabula import codec
from vocabula.codec import models
from vocabula.codec.header import Header, Stage
from vocabula.codec.kinds import AUDIO, GRID, IMAGE, NAMED, VECTOR
from vocabula.codec.kinds import KINDS as KIND_ROWS
from vocabula.codec.layout import Attachment
from vocabula.codec.segment import SegmentHead
from vocabula.codec.span import Block
from vocabula.errors import CodecError


class Kind(enum.IntEnum):
    """What an input is for; from WORDS on, for the decoder of the model of that number."""

    RAW = 0
    MENDED = 1
    FORGED = 2
    WORDS = 3


KINDS = Kind.WORDS + len(MODELS)


# Mutations.


def number_near(value: int, chance: random.Random) -> int:
    """A number that a careless reader might take for this one."""
    others = (0, 1, 2, 3, 127, 128, 2**14, 2**20, 2**32, 2**40, chance.randrange(300))
    near = (value + 1, value - 1, 2 * value, value // 2)
    return max(0, chance.choice((*near, *near, *others)))


def other_header(header: Header, chance: random.Random) -> Header:
    """One field is another."""
    near = lambda value: number_near(value, chance)  # noqa: E731
    stages = list(header.stages)
    at = chance.randrange(len(stages))
    stage = stages[at]
    match chance.randrange(9):
        case 0:
            return replace(header, kind=near(header.kind), channels=near(header.channels))
        case 1:
            names = (chance.choice(MODELS).name,) * chance.choice((1, 1, 2, 17))
            return replace(header, models=names)
        case 2:
            return replace(header, kept=near(header.kept))
        case 3:
            content = chance.randbytes(chance.randrange(9)) + b"\0"
            return replace(header, attachments={chance.choice((1, 1, 2, 9)): content})
        case 4:
            stages[at] = replace(stage, symbols=tuple(map(near, stage.symbols)))
        case 5:
            stages[at] = replace(stage, symbols=stage.symbols * chance.choice((0, 2, 9)))
        case 6:
            stages[at] = replace(stage, strides=tuple(map(near, stage.strides)))
        case 7:
            stages[at] = replace(stage, factors=tuple(map(near, stage.factors)))
        case _:
            stages[at] = replace(stage, model=near(stage.model), role=chance.choice((0, 0, 1, 9)))
    return replace(header, stages=tuple(stages * chance.choice((1, 1, 1, 1, 2, 3))))


def other_segment(
    head: SegmentHead, chunks: list[bytes], chance: random.Random
) -> tuple[SegmentHead, list[bytes]]:
    """A size, a count, a row, a length, a flag or some words are others."""
    span, at = head.span, chance.randrange(max(1, len(chunks)))
    match chance.randrange(9):
        case 0:
            runs = [
                (count, tuple(number_near(n, chance) for n in size)) for count, size in span.runs
            ]
            span = replace(span, runs=tuple(runs))
        case 1:
            runs = [(number_near(count, chance), size) for count, size in span.runs]
            span = replace(span, runs=tuple(runs) * chance.choice((1, 1, 2)))
        case 2:
            rows = span.rows or (0, span.runs[0][1][0])
            span = replace(span, rows=(rows[0], number_near(rows[1], chance)))
        case 3:
            span, head = replace(span, rows=None), replace(head, last=not head.last)
        case 4 if chunks:
            length = number_near(head.chunks[at].length, chance)
            changed = list(head.chunks)
            changed[at] = replace(changed[at], length=length)
            head = replace(head, chunks=tuple(changed))
        case _ if chunks:
            chunks = list(chunks)
            chunks[at] = other_words(chunks[at], chance)
            changed = list(head.chunks)
            changed[at] = replace(changed[at], length=len(chunks[at]))
            head = replace(head, chunks=tuple(changed))
    return replace(head, span=span), chunks


def other_words(words: bytes, chance: random.Random) -> bytes:
    """Another message: changed, cut, longer or of extreme words."""
    match chance.randrange(5):
        case 0:
            return atheris.Mutate(words, len(words) + 8)
        case 1:
            return words[: 4 * chance.randrange(len(words) // 4 + 1)]
        case 2:
            return words + chance.randbytes(4 * chance.randrange(5))
        case 3:
            return chance.choice((b"\0", b"\xff")) * 4 * chance.randrange(12)
        case _:
            flipped, at = bytearray(words or b"\0"), chance.randrange(8 * max(1, len(words)))
            flipped[at // 8] ^= 1 << at % 8
            return bytes(flipped)


def damaged(content: bytes, chance: random.Random) -> bytes:
    """A file after an accident; from itself alone, for libFuzzer might insert another whole one."""
    changed = bytearray(content)
    for _ in range(chance.randint(1, 3)):
        at, length = chance.randrange(len(changed) + 1), chance.randint(1, 8)
        match chance.randrange(5):
            case 0:
                changed[at : at + length] = chance.randbytes(length)
            case 1:
                del changed[at : at + length]
            case 2:
                changed[at:at] = chance.randbytes(length)
            case 3:
                changed[at:at] = content[chance.randrange(len(content) + 1) :][:length]
            case _ if at < len(changed):
                changed[at] ^= 1 << chance.randrange(8)
    return bytes(changed)


def new_file(chance: random.Random) -> bytes:
    """A right file of random structure."""
    side = lambda: chance.choice((1, 1, 2, 3, 5, 8, 13))  # noqa: E731
    kind = chance.choice((GRID, IMAGE, VECTOR, NAMED, AUDIO))
    axes = chance.choice((0, 1, 2)) if kind == NAMED else KIND_ROWS[kind].axes
    named = {int(Attachment.SIGNAL): bytes([axes]) + b"wave"} if kind == NAMED else {}
    named |= {int(Attachment.RATE): bytes([chance.randint(1, 127)])} if kind == AUDIO else {}
    used = chance.choice(MODELS[:2])
    stages = []
    stride = chance.choice((1, 2, 4))
    for _ in range(chance.randint(1, 4)):
        symbols = tuple(
            chance.choice((1, 2, 3, 7, 16, 50, 300)) for _ in range(chance.randint(1, 3))
        )
        factor = chance.randint(1, stride)
        strides = (*(stride,) * axes, *(1,) * (2 - axes))
        factors = (*(factor,) * axes, *(1,) * (2 - axes))
        stages.append(Stage(symbols, strides, factors))
    tokenizer = chance.choice((bytes(32), b"\3" * 32))
    kept = chance.randint(1, len(stages))
    header = Header(tokenizer, kind, 3 * (kind > 0), (used.name,), tuple(stages), kept, named)
    size = lambda: (side(), side() if axes == 2 else 1)  # noqa: E731
    sizes = [size()] * chance.randint(1, 3) + [size()] * chance.randrange(2)
    return written(header, [used], sizes, chance.randrange(2**32), chance.choice((60, 400, 2**21)))


def mutate(data: bytes, most: int, seed: int) -> bytes:
    """An input of the same kind, or now and then of another."""
    chance = random.Random(seed)
    if not data or chance.random() < 0.02:
        data = bytes([chance.randrange(Kind.MENDED, KINDS)]) + new_file(chance)
    kind, content = data[0] % KINDS, data[1:]
    if kind == Kind.RAW and chance.random() < 0.5:
        kind = Kind.MENDED
    start = bytes([kind + KINDS * chance.randrange(2)])
    if kind >= Kind.WORDS:
        return (start + other_words(content, chance))[:most]
    if kind == Kind.RAW:
        return start + damaged(content, chance)[: most - 1]
    how = chance.random()
    if how < 0.1:
        return start + atheris.Mutate(content, most - 1)
    if how < 0.3:
        return start + new_file(chance)[: most - 1]
    try:
        header, segments = taken_apart(content)
        if how < 0.45 or not segments:
            header = other_header(header, chance)
        else:
            at = chance.randrange(len(segments))
            segments[at] = other_segment(*segments[at], chance)
            if chance.random() < 0.1:
                segments += segments[:1]
        return start + together(header, segments, forge=False)[: most - 1]
    except (CodecError, OverflowError, ValueError, IndexError):
        return start + atheris.Mutate(content, most - 1)


# What an input must do.

seen = {"codes": 0, "refused": 0, "decoded": 0, "slowest": 0.0}
"""Inputs that gave codes, or were refused; those of which a decoder saw something; seconds."""
_reached = [False]
_decode = models.StreamModel.decode


def _noting(model: Any, block: Block, stage: int, content: bytes) -> Any:
    _reached[0] = True
    return _decode(model, block, stage, content)


models.StreamModel.decode = _noting  # type: ignore[method-assign]


def one_input(data: bytes) -> None:
    """Read one input; anything but codes or a `CodecError` ends the run."""
    if not data:
        return
    kind, content = data[0] % KINDS, data[1:]
    if kind in (Kind.MENDED, Kind.FORGED):
        content = mended(content, forge=kind == Kind.FORGED)
    _reached[0] = False
    started = time.perf_counter()
    try:
        if kind >= Kind.WORDS:
            read_words(MODELS[kind - Kind.WORDS], content)
        else:
            read_file(content, raw=kind == Kind.RAW, lenient=data[0] // KINDS % 2 == 1)
        seen["codes"] += 1
    except CodecError as error:
        assert "\n" not in str(error)
        seen["refused"] += 1
    seen["decoded"] += _reached[0]
    seen["slowest"] = max(seen["slowest"], time.perf_counter() - started)


def read_words(model: codec.EntropyModel, content: bytes) -> None:
    """Codes of a bare message lie in their book, and are written as it is."""
    (codes,) = model.decode(BARE, 0, content)
    assert codes.shape == (63,) and int(codes.max()) < SYMBOLS
    again = model.encode(Block(BARE.books, BARE.grids, [codes]), 0)
    assert again == content, "other words than the encoder's were taken"


def read_file(content: bytes, *, raw: bool, lenient: bool) -> None:
    """Codes of a file lie in their books and fill their grids."""
    codec.inspect(content, limits=LIMITS)
    found = codec.read_codes(content, models=FILE_MODELS, limits=LIMITS, skip_damaged=lenient)
    assert not raw or lenient or content in KNOWN, f"damage went unnoticed: {content.hex()}"
    symbols = found.header.books
    for codes in found.codes:
        if codes is None:
            assert lenient, "a signal is missing"
            continue
        books = codes if isinstance(codes, tuple) else (codes,)
        flat = [np.atleast_3d(level) for level in books]
        most = [int(level[..., book].max()) for level in flat for book in range(level.shape[-1])]
        assert all(code < k for code, k in zip(most, symbols, strict=True))


def seeds() -> list[bytes]:
    """The inputs that fuzzing begins with."""
    found = [bytes([kind]) + content for content in sorted(KNOWN) for kind in range(Kind.WORDS)]
    codes = [np.arange(63, dtype=np.uint32) % SYMBOLS]
    block = Block(BARE.books, BARE.grids, codes)
    for number, model in enumerate(MODELS):
        found.append(bytes([Kind.WORDS + number]) + model.encode(block, 0))
    return found


def main() -> None:
    """Fuzz with the options given, or 100,000 inputs."""
    runs = next((int(a[6:]) for a in sys.argv if a.startswith("-runs=")), 100_000)
    given = [a for a in sys.argv[1:] if not a.startswith("-runs=")]
    options = ["-max_len=2048", "-timeout=4", "-rss_limit_mb=2048", "-seed=1"]
    left = [runs]

    def counting(data: bytes) -> None:
        one_input(data)
        left[0] -= 1
        if left[0] == 0:
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"{runs} inputs: {seen}, most memory {memory:.0f} MiB", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        for number, content in enumerate(seeds()):
            (Path(folder) / str(number)).write_bytes(content)
        words = [sys.argv[0], *options, f"-runs={runs}", *given, folder]
        atheris.Setup(words, counting, custom_mutator=mutate)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
