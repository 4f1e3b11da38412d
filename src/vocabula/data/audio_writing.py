"""Files of 16-bit PCM, written in parts."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

_LARGE = 2**32 - 2**16
"""Bytes from which on a WAV file states its size in 64 bits."""


class _Output(io.FileIO):
    """A new file; it keeps an error of the disk, which a library's callback would swallow."""

    error: OSError | None = None

    def write(self, content: Any) -> int:
        """Write all bytes, or keep the reason why that fails."""
        left = memoryview(content)
        try:
            while self.error is None and left:
                left = left[super().write(left) :]
        except OSError as error:
            self.error = error
        return len(content)


@contextmanager
def open_sound(
    path: Path, suffix: str, sample_rate: int, channels: int, length: int
) -> Iterator[Callable[[NDArray[np.int16]], None]]:
    """A new .wav or .flac file; yields a function that adds samples (n, channels).

    Args:
        path: where to write; nothing is there.
        suffix: ``.wav`` or ``.flac``.
        sample_rate: in Hz.
        channels: of every sample.
        length: samples in all, which a header states.

    Raises:
        OSError: the disk refuses.
    """
    size = 2 * channels * length
    form = "FLAC" if suffix == ".flac" else "RF64" if size > _LARGE else "WAV"
    with _Output(path, "xb") as file:

        def check() -> None:
            if file.error is not None:
                raise file.error

        with soundfile.SoundFile(
            file, "w", sample_rate, channels, subtype="PCM_16", format=form
        ) as sound:

            def write(samples: NDArray[np.int16]) -> None:
                sound.write(np.ascontiguousarray(samples))
                check()

            yield write
        check()
