"""Block vector quantization in a file: codes and the codebook itself, so that no model is needed.

    images --cut, k-means--> codebook (K, bh, bw, C) --> attachment of the header
             nearest codeword --> codes (h, w) --> one stage, by the adaptive model

The codebook is stored as an image by the model of exact pixels, its codewords one below the other
and similar ones side by side. That halves its bytes; zlib on differences saves a sixth.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vocabula.codec.adaptive import AdaptiveModel
from vocabula.codec.code_order import principal_order
from vocabula.codec.coder import new_decoder, new_encoder
from vocabula.codec.header import HASH, Header, Stage
from vocabula.codec.integers import damaged
from vocabula.codec.kinds import GRID, IMAGE
from vocabula.codec.known_models import known_models
from vocabula.codec.layout import Attachment, Role
from vocabula.codec.limits import Limits
from vocabula.codec.pixel_steps import Scene
from vocabula.codec.pixels import coding_order
from vocabula.codec.profiles import profile_attachment
from vocabula.codec.reader import Models, Reader, Source, opened
from vocabula.codec.signal_reading import read_signals
from vocabula.codec.stages import name_attachment
from vocabula.codec.writer import CodedSignal, Target, write_signals
from vocabula.errors import CodecError, OptionError
from vocabula.palette import decode_blocks, encode_blocks
from vocabula.palette.blocks import MAX_CODES, MAX_SIDE, as_block_images, fit_shared_blocks

_MIDDLE = 128
_CHANNELS = (1, 3)
_BYTES_PER_VALUE = 16
"""Memory that decoding a codebook takes for each of its values."""


@dataclass(frozen=True)
class BlockFile:
    """Images as blocks of one codebook.

    Attributes:
        codebook: (K, block height, block width, C) uint8.
        codes: integers (h, w) in [0, K) of each image.
        sizes: size (H, W) of each image.
    """

    codebook: NDArray[np.uint8]
    codes: list[NDArray[np.uint32]]
    sizes: list[tuple[int, int]]

    def images(self) -> list[NDArray[np.uint8]]:
        """The images (H, W, C)."""
        pairs = zip(self.codes, self.sizes, strict=True)
        return [decode_blocks(codes, self.codebook, size) for codes, size in pairs]


def quantize_blocks(
    images: Sequence[NDArray[np.uint8]],
    codebook_size: int = 256,
    *,
    block: tuple[int, int] = (4, 4),
    seed: int = 0,
) -> BlockFile:
    """Choose one codebook for images, in an order that compresses well, and code them with it.

    Args:
        images: (H, W), (H, W, 1) or (H, W, 3) uint8 each, all of the same channels.
        codebook_size: most codewords, 1 to 65536.
        block: its height and width in pixels, 1 to 64 each.
        seed: of k-means.

    Raises:
        ShapeError: an image is no such array, or channels differ.
        OptionError: a number is out of range, or there is no image.

    Example:
        >>> quantize_blocks([np.zeros((5, 7), np.uint8)]).codes[0].shape
        (2, 2)
    """
    arrays = as_block_images(images)
    book = fit_shared_blocks(arrays, codebook_size, block=block, seed=seed)
    codes = [encode_blocks(image, book) for image in arrays]
    counts = sum(np.bincount(c.reshape(-1), minlength=len(book)) for c in codes)
    vectors = torch.from_numpy(book.reshape(len(book), -1).astype(np.float32))
    order = principal_order(vectors, torch.as_tensor(counts).float() + 1).numpy()
    place = np.argsort(order).astype(np.uint32)
    sizes = [(image.shape[0], image.shape[1]) for image in arrays]
    return BlockFile(book[order], [place[c] for c in codes], sizes)


def write_blocks(
    target: Target,
    images: Sequence[NDArray[np.uint8]],
    codebook_size: int = 256,
    *,
    block: tuple[int, int] = (4, 4),
    seed: int = 0,
    names: Sequence[str] = (),
    jobs: int = 1,
    overwrite: bool = False,
) -> int:
    """Write images as blocks of one codebook that is stored with them: any reader opens the file.

    Args:
        target: a path or a binary stream.
        images: as in `quantize_blocks`.
        codebook_size: most codewords, 1 to 65536.
        block: its height and width in pixels, 1 to 64 each.
        seed: of k-means.
        names: names of the images, stored in the file.
        jobs: threads that code.
        overwrite: replace an existing file.

    Returns:
        Bytes written.

    Raises:
        ShapeError: an image is no such array, or channels differ.
        OptionError: a number is out of range, there is no image, or the number of names differs.
        OutputError: the file exists or cannot be written.

    Example:
        >>> import io
        >>> file = io.BytesIO()
        >>> size = write_blocks(file, [np.zeros((5, 7, 3), np.uint8)])
        >>> read_blocks(file.getvalue()).images()[0].shape
        (5, 7, 3)
    """
    if names and len(names) != len(images):
        raise OptionError(f"names: expected {len(images)}, got {len(names)}; give one an image")
    found = quantize_blocks(images, codebook_size, block=block, seed=seed)
    return put_blocks(target, found, names=names, jobs=jobs, overwrite=overwrite)


def put_blocks(
    target: Target,
    found: BlockFile,
    *,
    names: Sequence[str] = (),
    profiles: Sequence[bytes] = (),
    jobs: int = 1,
    overwrite: bool = False,
) -> int:
    """Write the result of `quantize_blocks`; arguments as for `write_blocks`, plus profiles."""
    model = AdaptiveModel()
    size, height, width, channels = found.codebook.shape
    stage = Stage((size,), (height, width), (1, 1))
    attachments = {**name_attachment(names), **profile_attachment(profiles)}
    attachments[Attachment.CODEBOOK] = packed_codebook(found.codebook)
    header = Header(bytes(HASH), IMAGE, channels, (model.name,), (stage,), 1, attachments)
    pairs = zip(found.codes, found.sizes, strict=True)
    signals = (CodedSignal(size, (codes,)) for codes, size in pairs)
    return write_signals(target, header, [model], signals, jobs=jobs, overwrite=overwrite)


def read_blocks(source: Source, *, limits: Limits | None = None, jobs: int = 1) -> BlockFile:
    """Read codebook and codes of a file that `write_blocks` wrote.

    Args:
        source: a path, bytes or a binary stream.
        limits: caps on what the file may hold.
        jobs: threads that decode.

    Raises:
        CodecError: the file is damaged, foreign, without a codebook or too large.
    """
    with opened(source) as (file, name):
        reader = Reader(file, name, limits=limits, gathers=True)
        book = codebook_of(reader.header, name, reader.limits)
        found = BlockFile(book, [], [])
        for codes, size in _decoded(reader, book, known_models(name, None), jobs):
            found.codes.append(codes)
            found.sizes.append(size)
        return found


def holds_blocks(header: Header) -> bool:
    """Whether a file holds a codebook of blocks and so needs no tokenizer."""
    return Attachment.CODEBOOK in header.attachments


def check_needs_none(header: Header, name: str) -> None:
    """Refuse a file that only its tokenizer decodes.

    Raises:
        CodecError: the error names the tokenizer.
    """
    if holds_blocks(header):
        return
    if header.kind == GRID:
        raise CodecError(
            f"{name}: expected images, got codes alone; read them with codec.read_codes"
        )
    raise CodecError(
        f"{name}: expected its tokenizer, with fingerprint {header.fingerprint}, got none; name "
        "the run that compressed it: vocabula decompress RUN FILES"
    )


def block_images(reader: Reader, models: Models, *, jobs: int) -> Iterator[Tensor]:
    """The images (C, H, W) of a file of blocks, one by one.

    Args:
        reader: reader of the file.
        models: gives the entropy model for a name in the header.
        jobs: threads that decode.

    Raises:
        CodecError: the file is damaged or larger than the limits.
    """
    book = codebook_of(reader.header, reader.name, reader.limits)
    for codes, size in _decoded(reader, book, models, jobs):
        yield torch.from_numpy(decode_blocks(codes, book, size)).permute(2, 0, 1)


def _decoded(
    reader: Reader, book: NDArray[np.uint8], models: Models, jobs: int
) -> Iterator[tuple[NDArray[np.uint32], tuple[int, int]]]:
    """Codes and size of each image, checked: whole blocks may be far larger than the image."""
    for signal in read_signals(reader, models, jobs=jobs):
        assert signal is not None, "damage raises"
        codes = signal.streams[0]
        reader.limits.check(reader.name, "memory", codes.size * book[0].size)
        yield codes, (signal.size[0], signal.size[1])


def packed_codebook(book: NDArray[np.uint8]) -> bytes:
    """The attachment that stores a codebook (K, bh, bw, C) in the header."""
    channels = book.shape[3]
    planes = book.reshape(-1, channels).T[coding_order(channels)]
    encoder = new_encoder()
    encoder.pixels(planes.astype(np.uint32), _scene(book.shape))
    return encoder.content()


def codebook_of(header: Header, name: str, limits: Limits) -> NDArray[np.uint8]:
    """The codebook (K, bh, bw, C) that a file holds.

    Raises:
        CodecError: it has none, or a damaged one, or one larger than the limits.
    """
    content = header.attachments.get(Attachment.CODEBOOK)
    if content is None:
        raise CodecError(
            f"{name}: expected a file with a codebook of blocks, got one without; read it with "
            "codec.read and its tokenizer, or codec.read_codes"
        )
    stage = header.stages[0]
    (size, *more), sides = stage.symbols, stage.strides
    single = len(header.stages) == 1 and not more and stage.factors == (1, 1)
    images = header.kind == IMAGE and header.channels in _CHANNELS
    if not (single and images and stage.role == Role.CODES and not header.fingerprint):
        raise damaged(name, "one book of blocks of grey or RGB images", "another layout")
    if size > MAX_CODES or max(sides) > MAX_SIDE:
        raise damaged(name, f"at most {MAX_CODES} blocks of {MAX_SIDE} x {MAX_SIDE}", f"{size}")
    shape = (size, *sides, header.channels)
    limits.check(name, "memory", _BYTES_PER_VALUE * math.prod(shape))
    try:
        decoder = new_decoder(content)
        planes = decoder.pixels(_scene(shape))
        decoder.end()
    except CodecError as error:
        raise CodecError(f"{name}: codebook: {error}") from None
    back = np.argsort(coding_order(header.channels))
    return np.ascontiguousarray(planes[back].T.astype(np.uint8)).reshape(shape)


def _scene(shape: tuple[int, ...]) -> Scene:
    """A codebook as one image without a reconstruction."""
    size, height, width, channels = shape
    grid = np.array([[1, size * height, width]], np.int64)
    return Scene(grid, np.full((channels, size * height * width), _MIDDLE, np.uint8))
