"""Reconstructions in bytes that are the same on every machine: what exact pixels are coded against.

    codes --> tokenizer in float64 --> v in [0, 255] --> floor(v + 1/2 + shift / 1024)

Machines differ in the last bits of v, some 1e-13. Who writes chooses a shift for which no v lies
so near a border; the reader then gets identical bytes, whatever its threads and instructions.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from vocabula.budgets import RECONSTRUCTED_PIXELS
from vocabula.codec.layouts import from_signals
from vocabula.codec.span import Block
from vocabula.codec.writer import CodedSignal
from vocabula.tokenizers import SignalTokenizer

SHIFTS = 256
MARGIN = 2.0**-30
"""How far every value must lie from a border: 1e-9, ten thousand times what machines differ by."""


class Reconstructor:
    """Decodes the codes of segments in float64 on the CPU, wherever the tokenizer itself is.

    Args:
        tokenizer: what made the codes; it is copied when the first segment comes.
    """

    def __init__(self, tokenizer: SignalTokenizer) -> None:
        self._tokenizer, self._lock = tokenizer, threading.Lock()
        self._exact: SignalTokenizer | None = None

    def values(self, block: Block, stage: int) -> NDArray[np.float64]:
        """Values (channels, positions) in [0, 255] of a segment's images, one after another.

        Args:
            block: a segment with the codes of all stages before `stage`.
            stage: whose grids are the images'.
        """
        tokenizer = self._double()
        found = np.empty((tokenizer.channels, block.positions(stage)))
        at = 0
        with torch.inference_mode():
            for signals in _batches(block, stage):
                size = (signals[0].size[0], signals[0].size[1])
                images = tokenizer.decode(from_signals(signals, tokenizer), size=size)
                flat = images.double().nan_to_num().clamp(0, 1).mul(255).flatten(2).numpy()
                for image in flat:
                    found[:, at : at + image.shape[1]] = image
                    at += image.shape[1]
        return found

    def _double(self) -> SignalTokenizer:
        with self._lock:  # several segments are coded at a time
            if self._exact is None:
                self._exact = copy.deepcopy(self._tokenizer).cpu().double().eval()
            return self._exact


def choose_shift(values: NDArray[np.float64]) -> int:
    """The first shift that keeps all values `MARGIN` away from borders, or the one that does best.

    Args:
        values: of any shape, in [0, 255].
    """
    best, most = 0, -1.0
    for shift in range(SHIFTS):
        moved = values + (0.5 + shift / 1024)
        margin = float(np.abs(moved - np.rint(moved)).min())
        if margin >= MARGIN:
            return shift
        if margin > most:
            best, most = shift, margin
    return best


def to_bytes(values: NDArray[np.float64], shift: int) -> NDArray[np.uint8]:
    """Values in [0, 255] as bytes, by the rule above."""
    return np.floor(values + (0.5 + shift / 1024)).astype(np.uint8)


def _batches(block: Block, stage: int) -> Iterator[list[CodedSignal]]:
    """The images of a segment by their codes, some of equal size together."""
    streams = range(block.streams(stage).start)
    whose = [number for number, books in enumerate(block.books) for _ in books]
    at = [0] * len(streams)
    for run, (count, size) in enumerate(block.grids[stage]):
        waiting: list[CodedSignal] = []
        for _ in range(count):
            grids = []
            for stream in streams:
                height, width = block.grids[whose[stream]][run][1]
                first, at[stream] = at[stream], at[stream] + height * width
                codes = block.codes[stream][first : at[stream]]
                grids.append(codes.reshape(height, width))
            waiting.append(CodedSignal(size, tuple(grids)))
            if len(waiting) * size[0] * size[1] >= RECONSTRUCTED_PIXELS:
                yield waiting
                waiting = []
        if waiting:
            yield waiting
