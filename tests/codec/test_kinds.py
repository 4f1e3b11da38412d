"""Files of signals other than images: vectors, and kinds that other packages register."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vocabula import codec
from vocabula.codec import batching, writer
from vocabula.codec.header import Header
from vocabula.codec.header_parsing import parse_header
from vocabula.codec.kinds import GRID, IMAGE, KINDS, NAMED, VECTOR, in_two, kind_of
from vocabula.codec.layout import Attachment
from vocabula.codec.limits import NO_LIMITS
from vocabula.errors import CodecError, DataError, OptionError
from vocabula.nn import Decoder, Encoder
from vocabula.quantizers import ResidualQuantizer, VectorQuantizer
from vocabula.registry import component
from vocabula.signals import Image, Signal, Vector
from vocabula.tokenizers import SignalTokenizer, Tokenizer, build_tokenizer
from vocabula.tokenizers.normal import Normal

WIDTH, STRIDE = 5, 3
BOOK = {"name": "vector", "dim": WIDTH, "codebook_size": 8}


@component("signal", "test_wave")
class Wave(Signal):
    """A kind of one axis that the package does not know."""

    axes: ClassVar[tuple[str, ...]] = ("time",)
    unit: ClassVar[str] = "step"
    plural: ClassVar[str] = "waves"

    def __init__(self, channels: int = 2) -> None:
        self.channels = channels

    def units(self, extent: Sequence[int]) -> float:
        """Steps."""
        return float(extent[0])

    def refuse(self, x: Tensor) -> None:
        """Refuse another number of axes or channels."""
        if x.ndim != 3 or x.shape[1] != self.channels:
            raise DataError(f"waves: expected (B, {self.channels}, T), got {tuple(x.shape)}")

    def to_values(self, x: Tensor) -> Tensor:
        """In float32."""
        return x.float()

    def to_stored(self, values: Tensor) -> Tensor:
        """In float32."""
        return values.float()

    def shape_in_words(self) -> str:
        """The shape of a batch."""
        return f"(B, {self.channels}, T)"


@component("encoder", "test_wave")
class WaveEncoder(Encoder):
    """Cuts waves into pieces of `STRIDE` steps."""

    axes: ClassVar[int] = 1

    def __init__(self, channels: int = 2) -> None:
        super().__init__()
        self.in_channels, self.dim = channels, channels * STRIDE
        self.stride = STRIDE

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) to (B, C * STRIDE, T / STRIDE)."""
        return x.unflatten(2, (-1, STRIDE)).movedim(3, 2).flatten(1, 2)


@component("decoder", "test_wave")
class WaveDecoder(Decoder):
    """The inverse of `WaveEncoder`."""

    axes: ClassVar[int] = 1

    def __init__(self, channels: int = 2) -> None:
        super().__init__()
        self.dim, self.out_channels = channels * STRIDE, channels
        self.stride = STRIDE

    def forward(self, x: Tensor) -> Tensor:
        """(B, C * STRIDE, n) to (B, C, n * STRIDE)."""
        return x.unflatten(1, (-1, STRIDE)).movedim(2, 3).flatten(2)


def vector_tokenizer(seed: int = 0) -> SignalTokenizer:
    """Vectors by three residual books."""
    torch.manual_seed(seed)
    quantizer = {"name": "residual", "stages": [BOOK] * 3}
    specs = {"encoder": "identity", "decoder": "identity", "quantizer": quantizer}
    tokenizer = build_tokenizer({**specs, "likelihood": "normal", "signal": "vector"}, WIDTH)
    with torch.no_grad():
        tokenizer.train()(torch.randn(64, WIDTH))
    return tokenizer.eval()


def wave_tokenizer() -> Tokenizer:
    """Waves of two channels by two residual books."""
    torch.manual_seed(0)
    stages = [VectorQuantizer(2 * STRIDE, size) for size in (8, 5)]
    tokenizer = Tokenizer(
        WaveEncoder(),
        ResidualQuantizer(stages),
        WaveDecoder(),
        likelihood=Normal(),
        signal=Wave(),
    )
    with torch.no_grad():
        tokenizer.train()(torch.randn(16, 2, 4 * STRIDE))
    return tokenizer.eval()


VECTORS, WAVES = vector_tokenizer(), wave_tokenizer()


@given(
    count=st.integers(1, 70),
    entropy=st.sampled_from(["uniform", "adaptive"]),
    rows=st.integers(1, 40),
    bits=st.integers(9, 400),
    jobs=st.integers(1, 2),
)
@settings(deadline=None, max_examples=40)
def test_vectors_come_back(count: int, entropy: str, rows: int, bits: int, jobs: int) -> None:
    """Whatever the number, the rows coded at once, the size of a segment and the threads."""
    x = torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(count))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "SEGMENT_BITS", bits)
        patch.setattr(batching, "BATCH_ROWS", rows)
        content = codec.to_bytes(x, VECTORS, entropy=entropy, jobs=jobs)
        back = codec.read(content, VECTORS, jobs=jobs)
    assert isinstance(back, Tensor) and back.dtype == torch.float32
    assert torch.equal(back, VECTORS.reconstruct(x))
    found = codec.inspect(content)
    assert (found.signals, found.units, found.what) == (
        count,
        count,
        f"{count} vector{'s' * (count > 1)} of {WIDTH} channels",
    )
    assert found.bits_per_unit == pytest.approx(8 * len(content) / count)


@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=9), bits=st.integers(6, 300))
@settings(deadline=None, max_examples=40)
def test_signals_of_a_registered_kind_come_back(lengths: list[int], bits: int) -> None:
    generator = torch.Generator().manual_seed(len(lengths))
    waves = [torch.randn(2, length, generator=generator) for length in lengths]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "SEGMENT_BITS", bits)  # long ones are stored in parts
        content = codec.to_bytes(waves, WAVES, names=[str(n) for n in lengths])
    back = codec.read(content, WAVES)
    for wave, one in zip(waves, back, strict=True):
        assert torch.equal(one, WAVES.reconstruct(wave[None])[0])
    found = codec.inspect(content)
    assert found.header.signal.name == "test_wave" and found.header.signal.axes == 1
    assert (found.signals, found.units) == (len(lengths), sum(lengths))
    assert found.header.names == [str(n) for n in lengths]


def test_many_vectors_take_several_segments_and_their_batches_do_not_matter() -> None:
    x = torch.randn(300_000, WIDTH, generator=torch.Generator().manual_seed(0))
    content = codec.to_bytes(x, VECTORS)
    assert codec.inspect(content).segments > 1
    assert codec.to_bytes((part for part in x.split(7777)), VECTORS) == content
    back = codec.read(content, VECTORS)
    assert isinstance(back, Tensor) and torch.equal(back, VECTORS.reconstruct(x))


def test_fewer_stages_are_nearer_the_mean() -> None:
    x = torch.randn(500, WIDTH, generator=torch.Generator().manual_seed(0))
    content = codec.to_bytes(x, VECTORS)
    errors = []
    for stages in (1, 2, 3):
        shorter = io.BytesIO()
        codec.cut(content, shorter, stages)
        one, other = (
            codec.read(shorter.getvalue(), VECTORS),
            codec.read(content, VECTORS, stages=stages),
        )
        assert isinstance(one, Tensor) and isinstance(other, Tensor) and torch.equal(one, other)
        assert codec.to_bytes(x, VECTORS, stages=stages) == shorter.getvalue()
        errors.append(float((one - x).square().mean()))
    assert errors == sorted(errors, reverse=True)


def test_names_are_one_a_vector() -> None:
    x, names = torch.zeros(4, WIDTH), ["a", "b", "", "ä"]
    content = codec.to_bytes(x, VECTORS, names=names)
    assert codec.inspect(content).header.names == names
    for given_names in (names[:3], [*names, "e"]):
        with pytest.raises(OptionError, match="names: expected 4, got"):
            codec.to_bytes(x, VECTORS, names=given_names)
    header = _header(content)
    attached = {Attachment.NAMES: b"a\0b\0"}
    forged = replace(header, attachments=attached).pack()
    assert len(parse_header(forged, "x", NO_LIMITS).names) == 2  # the rows are counted at the end
    file = io.BytesIO()
    signals = batching.encoded(VECTORS, x)
    model = codec.AdaptiveModel()
    writer.write_signals(file, replace(header, attachments=attached), [model], signals)
    with pytest.raises(CodecError, match="4 names of signals, got 2"):
        codec.inspect(file.getvalue())


def test_other_kinds_are_refused_by_name() -> None:
    of_vectors = codec.to_bytes(torch.zeros(2, WIDTH), VECTORS)
    of_waves = codec.to_bytes(torch.zeros(2, 2, 6), WAVES)
    with pytest.raises(CodecError, match=r"kind vector, as this .* got signals of kind test_wave"):
        codec.read(of_waves, VECTORS)
    with pytest.raises(CodecError, match=r"kind test_wave, as this .* got signals of kind vector"):
        codec.read(of_vectors, WAVES)
    with pytest.raises(CodecError, match="expected its tokenizer"):
        codec.read(of_vectors)
    with pytest.raises(CodecError, match="fingerprint"):
        codec.read(of_vectors, vector_tokenizer(1))
    with pytest.raises(OptionError, match="lossless: expected images, got signals of kind vector"):
        codec.to_bytes(torch.zeros(2, WIDTH), VECTORS, lossless=True)
    for wrong in (torch.zeros(2, WIDTH + 1), torch.full((1, WIDTH), torch.nan), torch.zeros(3)):
        with pytest.raises(DataError):
            codec.to_bytes(wrong, VECTORS)
    with pytest.raises(OptionError, match="at least one signal"):
        codec.to_bytes(torch.zeros(0, WIDTH), VECTORS)


def test_a_kind_has_its_row_or_its_name() -> None:
    assert kind_of(Image(3)) is KINDS[IMAGE] and kind_of(Vector(4)) is KINDS[VECTOR]
    wave = kind_of(Wave())
    assert (wave.number, wave.name, wave.axes) == (NAMED, "test_wave", 1)
    assert [in_two(extent) for extent in ((), (7,), (7, 5))] == [(1, 1), (7, 1), (7, 5)]


class Film(Wave):
    """A signal of three axes."""

    axes: ClassVar[tuple[str, ...]] = ("time", "height", "width")

    @property
    def kind(self) -> str:
        """Its name."""
        return "film"


def test_three_axes_are_refused() -> None:
    with pytest.raises(OptionError, match="at most 2 axes, got film with time, height, width"):
        kind_of(Film())


def _header(content: bytes) -> Header:
    length = int.from_bytes(content[6:10], "little")
    return parse_header(content[:length], "x", NO_LIMITS)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": 99}, "known kind of signals, got number 99"),
        ({"kind": NAMED}, "a name for a kind"),
        ({"attachments": {Attachment.SIGNAL: b"\1wave"}}, "a name for a kind"),
        ({"kind": NAMED, "attachments": {Attachment.SIGNAL: b""}}, "axes and the name"),
        ({"kind": NAMED, "attachments": {Attachment.SIGNAL: b"\1"}}, "axes and the name"),
        ({"kind": NAMED, "attachments": {Attachment.SIGNAL: b"\3wave"}}, "axes and the name"),
        ({"kind": NAMED, "attachments": {Attachment.SIGNAL: b"\1\xff"}}, "axes and the name"),
        ({"kind": NAMED, "attachments": {Attachment.SIGNAL: b"\1a\x1b[2J"}}, "axes and the name"),
        ({"kind": NAMED, "attachments": {Attachment.SIGNAL: b"\1" + b"a" * 65}}, "axes and the"),
        ({"kind": NAMED, "attachments": {Attachment.SIGNAL: b"\0vector"}}, "number of the kind"),
        ({"channels": 0}, "channels in"),
        ({"strides": (2, 1)}, "strides along 0 axes"),
        ({"strides": (2, 1), "factors": (2, 1)}, "strides along 0 axes"),
    ],
)
def test_headers_that_no_writer_makes_are_refused(change: dict[str, object], words: str) -> None:
    header = _header(codec.to_bytes(torch.zeros(2, WIDTH), VECTORS))
    of_stage = {name: change.pop(name) for name in ("strides", "factors") if name in change}
    stages = tuple(replace(stage, **of_stage) for stage in header.stages)  # type: ignore[arg-type]
    forged = replace(header, stages=stages, **change).pack()  # type: ignore[arg-type]
    with pytest.raises(CodecError, match=words) as raised:
        parse_header(forged, "x", NO_LIMITS)
    assert str(raised.value).isprintable()


def test_sizes_beyond_the_axes_are_refused() -> None:
    model = codec.UniformModel()
    stage = _header(codec.to_bytes(torch.zeros(2, WIDTH), VECTORS)).stages[0]
    for kind, attached in ((VECTOR, {}), (NAMED, {Attachment.SIGNAL: b"\1wave"})):
        header = Header(bytes(32), kind, 2, (model.name,), (stage,), 1, attached)
        file = io.BytesIO()
        zeros = torch.zeros(3, 2, dtype=torch.int64).numpy()
        writer.write_signals(file, header, [model], [writer.CodedSignal((3, 2), (zeros,))])
        with pytest.raises(CodecError, match="size along"):
            codec.inspect(file.getvalue())
    assert GRID in KINDS


def test_a_reader_without_the_kind_still_inspects_and_reads_codes() -> None:
    """What stands in the file is enough: only the tokenizer needs the class."""
    content = codec.to_bytes(torch.zeros(2, 2, 7), WAVES)
    assert codec.inspect(content).what == "2 test_wave signals of 2 channels"
    assert [codes.shape for codes in codec.read_codes(content).codes] == [(3, 1, 2)] * 2


@pytest.mark.slow
def test_memory_that_signals_take_bounds_a_segment() -> None:
    """Wide vectors of few bits: a segment of the usual bits would take gigabytes."""
    torch.manual_seed(0)
    wide = {"name": "vector", "dim": 4096, "codebook_size": 2}
    specs = {"encoder": "identity", "decoder": "identity", "quantizer": wide}
    tokenizer = build_tokenizer({**specs, "likelihood": "normal", "signal": "vector"}, 4096)
    with torch.no_grad():
        tokenizer.train()(torch.randn(8, 4096))
    rows = torch.zeros(1, 4096).expand(10_000, -1)
    content = codec.to_bytes(rows.split(1000), tokenizer.eval(), entropy="uniform")
    assert codec.inspect(content, limits=codec.Limits(memory=2**27)).segments == 3
