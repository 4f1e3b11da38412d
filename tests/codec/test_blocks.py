"""Blocks with their codebook in a file: no model needed, hostile codebooks refused in time."""

from __future__ import annotations

import hashlib
import io
import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from vocabula import codec, palette
from vocabula.codec import Limits
from vocabula.codec.blocks import codebook_of, packed_codebook, put_blocks
from vocabula.codec.header import Header, Stage
from vocabula.codec.header_parsing import parse_header
from vocabula.errors import CodecError, OptionError, ShapeError

from . import specified_pixels
from .conftest import damages
from .golden.make import BLOCKS, FOLDER, golden_blocks, golden_pixels

GOLDEN = FOLDER / f"{BLOCKS}.vcb"


def written(*images: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    assert codec.write_blocks(file, images, **options) == len(file.getvalue())  # type: ignore[arg-type]
    return file.getvalue()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("block", [(4, 4), (1, 1), (3, 5), (64, 2)])
def test_few_blocks_are_exact(channels: int, block: tuple[int, int]) -> None:
    """An image of no more different blocks than codewords keeps them all."""
    image = golden_pixels(13, 11, channels)
    found = codec.read_blocks(written(image, codebook_size=500, block=block))
    assert np.array_equal(found.images()[0], image)
    assert found.codebook.shape[1:] == (*block, channels)


def test_the_images_are_those_of_the_palette_functions() -> None:
    image = golden_pixels(40, 37, 3)
    found = codec.read_blocks(written(image, codebook_size=7, seed=3))
    book = palette.fit_blocks(image, 7, seed=3)
    assert sorted(map(bytes, found.codebook)) == sorted(map(bytes, book))
    shown = palette.decode_blocks(palette.encode_blocks(image, book), book, (40, 37))
    assert np.array_equal(found.images()[0], shown)


def test_no_tokenizer_is_needed() -> None:
    images = [golden_pixels(9, 8, 3), golden_pixels(1, 30, 3)]
    content = written(*images, codebook_size=8)
    found = codec.read(content)
    assert [tuple(image.shape) for image in found] == [(3, 9, 8), (3, 1, 30)]
    expected = codec.read_blocks(content).images()
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == torch.uint8
        assert np.array_equal(one.permute(1, 2, 0).numpy(), other)
    assert codec.read_codes(content).codes[0].shape == (3, 2)


def test_one_codebook_for_several_images_is_smaller() -> None:
    one, other = golden_pixels(40, 40, 3), golden_pixels(40, 44, 3)
    together = written(one, other, codebook_size=64)
    assert len(together) < len(written(one, codebook_size=64)) + len(
        written(other, codebook_size=64)
    )


def test_a_codebook_takes_less_than_its_bytes() -> None:
    from skimage.data import astronaut

    book = codec.quantize_blocks([astronaut()[:200, :200]], 256).codebook
    assert len(packed_codebook(book)) < 0.6 * book.size


def test_large_images_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vocabula.codec.writer.SEGMENT_BITS", 200)
    image = golden_pixels(90, 37, 3)
    content = written(image, codebook_size=30, jobs=2)
    assert codec.inspect(content).segments > 2
    assert np.array_equal(codec.read_blocks(content, jobs=2).images()[0].shape, image.shape)


def test_the_golden_file_decodes_and_is_written_alike(coder: str) -> None:
    content = GOLDEN.read_bytes()
    assert hashlib.sha256(content).hexdigest()[:16] == "9bde86eb5e5ee7b4"
    found, expected = codec.read_blocks(content), golden_blocks()
    assert np.array_equal(found.codebook, golden_pixels(40, 3, 3).reshape(10, 4, 3, 3))
    assert found.sizes == [(13, 10), (4, 5)]
    for one, other in zip(found.codes, expected.codes, strict=True):
        assert np.array_equal(one, other)
    file = io.BytesIO()
    put_blocks(file, expected, names=["a", "b"])
    assert file.getvalue() == content


def test_the_specification_suffices_for_a_codebook() -> None:
    """`specified_pixels` is written from docs/vcb.md and knows nothing of the library."""
    content = golden_header().attachments[2]
    planes = specified_pixels.codebook(content, (10, 4, 3, 3))
    assert np.array_equal(np.array(planes).T.reshape(10, 4, 3, 3), golden_blocks().codebook)


def test_every_truncation_and_every_flipped_bit_is_refused() -> None:
    content = GOLDEN.read_bytes()
    limits = Limits(signal_size=2**12, signals=8, books=8, symbols=2**12, memory=2**18)
    for one in damages(content):
        with pytest.raises(CodecError, match=r"expected .*got"):
            codec.read(one, limits=limits)


def golden_header() -> Header:
    content = GOLDEN.read_bytes()
    return parse_header(content[: int.from_bytes(content[6:10], "little")], "x", Limits())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h: replace(h, channels=2), "another layout"),
        (lambda h: replace(h, tokenizer=b"1" * 32), "another layout"),
        (lambda h: replace(h, stages=h.stages * 2), "another layout"),
        (lambda h: replace(h, stages=(replace(h.stages[0], symbols=(10, 10)),)), "another layout"),
        (lambda h: replace(h, stages=(replace(h.stages[0], factors=(2, 1)),)), "another layout"),
        (lambda h: replace(h, stages=(replace(h.stages[0], strides=(65, 3)),)), "at most 65536"),
        (lambda h: replace(h, stages=(replace(h.stages[0], symbols=(65537,)),)), "at most 65536"),
        (lambda h: replace(h, stages=(replace(h.stages[0], symbols=(200,)),)), "codebook"),
        (lambda h: replace(h, stages=(replace(h.stages[0], symbols=(9,)),)), "codebook"),
        (lambda h: replace(h, attachments={2: b""}), "codebook"),
        (lambda h: replace(h, attachments={2: b"abc"}), "codebook"),
        (lambda h: replace(h, attachments={2: h.attachments[2] + bytes(4)}), "codebook"),
        (lambda h: replace(h, attachments={}), "without"),
    ],
)
def test_codebooks_that_no_writer_writes_are_refused(
    change: Callable[[Header], Header], message: str
) -> None:
    with pytest.raises(CodecError, match=message):
        codebook_of(change(golden_header()), "x", Limits())


def test_claimed_codebooks_take_no_memory() -> None:
    stage = Stage((65536,), (64, 64), (1, 1))
    header = replace(golden_header(), stages=(stage,))
    tracemalloc.start()
    with pytest.raises(CodecError, match="memory of at most"):
        codebook_of(header, "x", Limits())
    assert tracemalloc.get_traced_memory()[1] < 2**16
    tracemalloc.stop()


def test_images_much_smaller_than_their_blocks_take_no_memory() -> None:
    """A row of many pixels in blocks of 64 rows is put together from 64 times the pixels."""
    file = io.BytesIO()
    book = golden_pixels(64, 1, 1).reshape(1, 64, 1, 1)
    codes = [np.zeros((1, 2**16), np.uint32)]
    put_blocks(file, codec.BlockFile(book, codes, [(1, 2**16)]))
    content = file.getvalue()
    assert codec.read(content)[0].shape == (1, 1, 2**16)
    with pytest.raises(CodecError, match="memory of at most"):
        codec.read(content, limits=Limits(memory=2**20))


def test_bad_input_is_refused() -> None:
    image = golden_pixels(8, 8, 3)
    with pytest.raises(OptionError, match="at least one, got none"):
        written()
    with pytest.raises(ShapeError, match="channels"):
        written(np.zeros((8, 8, 2), np.uint8))
    with pytest.raises(ShapeError, match="same channels"):
        written(image, golden_pixels(8, 8, 1))
    with pytest.raises(ShapeError, match="at least one pixel"):
        written(image[:0])
    with pytest.raises(ShapeError, match="uint8"):
        written(image.astype(float))
    for options in ({"codebook_size": 0}, {"codebook_size": 65537}, {"block": (0, 4)}):
        with pytest.raises(OptionError, match="expected an integer in"):
            written(image, **options)
    with pytest.raises(OptionError, match="names: expected 1, got 2"):
        written(image, names=["a", "b"])


def test_other_files_need_their_tokenizer() -> None:
    file = io.BytesIO()
    codec.write_codes(file, [np.zeros((4, 4), int)], [4])
    with pytest.raises(CodecError, match="expected images, got codes alone"):
        codec.read(file.getvalue())
    with pytest.raises(CodecError, match="without"):
        codec.read_blocks(file.getvalue())
