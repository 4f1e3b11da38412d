"""Exact pixels in a file: a last stage, coded given what the codes before it decode to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vocabula.codec.coder import new_decoder, new_encoder
from vocabula.codec.header import PIXEL_STRIDES, Header, Stage
from vocabula.codec.layout import ModelId, Role
from vocabula.codec.models import EntropyModel, short_hash
from vocabula.codec.pixel_steps import Scene, Values
from vocabula.codec.reconstruction import Reconstructor, choose_shift, to_bytes
from vocabula.codec.span import Block, Codes
from vocabula.errors import CodecError, OptionError
from vocabula.tokenizers import SignalTokenizer

MOST_CHANNELS = 4
GREEN_FIRST = (1, 0, 2, 3)
"""Red and blue are like green, more than like each other."""
_VALUE_BYTES, _COLUMN_BYTES, _TABLE_BYTES = 26, 136, 2**23
"""What decoding takes for a value of a pixel, a column of the widest image, and what it learns."""


class PixelModel(EntropyModel):
    """Codes the pixels of images whose codes are known.

    ::

        codes --> reconstruction --+
                                   v
        pixels before --> prediction, contexts --> binary decisions --> range coder

    All arithmetic except the reconstruction is integer, and the reconstruction gives the same bytes
    on every machine; see `reconstruction`. A chunk is the shift of its rounding and one range coder
    message. `pixel_steps` says how values are predicted.

    Args:
        tokenizer: the tokenizer that made the codes.

    Source: predictors blended by their errors near by: Seemann, Tischer 1997, "Generalized locally
    adaptive DPCM"; the logistic mixing of `AdaptiveModel`. Inputs and contexts are ours.
    """

    id = ModelId.PIXELS

    def __init__(self, tokenizer: SignalTokenizer) -> None:
        own = b""
        if tokenizer.kin is not None and tokenizer.code_names().others:
            own = bytes.fromhex(tokenizer.fingerprint())  # other looks reconstruct other pixels
        self.hash = short_hash(b"pixels", *([own] if own else []))
        self._reconstructor = Reconstructor(tokenizer)

    def memory(self, block: Block, stage: int) -> int:
        """See `EntropyModel.memory`: everything except the tokenizer's network."""
        values = len(block.books[stage]) * block.positions(stage)
        widest = max(width for _, (_, width) in block.grids[stage])
        return _TABLE_BYTES + _VALUE_BYTES * values + _COLUMN_BYTES * widest

    def encode(self, block: Block, stage: int) -> bytes:
        """See `EntropyModel.encode`."""
        scene, shift = self._scene(block, stage, None)
        encoder = new_encoder()
        encoder.pixels(_values(block, stage), scene)
        return bytes([shift]) + encoder.content()

    def decode(self, block: Block, stage: int, content: bytes) -> list[Codes]:
        """See `EntropyModel.decode`."""
        if not content:
            raise CodecError(
                "pixels: expected a byte of the rounding, got none; the file is damaged, compress "
                "the original again"
            )
        decoder = new_decoder(content[1:])
        values = decoder.pixels(self._scene(block, stage, content[0])[0])
        decoder.end()
        order = coding_order(len(values))
        return [values[order.index(channel)] for channel in range(len(values))]

    def bits(self, block: Block, stage: int) -> float:
        """See `EntropyModel.bits`."""
        scene, _ = self._scene(block, stage, None)
        widths = new_encoder().pixels(_values(block, stage), scene, traced=True)
        return float((24 - np.log2(widths.astype(np.float64))).sum())

    def _scene(self, block: Block, stage: int, shift: int | None) -> tuple[Scene, int]:
        """The scene that both sides know, and the shift, chosen here if it is not given."""
        values = self._reconstructor.values(block, stage)
        if shift is None:
            shift = choose_shift(values)
        grids = np.array([(count, *grid) for count, grid in block.grids[stage]], np.int64)
        return Scene(grids, to_bytes(values, shift)[coding_order(len(values))]), shift


def coding_order(channels: int) -> list[int]:
    """The channels in the order of coding."""
    return list(GREEN_FIRST[:channels]) if channels > 2 else list(range(channels))


def _values(block: Block, stage: int) -> Values:
    """The pixels (channels, positions), channels in the order of coding."""
    planes = [block.codes[stream] for stream in block.streams(stage)]
    return np.stack([planes[channel] for channel in coding_order(len(planes))])


def with_pixels(header: Header, model: EntropyModel) -> Header:
    """The header of the same file with a last stage of exact pixels.

    Raises:
        OptionError: the images have more than four channels, or stages were left out.
    """
    if not header.signal.exact:
        raise OptionError(
            f"lossless: expected images, got {header.signal.title}; compress without it"
        )
    if header.channels > MOST_CHANNELS:
        raise OptionError(
            f"lossless: expected a tokenizer of 1 to {MOST_CHANNELS} channels, got "
            f"{header.channels}; compress without it"
        )
    if header.kept < len(header.stages):
        raise OptionError(
            f"lossless: expected all {len(header.stages)} stages, got {header.kept}; leave stages "
            "out, a lossless file is decoded at a lower rate with them"
        )
    place = len(header.models)
    last = Stage((256,) * header.channels, PIXEL_STRIDES, PIXEL_STRIDES, place, Role.RESIDUAL)
    stages = (*header.stages, last)
    return replace(header, models=(*header.models, model.name), stages=stages, kept=len(stages))
