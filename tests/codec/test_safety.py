"""Hostile files: one exception type, no crash, no wrong codes, no memory beyond the caps."""

from __future__ import annotations

import io
import random
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vocabula import codec
from vocabula.codec import Limits, writer
from vocabula.codec.header import PREFIX, Header, Stage
from vocabula.codec.header_parsing import parse_header
from vocabula.codec.integers import checksum
from vocabula.codec.kinds import GRID
from vocabula.codec.known_models import known_models
from vocabula.codec.segment import parse_head, seed_of
from vocabula.codec.span import Block, Codes
from vocabula.codec.uniform import UniformModel
from vocabula.errors import CodecError
from vocabula.levels import levels_of

from .conftest import flips, smooth_codes, statistics_of
from .golden.make import FOLDER, LENGTHS, RECORDINGS, SERIES, VECTORS, formula, write_levels

SMALL = Limits(signal_size=2**12, signals=64, books=8, symbols=2**12, memory=2**18)
CODES = np.stack([smooth_codes(12, 5, 6, seed) for seed in range(2)], -1)
STATISTICS = statistics_of(CODES, 12, books=2)


def levels_streams() -> list[np.ndarray]:
    """The codes of `levels_file`, level by level: cells of 8 x 8 pixels, the finer 2 x 2 in one."""
    grids = []
    for number, (height, width) in enumerate(((3, 4), (1, 1))):
        fine = (2 * height, 2 * width)
        books = [formula(fine, number, book, k) for book, k in enumerate((16, 9))]
        grids += [formula((height, width), number, 0, 64), np.stack(books, -1)]
    return grids


def small_file(entropy: str) -> bytes:
    file = io.BytesIO()
    codec.write_codes(file, [CODES, CODES[:2]], [12, 12], entropy=entropy, statistics=STATISTICS)
    return file.getvalue()


def levels_file() -> bytes:
    """A hierarchy of two levels, the finer residual and cut off after its first stage."""
    file = io.BytesIO()
    write_levels(file)
    return file.getvalue()


def parts_file() -> bytes:
    """Several segments: a large signal in parts between two others."""
    file = io.BytesIO()
    before, writer.SEGMENT_BITS = writer.SEGMENT_BITS, 100
    try:
        codec.write_codes(file, PARTS, [12])
    finally:
        writer.SEGMENT_BITS = before
    return file.getvalue()


def rows(grid: tuple[int, int], *symbols: int) -> np.ndarray:
    """The codes of the golden files of other signals than images."""
    return np.stack([formula(grid, 0, book, k) for book, k in enumerate(symbols)], -1)


PARTS = [smooth_codes(12, 2, 2), smooth_codes(12, 12, 6), smooth_codes(12, 2, 2)]
CORPUS = {entropy: small_file(entropy) for entropy in codec.ENTROPIES}
OTHERS = {name: (FOLDER / f"{name}.vcb").read_bytes() for name in (VECTORS, SERIES, RECORDINGS)}
ALL = {**CORPUS, "levels": levels_file(), "parts": parts_file(), **OTHERS}
TRUTH: dict[str, list[np.ndarray]] = {
    "parts": PARTS,
    "levels": levels_streams(),
    VECTORS: [rows((40, 1), 16, 9), rows((3, 1), 16, 9)],
    RECORDINGS: [
        formula((cells * (-(-length // 8)), 1), 0, book, k)
        for length in LENGTHS
        for cells, book, k in ((1, 0, 16), (2, 1, 9))
    ],
    SERIES: [rows((26, 1), 16, 5), rows((4, 1), 16, 5)],
}


def outcome(content: bytes, name: str = "adaptive") -> str:
    """What reading does: "refused", or "right"; anything else fails the test."""
    try:
        found = codec.read_codes(content, statistics=STATISTICS, limits=SMALL)
    except CodecError as error:
        assert "expected" in str(error) and "got" in str(error)
        assert "\n" not in str(error)
        return "refused"
    grids = [level for codes in found.codes for level in levels_of(codes)]
    truth = TRUTH.get(name, [CODES, CODES[:2]])
    assert all(np.array_equal(a, b) for a, b in zip(grids, truth, strict=True))
    return "right"


@pytest.mark.parametrize("name", ALL)
def test_every_truncation_is_refused(name: str) -> None:
    content = ALL[name]
    assert outcome(content, name) == "right"
    for length in range(len(content)):
        assert outcome(content[:length], name) == "refused", length


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_every_flipped_bit_is_refused(name: str) -> None:
    for bit, flipped in enumerate(flips(ALL[name])):
        assert outcome(flipped, name) == "refused", bit


def mutate(content: bytes, chance: random.Random) -> bytes:
    """A few random changes of the kinds that fuzzers make."""
    changed = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(changed) + 1)
        length = chance.randint(1, 12)
        match chance.randrange(5):
            case 0:
                changed[place : place + length] = chance.randbytes(length)
            case 1:
                del changed[place : place + length]
            case 2:
                changed[place:place] = chance.randbytes(length)
            case 3:
                source = chance.randrange(len(content))
                changed[place:place] = content[source : source + length]
            case _:
                changed[place : place + 1] = bytes([chance.choice((0, 1, 127, 128, 255))])
    return bytes(changed)


def repaired(content: bytes) -> bytes:
    """The same bytes with right checksums as far as lengths make sense: past the first guard."""
    if len(content) < PREFIX + 4:
        return content
    length = int.from_bytes(content[6:10], "little")
    if not PREFIX < length <= len(content):
        return content
    start = content[: length - 4]
    start += checksum(start).to_bytes(4, "little")
    rest = content[length:]
    if len(rest) < 6 or rest[0] > 127 or len(rest) < rest[0] + 5:
        return start + rest
    head = rest[: rest[0] + 1]
    crc = checksum(head, seed_of(start, 0)).to_bytes(4, "little")
    return start + head + crc + rest[len(head) + 4 :]


@pytest.mark.slow
@pytest.mark.parametrize("mend", [False, True], ids=["raw", "mended"])
def test_mutations_are_refused_or_harmless(mend: bool) -> None:
    chance = random.Random(0)
    files = [*CORPUS.values(), *OTHERS.values()]
    for _ in range(1500):
        content = mutate(chance.choice(files), chance)
        try:
            codec.read_codes(
                repaired(content) if mend else content, statistics=STATISTICS, limits=SMALL
            )
        except CodecError:
            continue


def test_random_bytes_are_refused() -> None:
    chance = random.Random(1)
    for _ in range(500):
        content = chance.randbytes(chance.randrange(200))
        assert outcome(b"\x89VCB\1\0" * chance.randrange(2) + content) == "refused"


def forged(change: Callable[[bytearray], None]) -> bytes:
    """A small file with changed bytes and right checksums."""
    content = bytearray(CORPUS["uniform"])
    change(content)
    return repaired(bytes(content))


def test_claimed_sizes_take_no_memory() -> None:
    """A few bytes may claim 2^34 signals, or a signal of 2^50 values."""
    header = parse_header(*_header(CORPUS["uniform"]), "x", Limits())
    for claim in (b"\x01\xff\xff\xff\xff\x7f\x05\x06", b"\x01\x01\xff\xff\xff\xff\x07\xff\xff\x01"):
        tracemalloc.start()
        with pytest.raises(CodecError, match=r"expected .* of at most"):
            parse_head(b"\x01" + claim, header, "x", Limits())
        assert tracemalloc.get_traced_memory()[1] < 2**16
        tracemalloc.stop()


def _header(content: bytes) -> tuple[bytes]:
    return (content[: int.from_bytes(content[6:10], "little")],)


def test_a_long_length_without_bytes_behind_it_takes_no_memory() -> None:
    content = b"\x89VCB\1\0" + (2**29).to_bytes(4, "little") + bytes(100)
    tracemalloc.start()
    with pytest.raises(CodecError, match="incomplete"):
        codec.inspect(content)
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()


def test_tables_of_many_large_books_are_refused_before_they_are_made() -> None:
    """A hundred bytes may name 256 books of 2^22 codewords: tables of 64 GiB."""
    model = codec.UniformModel()
    stage = Stage((2**22,) * 256, (1, 1), (1, 1))
    header = Header(bytes(32), GRID, 0, (model.name,), (stage,), 1).pack()
    tracemalloc.start()
    with pytest.raises(CodecError, match="memory of at most"):
        codec.inspect(header)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_memory_of_all_signals_counts_where_all_are_kept() -> None:
    file = io.BytesIO()
    codec.write_codes(file, [np.zeros((40, 40), int)] * 20, [4])
    enough = 20 * (4 * 1600 + 512)
    assert len(codec.read_codes(file.getvalue(), limits=Limits(memory=enough)).codes) == 20
    with pytest.raises(CodecError, match="memory of at most"):
        codec.read_codes(file.getvalue(), limits=Limits(memory=enough - 1))


def test_one_segment_at_a_time_suffices_for_who_keeps_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("vocabula.codec.writer.SEGMENT_BITS", 3200)
    file = io.BytesIO()
    codec.write_codes(file, [np.zeros((40, 40), int)] * 20, [4])
    limits = Limits(memory=4 * 1600 + 512)
    assert codec.inspect(file.getvalue(), limits=limits).segments == 20
    with codec.reader.opened(file.getvalue()) as (stream, name):
        reader = codec.reader.Reader(stream, name, limits=limits)
        signals = codec.signal_reading.read_signals(reader, known_models(name, None), jobs=3)
        assert sum(signal is not None for signal in signals) == 20


@pytest.mark.parametrize(("room", "together"), [(1, 1), (2, 2), (5, 5)])
def test_memory_of_models_counts_over_all_threads(
    room: int, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Segments are decoded side by side only as far as all that they take has room."""
    monkeypatch.setattr("vocabula.codec.writer.SEGMENT_BITS", 3200)
    file = io.BytesIO()
    codec.write_codes(file, [np.zeros((40, 40), int)] * 8, [4], entropy="uniform")
    each = 2**20
    lock, running, most = threading.Lock(), 0, 0

    class Demanding(UniformModel):
        def memory(self, block: Block, stage: int) -> int:
            return each

        def decode(self, block: Block, stage: int, content: bytes) -> list[Codes]:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            time.sleep(0.02)
            with lock:
                running -= 1
            return super().decode(block, stage, content)

    limits = Limits(memory=room * each + 8 * (4 * 1600 + 512))
    with codec.reader.opened(file.getvalue()) as (stream, name):
        reader = codec.reader.Reader(stream, name, limits=limits)
        signals = codec.signal_reading.read_signals(reader, lambda *_: Demanding(), jobs=8)
        assert sum(signal is not None for signal in signals) == 8
    assert 1 <= most <= together


def test_swapped_and_repeated_segments_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vocabula.codec.writer.SEGMENT_BITS", 100)
    file = io.BytesIO()
    codec.write_codes(file, [smooth_codes(12, 5, 6, seed) for seed in range(3)], [12])
    content = file.getvalue()
    header = len(_header(content)[0])
    with codec.reader.opened(content) as (stream, name):
        segments = list(codec.reader.Reader(stream, name).segments())
    parts, at = [], header
    for segment in segments:
        size = segment.head_bytes + sum(map(len, segment.contents or ()))
        parts.append(content[at : at + size])
        at += size
    assert len(parts) == 3
    for order in ((1, 0, 2), (0, 0, 2), (0, 2), (0, 1, 1, 2)):
        with pytest.raises(CodecError):
            codec.read_codes(content[:header] + b"".join(parts[i] for i in order))


def test_a_segment_of_another_file_is_refused(tmp_path: Path) -> None:
    one, other = io.BytesIO(), io.BytesIO()
    codec.write_codes(one, [CODES], [12, 12])
    codec.write_codes(other, [CODES], [12, 13])
    first, second = one.getvalue(), other.getvalue()
    with pytest.raises(CodecError, match="checksum"):
        codec.read_codes(first[: len(_header(first)[0])] + second[len(_header(second)[0]) :])
