"""Exact pixels: back bit for bit on every machine, damage noticed, rates below PNG's."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from processes import on_instructions
from vocabula import codec
from vocabula.codec import Limits
from vocabula.codec.header import Header, Stage
from vocabula.codec.header_parsing import parse_header
from vocabula.codec.known_models import known_models
from vocabula.codec.layout import ModelId, Role
from vocabula.codec.pixel_steps import Scene, start_table
from vocabula.codec.pixels import PixelModel
from vocabula.codec.reader import Reader, opened
from vocabula.codec.reconstruction import MARGIN, choose_shift, to_bytes
from vocabula.codec.signal_reading import read_signals
from vocabula.codec.span import Block, empty_block
from vocabula.codec.writer import write_signals
from vocabula.errors import CodecError, DataError, OptionError
from vocabula.tokenizers import SignalTokenizer

from . import specified, specified_pixels
from .conftest import damages
from .golden.make import FOLDER, LOSSLESS, golden_pixels, golden_tokenizer

Make = Callable[..., SignalTokenizer]
GOLDEN = FOLDER / f"{LOSSLESS}.vcb"


def pictures(channels: int, *sizes: tuple[int, int]) -> list[Tensor]:
    arrays = [golden_pixels(*size, channels).transpose(2, 0, 1) for size in sizes]
    return [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_pixels_come_back(make_tokenizer: Make, channels: int) -> None:
    tokenizer = make_tokenizer(channels=channels)
    images = pictures(channels, (17, 30), (1, 1), (9, 8), (1, 7))
    content = codec.to_bytes(images, tokenizer, lossless=True)
    back = codec.read(content, tokenizer)
    assert all(
        b.dtype == torch.uint8 and torch.equal(a, b) for a, b in zip(images, back, strict=True)
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["residual", "two levels", "residual levels", "lookup_free"])
@pytest.mark.parametrize("entropy", ["uniform", "adaptive"])
def test_every_tokenizer_serves(make_tokenizer: Make, kind: str, entropy: str) -> None:
    tokenizer = make_tokenizer(kind)
    images = [*pictures(3, (20, 24)), torch.randint(0, 256, (3, 20, 24)).byte()]
    content = codec.to_bytes(images, tokenizer, lossless=True, entropy=entropy)
    back = codec.read(content, tokenizer, jobs=2)
    assert all(torch.equal(a, b) for a, b in zip(images, back, strict=True))


@pytest.mark.parametrize("value", [0, 255])
def test_extreme_pixels_come_back(make_tokenizer: Make, value: int) -> None:
    image = torch.full((1, 3, 9, 11), value, dtype=torch.uint8)
    image[0, :, 4, 5] = 255 - value
    tokenizer = make_tokenizer()
    assert torch.equal(
        codec.read(codec.to_bytes(image, tokenizer, lossless=True), tokenizer)[0], image[0]
    )


def test_parts_of_a_large_picture(make_tokenizer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part is coded by itself, with the reconstruction of its own rows."""
    monkeypatch.setattr("vocabula.codec.writer.SEGMENT_BITS", 600)
    tokenizer = make_tokenizer("two levels")
    images = pictures(3, (50, 24), (8, 8), (33, 16))
    content = codec.to_bytes(images, tokenizer, lossless=True, jobs=2)
    assert codec.inspect(content).segments > 5
    back = codec.read(content, tokenizer, jobs=2)
    assert all(torch.equal(a, b) for a, b in zip(images, back, strict=True))
    lossy = codec.to_bytes(images, tokenizer)
    for one, other in zip(
        codec.read(content, tokenizer, stages=2), codec.read(lossy, tokenizer), strict=True
    ):
        assert torch.equal(one, other)


def test_a_lossless_file_is_a_lossy_one_too(make_tokenizer: Make) -> None:
    tokenizer = make_tokenizer("residual")
    images = pictures(3, (20, 24))
    content = codec.to_bytes(images, tokenizer, lossless=True)
    for stages in (1, 2, 3):
        lossy = codec.read(codec.to_bytes(images, tokenizer, stages=stages), tokenizer)[0]
        assert torch.equal(codec.read(content, tokenizer, stages=stages)[0], lossy)
        shorter = io.BytesIO()
        codec.cut(content, shorter, stages)
        assert torch.equal(codec.read(shorter.getvalue(), tokenizer)[0], lossy)
    expected = codec.read_codes(codec.to_bytes(images, tokenizer)).codes[0]
    assert np.array_equal(codec.read_codes(content).codes[0], expected)


def test_inspect_counts_the_pixels(make_tokenizer: Make) -> None:
    content = codec.to_bytes(pictures(3, (20, 24)), make_tokenizer(), lossless=True)
    found = codec.inspect(content)
    assert found.header.lossless and found.positions == (30, 480)
    assert found.file_bytes == len(content)
    assert found.stage_bytes[1] > found.stage_bytes[0]


def test_a_chunk_is_the_cross_entropy(make_tokenizer: Make) -> None:
    tokenizer = make_tokenizer()
    image = pictures(3, (40, 40))[0].numpy().astype(np.uint32)
    grids: tuple[tuple[tuple[int, tuple[int, ...]], ...], ...] = (
        ((1, (10, 10)),),
        ((1, (40, 40)),),
    )
    codes = np.arange(100, dtype=np.uint32) % 16
    block = Block(((16,), (256,) * 3), grids, [codes, *image.reshape(3, -1)])
    model = PixelModel(tokenizer)
    bits = model.bits(block, 1)
    assert bits - 1 <= 8 * len(model.encode(block, 1)) <= 1.001 * bits + 72


def test_smooth_pictures_take_less_than_png() -> None:
    """With the golden tokenizer, which has never seen them."""
    from skimage.data import astronaut

    pixels = np.ascontiguousarray(astronaut()[:128, :128])
    image = torch.from_numpy(pixels.transpose(2, 0, 1).copy())
    ours = codec.to_bytes(image[None], golden_tokenizer(), lossless=True)
    sizes = []
    for options in ({"format": "PNG", "optimize": True}, {"format": "WEBP", "lossless": True}):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, **options)  # type: ignore[arg-type]
        sizes.append(len(file.getvalue()))
    assert len(ours) < 0.97 * min(sizes)


@pytest.mark.slow
@pytest.mark.parametrize("flat", [False, True])
def test_compiled_and_plain_python_write_the_same(flat: bool) -> None:
    from vocabula.codec import fallback, native

    if not native.available():
        pytest.skip("the compiled coders were not built")
    chance = np.random.default_rng(0)
    for channels in (1, 2, 3, 4):
        grids = np.array([[2, 5, 7], [1, 1, 1], [1, 3, 2]])
        shape = (channels, int(grids.prod(1).sum()))
        values = chance.integers(0, 256, shape).astype(np.uint32)
        if flat:
            values = values // 64 + 126
        scene = Scene(grids, chance.integers(0, 256, shape).astype(np.uint8))
        contents = []
        for coder in (native, fallback):
            encoder = coder.Encoder()
            encoder.pixels(values, scene)
            contents.append(encoder.content())
        assert contents[0] == contents[1]
        for coder in (native, fallback):
            decoder = coder.Decoder(np.frombuffer(contents[0], "<u4").astype(np.uint32))
            assert np.array_equal(decoder.pixels(scene), values)
            decoder.end()


def test_the_start_table_is_the_law_of_powers() -> None:
    """theta = size / (size + 8); level 5 is noise + 1 of 8 to 12, the middle 10."""
    table = start_table() / 2**22
    theta = 10 / (10 + 8)
    assert table.shape == (21, 40)
    assert table[5, 0] == pytest.approx(2 * theta / (1 + theta), abs=1e-6)
    assert table[5, 4] == pytest.approx(theta**4, abs=1e-6)
    assert table[5, 17] == pytest.approx(theta**2 / (1 + theta**2), abs=1e-6)
    assert table[5, 1] == 0.5


def test_rounding_keeps_away_from_ties() -> None:
    values = np.array([0.5, 100.5, 254.5, 0.0, 255.0, 17.25])
    shift = choose_shift(values)
    assert shift == 1  # 0.5 + 0.5 is a border, and any shift will do
    assert to_bytes(values, shift).tolist() == [1, 101, 255, 0, 255, 17]
    for error in (-MARGIN / 2, MARGIN / 2):
        assert np.array_equal(to_bytes(values + error, shift), to_bytes(values, shift))
    assert choose_shift(np.array([3.3])) == 0


def test_a_reconstruction_that_differs_is_noticed(
    make_tokenizer: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = make_tokenizer()
    content = codec.to_bytes(pictures(3, (20, 24)), tokenizer, lossless=True)
    decode = type(tokenizer).decode
    monkeypatch.setattr(
        type(tokenizer), "decode", lambda self, *a, **k: (decode(self, *a, **k) + 0.02).clamp(0, 1)
    )
    with pytest.raises(CodecError, match=r"expected (codes|the words)"):
        codec.read(content, tokenizer)


def test_threads_batches_and_precision_of_the_tokenizer_play_no_part(make_tokenizer: Make) -> None:
    tokenizer = make_tokenizer()
    images = torch.stack(pictures(3, (20, 24)) * 8)
    content = codec.to_bytes(images, tokenizer, lossless=True)
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            assert codec.to_bytes(images, tokenizer, lossless=True, jobs=threads) == content
            assert torch.equal(torch.stack(codec.read(content, tokenizer, jobs=threads)), images)
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.parametrize("capability", ["default", "avx2", "avx512"])
def test_another_instruction_set_decodes_the_golden_file(capability: str) -> None:
    program = (
        "import sys, vocabula; from vocabula import codec\n"
        "images = codec.read(sys.argv[1], vocabula.load(sys.argv[2]), jobs=2)\n"
        "print(*(int(image.long().sum()) for image in images))"
    )
    printed = on_instructions(capability, program, GOLDEN, FOLDER / "tokenizer")
    sums = [int(golden_pixels(*size, 3).astype(int).sum()) for size in ((17, 14), (5, 3))]
    assert [int(word) for word in printed.split()] == sums


def test_the_golden_file_is_the_committed_one() -> None:
    assert hashlib.sha256(GOLDEN.read_bytes()).hexdigest()[:16] == "54fc0b3885348b52"


@pytest.mark.slow
def test_the_golden_file_decodes_and_is_written_alike(coder: str) -> None:
    tokenizer = golden_tokenizer()
    for size, image in zip(((17, 14), (5, 3)), codec.read(GOLDEN, tokenizer), strict=True):
        assert np.array_equal(image.permute(1, 2, 0).numpy(), golden_pixels(*size, 3))
    model, file = PixelModel(tokenizer), io.BytesIO()
    with opened(GOLDEN) as (stream, name):
        reader = Reader(stream, name)
        signals = [s for s in read_signals(reader, known_models(name, None, [model])) if s]
    write_signals(file, reader.header, [codec.AdaptiveModel(), model], signals)
    assert file.getvalue() == GOLDEN.read_bytes()


def test_the_specification_suffices_for_pixels() -> None:
    """Given the reconstruction, of which the network is no part of the specification."""
    model = PixelModel(golden_tokenizer())
    with opened(GOLDEN) as (stream, name):
        reader = Reader(stream, name)
        (segment,) = reader.segments()
    assert segment.contents is not None
    codes, chunk = segment.contents
    block = empty_block(reader.header, segment.head.span)
    block.codes += codec.AdaptiveModel().decode(block, 0, codes)
    scene, _ = model._scene(block, 1, chunk[0])
    decoder, at = specified_pixels.Pixels(specified.Message(chunk[1:])), 0
    for height, width in ((17, 14), (5, 3)):
        shown = scene.reconstructed[:, at : at + height * width].reshape(3, height, width)
        planes = np.array(decoder.image(shown.astype(int).tolist()))
        assert np.array_equal(planes[[1, 0, 2]].transpose(1, 2, 0), golden_pixels(height, width, 3))
        at += height * width


@pytest.mark.slow
def test_every_truncation_and_every_flipped_bit_is_refused() -> None:
    tokenizer = golden_tokenizer()
    image = pictures(3, (5, 4))
    content = codec.to_bytes(image, tokenizer, lossless=True)
    limits = Limits(signal_size=2**12, signals=8, books=8, symbols=2**12, memory=2**24)
    for one in damages(content):
        with pytest.raises(CodecError, match=r"expected .*got"):
            codec.read(one, tokenizer, limits=limits)


def test_memory_is_asked_for_before_it_is_taken(make_tokenizer: Make) -> None:
    tokenizer = make_tokenizer()
    content = codec.to_bytes(pictures(3, (64, 64)), tokenizer, lossless=True)
    held = 512 + 4 * (3 * 64 * 64 + 16 * 16) + 3 * 64 * 64
    with pytest.raises(CodecError, match="expected memory of at most"):
        codec.read(content, tokenizer, limits=Limits(memory=held + 2**20))
    assert len(codec.read(content, tokenizer, limits=Limits(memory=held + 2**24))) == 1


def test_random_messages_are_refused_or_end(make_tokenizer: Make) -> None:
    """Behind the checksums: any words give values below 256, or the error."""
    model = PixelModel(make_tokenizer())
    block = Block(((16,), (256,) * 3), (((1, (2, 2)),), ((1, (8, 8)),)), [np.zeros(4, np.uint32)])
    chance = np.random.default_rng(0)
    for length in (0, 1, 4, 5, 9, 41, 401):
        for _ in range(10):
            try:
                values = model.decode(block, 1, chance.bytes(length))
            except CodecError:
                continue
            assert all(int(v.max()) < 256 for v in values)


def forged(change: Callable[[list[Stage]], list[Stage]]) -> bytes:
    header = parse_header(golden_header(), "x", Limits())
    stages = tuple(change(list(header.stages)))
    return Header(
        header.tokenizer, header.kind, header.channels, header.models, stages, len(stages)
    ).pack()


def golden_header() -> bytes:
    content = GOLDEN.read_bytes()
    return content[: int.from_bytes(content[6:10], "little")]


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s[::-1],
        lambda s: s[1:],
        lambda s: [s[0], s[1], s[1]],
        lambda s: [s[0], Stage((256,) * 3, (1, 1), (1, 1), 0, Role.RESIDUAL)],
        lambda s: [s[0], Stage((256,) * 3, (1, 1), (1, 1), 1, Role.CODES)],
        lambda s: [s[0], Stage((256,) * 2, (1, 1), (1, 1), 1, Role.RESIDUAL)],
        lambda s: [s[0], Stage((256,) * 3, (2, 1), (1, 1), 1, Role.RESIDUAL)],
        lambda s: [s[0], Stage((257,) * 3, (1, 1), (1, 1), 1, Role.RESIDUAL)],
    ],
)
def test_headers_that_no_writer_writes_are_refused(
    change: Callable[[list[Stage]], list[Stage]],
) -> None:
    with pytest.raises(CodecError, match="exact pixels"):
        parse_header(forged(change), "x", Limits())


def test_the_header_names_the_model() -> None:
    header = parse_header(golden_header(), "x", Limits())
    assert [model.id for model in header.models] == [ModelId.ADAPTIVE, ModelId.PIXELS]
    # the first bytes of SHA-256 of the length of "pixels" in 8 bytes and the word
    digest = hashlib.sha256((6).to_bytes(8, "little") + b"pixels").digest()
    assert header.models[1].hash == digest[:8]
    assert header.books == (16,) and header.symbols == (16, 256, 256, 256)


def test_what_does_not_go_together_is_refused(make_tokenizer: Make) -> None:
    tokenizer = make_tokenizer("residual")
    images = pictures(3, (8, 8))
    with pytest.raises(OptionError, match="expected all 3 stages, got 2"):
        codec.to_bytes(images, tokenizer, lossless=True, stages=2)
    with pytest.raises(DataError, match="expected uint8 images"):
        codec.to_bytes([images[0] / 255], tokenizer, lossless=True)
    with pytest.raises(OptionError, match="1 to 4 channels"):
        codec.to_bytes(torch.zeros(1, 5, 8, 8).byte(), make_tokenizer(channels=5), lossless=True)
    with pytest.raises(CodecError, match="fingerprint"):
        codec.read(
            codec.to_bytes(images, tokenizer, lossless=True), make_tokenizer("residual", seed=1)
        )
    with pytest.raises(CodecError, match="expected its tokenizer"):
        codec.read(codec.to_bytes(images, tokenizer, lossless=True))
