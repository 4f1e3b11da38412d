"""Files of recordings: a sample rate, lengths in samples, many clips, and packed names."""

from __future__ import annotations

import io
import random
import zlib
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vocabula import codec
from vocabula.codec import writer
from vocabula.codec.header import Header
from vocabula.codec.header_parsing import parse_header
from vocabula.codec.kinds import AUDIO, KINDS, VECTOR, kind_of
from vocabula.codec.layout import Attachment
from vocabula.codec.limits import NO_LIMITS, Limits
from vocabula.codec.packed_names import pack_names, unpack_names
from vocabula.errors import CodecError, OptionError
from vocabula.nn import Decoder, Encoder
from vocabula.quantizers import ResidualQuantizer, VectorQuantizer
from vocabula.registry import component
from vocabula.signals import Audio
from vocabula.tokenizers import Tokenizer
from vocabula.tokenizers.normal import Normal

from . import specified

STRIDE, RATE = 4, 11025


@component("encoder", "test_cut")
class Cut(Encoder):
    """Pieces of `STRIDE` samples."""

    axes: ClassVar[int] = 1

    def __init__(self) -> None:
        super().__init__()
        self.in_channels, self.dim, self.stride = 1, STRIDE, STRIDE

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, T) to (B, STRIDE, T / STRIDE)."""
        return x.unflatten(2, (-1, STRIDE)).movedim(3, 2).flatten(1, 2)


@component("decoder", "test_join")
class Join(Decoder):
    """The inverse of `Cut`."""

    axes: ClassVar[int] = 1

    def __init__(self) -> None:
        super().__init__()
        self.dim, self.out_channels, self.stride = STRIDE, 1, STRIDE

    def forward(self, z: Tensor) -> Tensor:
        """(B, STRIDE, n) to (B, 1, n * STRIDE)."""
        return z.unflatten(1, (-1, STRIDE)).movedim(2, 3).flatten(2)


def sound_tokenizer(rate: int = RATE) -> Tokenizer:
    """Recordings by two residual books."""
    torch.manual_seed(0)
    stages = [VectorQuantizer(STRIDE, size) for size in (8, 5)]
    quantizer = ResidualQuantizer(stages)
    tokenizer = Tokenizer(
        Cut(), quantizer, Join(), likelihood=Normal(), signal=Audio(rate, channels=1)
    )
    with torch.no_grad():
        tokenizer.train()(torch.randn(16, 1, 4 * STRIDE))
    return tokenizer.eval()


SOUND = sound_tokenizer()


def clips(lengths: list[int]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(len(lengths))
    return [torch.rand(1, length, generator=generator) * 2 - 1 for length in lengths]


@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=9), bits=st.integers(6, 300))
@settings(deadline=None, max_examples=30)
def test_recordings_come_back_with_every_sample(lengths: list[int], bits: int) -> None:
    names = [f"theo/{n}.wav" for n in range(len(lengths))]
    recordings = clips(lengths)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "SEGMENT_BITS", bits)  # long ones are stored in parts
        content = codec.to_bytes(recordings, SOUND, names=names)
    back = codec.read(content, SOUND)
    for one, other in zip(recordings, back, strict=True):
        assert other.dtype == torch.float32
        assert torch.equal(other, SOUND.reconstruct(one[None])[0])
    found = codec.inspect(content)  # no tokenizer
    assert found.header.signal.rate == RATE and found.header.names == names
    assert found.units == pytest.approx(sum(lengths) / RATE)
    assert found.bits_per_unit == pytest.approx(8 * len(content) * RATE / sum(lengths))
    shorter, first = io.BytesIO(), codec.read(content, SOUND, stages=1)
    codec.cut(content, shorter, 1)
    assert all(map(torch.equal, codec.read(shorter.getvalue(), SOUND), first))


def test_the_second_reader_knows_lengths_names_and_rate() -> None:
    lengths, names = [9, 30, 30, 30, 2], ["a", "a/b", "", "\u00e4", "\u00e4c"]
    content = codec.to_bytes(clips(lengths), SOUND, entropy="uniform", names=names)
    found = specified.read(content)
    assert [len(books[0]) for books in found] == [-(-n // STRIDE) for n in lengths]
    header = _header(content)
    assert specified.names(header.attachments[Attachment.PACKED_NAMES]) == names
    assert specified.rate(header.attachments[Attachment.RATE]) == RATE


def test_a_clip_costs_two_bytes_beside_its_codes() -> None:
    """Lengths of 64 to 8191 samples are two bytes, and equal neighbours are one run."""
    few, many = ([64 + n for n in range(count)] for count in (10, 110))
    sizes = [
        codec.inspect(codec.to_bytes(clips(lengths), SOUND)).head_bytes for lengths in (few, many)
    ]
    assert sizes[1] - sizes[0] <= 2 * 100 + 2 + 2  # the length of the head, those of two chunks
    equal = [codec.inspect(codec.to_bytes(clips([99] * n), SOUND)).head_bytes for n in (20, 120)]
    assert equal[1] - equal[0] <= 2


def test_names_of_recordings_are_packed() -> None:
    """Of 300 files as a data set names them; fifteen bytes each take less than one."""
    speakers = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
    names = [f"{d}_{who}_{i}.wav" for d in range(10) for who in speakers for i in range(5)]
    packed = pack_names(names)
    assert unpack_names(packed, "x") == names
    assert len(packed) < len(names) < sum(map(len, names)) / 12


@given(st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8"))))
@settings(max_examples=50)
def test_any_names_come_back(names: list[str]) -> None:
    assert unpack_names(pack_names(names), "x", 2**20) == names


def test_damaged_names_are_refused_by_one_error() -> None:
    good = zlib.decompress(pack_names(["0_theo_1.wav", "0_theo_2.wav"]))
    wrong = {
        b"no stream": "zlib stream",
        zlib.compress(good) + b"x": "whole zlib stream",
        zlib.compress(good)[:-1]: "whole zlib stream",
        zlib.compress(good[:-1]): "zero byte",
        zlib.compress(b"\1a\0"): "shared with the name before",
        zlib.compress(b"\0\xff\0"): "names in UTF-8",
    }
    for content, words in wrong.items():
        with pytest.raises(CodecError, match=words):
            unpack_names(content, "x", 2**20)
    long = b"\0" + b"a" * 1000 + b"\0" + b"\xe8\x07\0" * 1000  # 1000 names of 1000 bytes
    with pytest.raises(CodecError, match="at most 65536 bytes"):
        unpack_names(zlib.compress(long), "x", 2**16)
    with pytest.raises(CodecError, match="whole zlib stream"):
        unpack_names(zlib.compress(bytes(2**20)), "x", 2**10)
    chance = random.Random(0)
    packed = pack_names(["0_theo_1.wav", "0_theo_2.wav"])
    for _ in range(300):
        changed = bytearray(packed)
        changed[chance.randrange(len(packed))] ^= 1 << chance.randrange(8)
        with pytest.raises(CodecError):
            unpack_names(bytes(changed), "x", 2**10)


def _header(content: bytes) -> Header:
    length = int.from_bytes(content[6:10], "little")
    return parse_header(content[:length], "x", NO_LIMITS)


@pytest.mark.parametrize(
    ("attachments", "words"),
    [
        ({}, "a sample rate for a kind"),
        ({Attachment.RATE: b"\0"}, "sample rate in"),
        ({Attachment.RATE: b""}, "more bytes"),
        ({Attachment.RATE: b"\x40\1"}, "no further bytes"),
        ({Attachment.RATE: b"\x40", Attachment.NAMES: b"a\0"}, "form of the kind"),
        ({Attachment.RATE: b"\x40", Attachment.SIGNAL: b"\1audio"}, "a name for a kind"),
        ({Attachment.RATE: b"\x40", Attachment.PACKED_NAMES: b"a"}, "zlib stream"),
    ],
)
def test_headers_that_no_writer_makes_are_refused(
    attachments: dict[int, bytes], words: str
) -> None:
    header = _header(codec.to_bytes(clips([8]), SOUND))
    with pytest.raises(CodecError, match=words):
        parse_header(replace(header, attachments=attachments).pack(), "x", NO_LIMITS)
    other = replace(header, kind=VECTOR, attachments={Attachment.RATE: b"\x40"})
    with pytest.raises(CodecError, match="a sample rate for a kind"):
        parse_header(other.pack(), "x", NO_LIMITS)


def test_the_kind_has_the_rate_of_the_signal() -> None:
    assert kind_of(Audio(16000)) == replace(KINDS[AUDIO], rate=16000)
    with pytest.raises(OptionError, match="sample rate of at most 4294967295 Hz, got 4294967296"):
        kind_of(Audio(2**32))
    content = codec.to_bytes(clips([RATE]), SOUND)
    assert codec.inspect(content).what == "1 recording of 1 channel"
    with pytest.raises(CodecError, match="fingerprint"):
        codec.read(content, sound_tokenizer(8000))


def test_a_claimed_length_takes_no_memory() -> None:
    """Four bytes may claim two billion samples."""
    content = bytearray(codec.to_bytes(clips([3]), SOUND, entropy="uniform"))
    with pytest.raises(CodecError, match=r"signal_size|values|of at most"):
        codec.read(bytes(content), SOUND, limits=Limits(signal_size=2))


def test_files_at_a_path(tmp_path: Path) -> None:
    size = codec.write(tmp_path / "all.vcb", clips([5, 6]), SOUND, names=["x.wav", "y.wav"])
    assert size == (tmp_path / "all.vcb").stat().st_size
    with pytest.raises(OptionError, match="expected 2, got 1"):
        codec.write(tmp_path / "other.vcb", clips([5, 6]), SOUND, names=["x.wav"])
