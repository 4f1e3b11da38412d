"""Small files of recordings for tests."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

RATE = 8000


def sine(length: int, hertz: float = 200, rate: int = RATE) -> NDArray[np.float32]:
    """A sine of half the full scale."""
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(length) / rate)).astype(np.float32)


def steps(length: int, first: int = 0) -> NDArray[np.float32]:
    """Samples that 16 bits hold exactly and that tell their place: first + 1, first + 2, ..."""
    return ((first + 1 + np.arange(length)) / 2**15).astype(np.float32)


def save(path: Path, samples: NDArray[np.floating], rate: int = RATE, **options: str) -> Path:
    """Write a recording (time,) or (time, channels)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if options.get("subtype", "PCM_16") == "PCM_16" and path.suffix == ".wav":
        samples = np.rint(samples * 2**15).clip(-(2**15), 2**15 - 1).astype(np.int16)
    soundfile.write(path, samples, rate, **options)
    return path


def wav(samples: int, *, rate: int = RATE, claimed: int | None = None) -> bytes:
    """A WAV file by hand, whose header may claim other sizes than there are."""
    data = np.arange(1, samples + 1, dtype="<i2").tobytes()
    size = len(data) if claimed is None else claimed
    form = struct.pack("<IHHIIHH", 16, 1, 1, rate, (2 * rate) % 2**32, 2, 16)
    head = b"RIFF" + struct.pack("<I", (36 + size) % 2**32) + b"WAVEfmt " + form
    return head + b"data" + struct.pack("<I", size) + data
