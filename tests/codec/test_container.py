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
from vocabula.codec.layout import Packer, Unpacker
from vocabula.errors import CodecError, OptionError, OutputError

from .conftest import smooth_codes, statistics_of


def packed(codes: list[np.ndarray], sizes: list[int], **options: object) -> bytes:
    file = io.BytesIO()
    written = codec.write_codes(file, codes, sizes, **options)  # type: ignore[arg-type]
    assert written == len(file.getvalue())
    return file.getvalue()


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


def test_one_image_has_a_header_of_at_most_128_bytes() -> None:
    for symbols in (2, 1024, 2**18):
        codes = smooth_codes(symbols, 64, 96)
        found = codec.inspect(packed([codes], [symbols]))
        assert found.header_bytes + found.head_bytes <= 128 - 8  # and the coder's last words


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
        (b"\x89VC", "more than 12 bytes"),
    ):
        with pytest.raises(CodecError, match=words):
            codec.inspect(content)
    with pytest.raises(CodecError, match="folder"):
        codec.inspect(tmp_path)
    with pytest.raises(CodecError, match="No such file"):
        codec.inspect(tmp_path / "none.vcb")


def test_unknown_versions_and_flags_and_trailing_bytes_are_refused() -> None:
    content = packed([smooth_codes(16, 4, 4)], [16])
    with pytest.raises(CodecError, match="version 1 of the format, got 2"):
        codec.inspect(content[:4] + b"\2\0" + content[6:])
    with pytest.raises(CodecError, match="no flags, got 0x0100"):
        codec.inspect(content[:6] + b"\0\1" + content[8:])
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
