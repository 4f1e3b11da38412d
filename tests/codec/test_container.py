"""The container: what is written is read, whatever the signals; what is not right is refused."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vocabula import codec
from vocabula.codec import Limits, writer
from vocabula.codec.header import Header, Stage
from vocabula.codec.integers import Packer, Unpacker
from vocabula.codec.kinds import IMAGE
from vocabula.codec.span import Block, empty_block
from vocabula.errors import CodecError, OptionError, OutputError

from .conftest import smooth_codes, statistics_of


def packed(codes: list[np.ndarray], sizes: list[int], **options: object) -> bytes:
    file = io.BytesIO()
    written = codec.write_codes(file, codes, sizes, **options)  # type: ignore[arg-type]
    assert written == len(file.getvalue())
    return file.getvalue()


@pytest.mark.slow
@given(st.integers(0, 2**56 - 1))
def test_varints_come_back(value: int) -> None:
    packer = Packer()
    packer.varint(value)
    unpacker = Unpacker(packer.content(), "x")
    assert unpacker.varint() == value
    unpacker.end()


@pytest.mark.parametrize(
    ("value", "content"), [(0, "00"), (127, "7f"), (128, "8001"), (300, "ac02"), (16384, "808001")]
)
def test_varints_by_hand(value: int, content: str) -> None:
    packer = Packer()
    packer.varint(value)
    assert packer.content().hex() == content


@pytest.mark.parametrize("content", [b"", b"\x80", b"\x80\x00", b"\xff" * 8 + b"\x01"])
def test_wrong_varints_are_refused(content: bytes) -> None:
    with pytest.raises(CodecError):
        Unpacker(content, "x").varint()


@pytest.mark.parametrize("entropy", codec.ENTROPIES)
@pytest.mark.parametrize("jobs", [1, 2])
def test_signals_come_back(entropy: str, jobs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "SEGMENT_BITS", 600)
    shapes = [(3, 5)] * 9 + [(60, 7), (1, 1), (1, 90), (3, 5)]
    codes = [smooth_codes(40, *shape, seed) for seed, shape in enumerate(shapes)]
    statistics = statistics_of(np.concatenate([c.reshape(-1) for c in codes]), 40)
    content = packed(codes, [40], entropy=entropy, statistics=statistics, jobs=jobs)
    found = codec.read_codes(content, statistics=statistics, jobs=3 - jobs)
    assert found.sizes == shapes
    for code, back in zip(codes, found.codes, strict=True):
        assert back is not None
        assert back.dtype == np.uint32
        assert np.array_equal(back, code)
    assert codec.inspect(content).segments > 5


@pytest.mark.parametrize("sizes", [[2, 300], [5, 5, 5], [1, 1000, 1]])
def test_books_come_back(sizes: list[int]) -> None:
    codes = np.stack([smooth_codes(k, 20, 10, k) for k in sizes], -1)
    found = codec.read_codes(packed([codes], sizes))
    assert found.codes[0] is not None
    assert np.array_equal(found.codes[0], codes)


def test_bytes_do_not_depend_on_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "SEGMENT_BITS", 2000)
    codes = [smooth_codes(64, 50, 50, seed) for seed in range(4)]
    assert packed(codes, [64]) == packed(codes, [64], jobs=4)


@pytest.mark.slow
@pytest.mark.parametrize("symbols", [2, 3, 16, 64, 512, 1024, 8192, 65536, 262144])
@pytest.mark.parametrize("entropy", codec.ENTROPIES)
def test_a_file_is_its_cross_entropy_and_at_most_128_bytes(symbols: int, entropy: str) -> None:
    """Every byte counts: the header, checksums, what the coder rounds and its last words."""
    generator = np.random.default_rng(symbols)
    large = [(300, 200)] if symbols in (2, 512, 262144) else []
    for shape in ((1, 1), (7, 5), (64, 96), *large):
        even = generator.integers(0, symbols, shape)
        for codes in (smooth_codes(symbols, *shape), even, np.minimum(even, even.T.size % symbols)):
            statistics = statistics_of(codes, symbols)
            model = codec.choose_model(entropy, statistics)
            content = packed([codes], [symbols], entropy=model)
            bits = sum(model.bits(block, 0) for block in blocks_of(content, model))
            assert 8 * len(content) <= 1.001 * bits + 8 * 128


def blocks_of(content: bytes, model: codec.EntropyModel) -> list[Block]:
    """The segments of a file, decoded."""
    with codec.reader.opened(content) as (stream, name):
        reader = codec.reader.Reader(stream, name)
        found = []
        for segment in reader.segments():
            block = empty_block(reader.header, segment.head.span)
            assert segment.contents is not None
            block.codes += model.decode(block, 0, segment.contents[0])
            found.append(block)
        return found


@pytest.mark.parametrize("symbols", [2, 1024, 2**18])
def test_one_image_has_a_header_of_at_most_128_bytes(symbols: int) -> None:
    """Of one book or eight, or of four stages that a file can be cut after."""
    eight = smooth_codes(symbols, 64, 96 * 8).reshape(64, 96, 8)
    for codes in (eight[..., 0], eight):
        found = codec.inspect(packed([codes], [symbols] * (1 if codes.ndim == 2 else 8)))
        assert found.header_bytes + found.head_bytes <= 128 - 8  # and the coder's last words
    model = codec.UniformModel()
    stages = (Stage((symbols,), (8, 8), (1, 1)),) * 4
    header = Header(b"\1" * 32, IMAGE, 3, (model.name,), stages, 4)
    file, grids = io.BytesIO(), tuple(eight.transpose(2, 0, 1)[:4])
    writer.write_signals(file, header, [model], [writer.CodedSignal((512, 768), grids)])
    found = codec.inspect(file.getvalue())
    assert found.header_bytes + found.head_bytes <= 128


def test_files_are_whole_or_absent(tmp_path: Path) -> None:
    path, codes = tmp_path / "a.vcb", [smooth_codes(16, 4, 4)]

    def broken() -> object:
        yield codes[0]
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError):
        codec.write_codes(path, broken(), [16])  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
    codec.write_codes(path, codes, [16])
    with pytest.raises(OutputError, match="--overwrite"):
        codec.write_codes(path, codes, [16])
    codec.write_codes(path, codes, [16], overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["a.vcb"]


@pytest.mark.parametrize(
    ("codes", "sizes", "words"),
    [
        ([np.array([[16]])], [16], r"\[0, 16\)"),
        ([np.array([[-1]])], [16], r"\[0, 16\)"),
        ([np.array([[0.5]])], [16], "integers"),
        ([np.zeros((0, 3), int)], [16], "at least one value"),
        ([np.zeros(3, int)], [16], "grid"),
        ([np.zeros((2, 2, 3), int)], [16, 16], "grid"),
        ([], [16], "at least one signal"),
    ],
)
def test_codes_that_do_not_fit_are_refused(
    codes: list[np.ndarray], sizes: list[int], words: str
) -> None:
    with pytest.raises(OptionError, match=words):
        packed(codes, sizes)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(signal_size=99), "signal size of at most 99, got 100"),
        (Limits(signals=1), "signals of at most 1, got 2"),
        (Limits(books=1), "books of at most 1, got 2"),
        (Limits(symbols=15), "symbols of at most 15, got 16"),
        (Limits(memory=1000), "memory of at most 1000"),
    ],
)
def test_limits_are_checked(limits: Limits, words: str) -> None:
    content = packed([np.zeros((10, 10, 2), int)] * 2, [16, 16])
    for look in (codec.read_codes, codec.inspect):
        with pytest.raises(CodecError, match=words):
            look(content, limits=limits)


def test_other_files_are_named_as_such(tmp_path: Path) -> None:
    for content, words in (
        (b"", "empty"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "89 50 4e 47"),
        (b"\x89VC", "more than 10 bytes"),
    ):
        with pytest.raises(CodecError, match=words):
            codec.inspect(content)
    with pytest.raises(CodecError, match="folder"):
        codec.inspect(tmp_path)
    with pytest.raises(CodecError, match="got nothing at that place"):
        codec.inspect(tmp_path / "none.vcb")


def test_unknown_versions_and_flags_and_trailing_bytes_are_refused() -> None:
    content = packed([smooth_codes(16, 4, 4)], [16])
    with pytest.raises(CodecError, match="version 1 of the format, got 2"):
        codec.inspect(content[:4] + b"\2" + content[5:])
    with pytest.raises(CodecError, match="no flags, got 0x10"):
        codec.inspect(content[:5] + b"\x10" + content[6:])
    with pytest.raises(CodecError, match="further bytes"):
        codec.inspect(content + b"\0")


def test_the_model_that_is_needed_is_named() -> None:
    codes = smooth_codes(16, 9, 9)
    statistics = statistics_of(codes, 16)
    for entropy, words in (("static", "static entropy model"), ("adaptive", "adaptive entropy")):
        content = packed([codes], [16], entropy=entropy, statistics=statistics)
        with pytest.raises(CodecError, match=words):
            codec.read_codes(content)
        other = statistics_of(codes[:3], 16)
        with pytest.raises(CodecError, match=words):
            codec.read_codes(content, statistics=other)
    with pytest.raises(OptionError, match="vocabula counts"):
        packed([codes], [16], entropy="static")
    for entropy in ("static", "adaptive"):
        with pytest.raises(OptionError, match=r"\(17,\) codewords, got those of \(16,\)"):
            packed([codes], [17], entropy=entropy, statistics=statistics)
    with pytest.raises(OptionError, match="uniform, static, adaptive"):
        packed([codes], [16], entropy="best")


def test_damage_stays_in_its_segment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "SEGMENT_BITS", 400)
    codes = [smooth_codes(16, 10, 10, seed) for seed in range(6)]
    content = bytearray(packed(codes, [16]))
    with codec.reader.opened(bytes(content)) as (stream, name):
        reader = codec.reader.Reader(stream, name)
        at = len(reader.header_bytes)
        for number, segment in enumerate(reader.segments()):
            if number == 2:
                content[at + segment.head_bytes] ^= 1
            at += segment.head_bytes + sum(map(len, segment.contents or ()))
    found = codec.read_codes(bytes(content), skip_damaged=True)
    whole = [back is not None for back in found.codes]
    assert whole.count(False) == 1
    for code, back in zip(codes, found.codes, strict=True):
        assert back is None or np.array_equal(back, code)
    with pytest.raises(CodecError):
        codec.read_codes(bytes(content))


class Trickle(io.RawIOBase):
    """A stream that gives a byte at a time and cannot seek, as a pipe may."""

    def __init__(self, content: bytes) -> None:
        self._left = iter(content)

    def read(self, size: int = -1) -> bytes:
        return bytes(itertools.islice(self._left, min(size, 1)))


def test_streams_need_no_seeking() -> None:
    codes = smooth_codes(16, 9, 9)
    found = codec.read_codes(Trickle(packed([codes], [16])))  # type: ignore[arg-type]
    assert found.codes[0] is not None
    assert np.array_equal(found.codes[0], codes)


def test_static_pieces_choose_their_table(coder: str) -> None:
    """Codes that are first like the counts and then unlike them: neither table serves all."""
    counts = np.array([1000] + [1] * 15)
    known = codec.CodeStatistics("x", (counts,), (np.arange(16, dtype=np.uint32),))
    like = np.zeros(1024, np.int64)
    unlike = np.arange(1024) % 16
    codes = np.concatenate([like, unlike, like])[None]
    model = codec.StaticModel(known)
    block = codec.Block(((16,),), (((1, codes.shape),),), [codes[0].astype(np.uint32)])
    learned = 2048 * -np.log2(2001 / 2046)
    assert model.bits(block, 0) == pytest.approx(6 + learned + 4 * 1024, abs=0.01)
    whole = codec.StaticModel(known, None)
    assert whole.hash != model.hash
    assert whole.bits(block, 0) > 1.5 * model.bits(block, 0)
    for one in (model, whole):
        content = one.encode(block, 0)
        assert 8 * len(content) <= one.bits(block, 0) * 1.001 + 64
        empty = codec.Block(block.books, block.grids)
        assert np.array_equal(one.decode(empty, 0, content)[0], codes[0])
