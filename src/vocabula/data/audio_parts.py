"""Long recordings of a source in parts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch

from vocabula.data.audio_clips import BrokenAudioError
from vocabula.data.audio_reading import BLOCK
from vocabula.data.long_signal import LongSignal, Parts
from vocabula.errors import DataError

if TYPE_CHECKING:
    from vocabula.data.audio import AudioSource


def in_parts(source: AudioSource, index: int, length: int) -> LongSignal:
    """A recording that was read once for its length.

    Args:
        source: where it is.
        index: its number there.
        length: its samples at the source's rate.
    """
    known = source.attributes(np.array([index]))
    return LongSignal(
        Parts(length, lambda: _read(source, index, length)),
        {name: torch.from_numpy(own) for name, own in known.items()},
        torch.tensor([index]),
        [source.describe(index)],
    )


def _read(source: AudioSource, index: int, length: int) -> Iterator[torch.Tensor]:
    """The parts (1, channels, n) of a recording.

    Raises:
        DataError: it has changed since it was read for its length.
    """
    given, reason = 0, ""
    try:
        for block in source.read_blocks(index, BLOCK):
            given += block.shape[1]
            yield torch.from_numpy(block)[None]
    except BrokenAudioError as error:
        reason = str(error)
    if reason or given != length:
        raise DataError(
            f"{source.describe(index)}: expected the {length} samples that were there before, got "
            f"{reason or given}; leave files as they are while they are read"
        )
