"""The one place where files of recordings are opened: formats, limits and damage.

::

    file --plain file? plausible header?--> AudioFile --blocks--> float32 (frames, channels)
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from vocabula.data.audio_clips import BrokenAudioError, Clip
from vocabula.data.audio_formats import BEGINNING, begins_like_audio, unopened_audio
from vocabula.files import special_kind

_FORMATS = {"WAV", "WAVEX", "RF64", "W64", "FLAC", "OGG", "MP3", "AIFF", "AU", "CAF", "NIST"}
_LOSSY = {"VORBIS", "OPUS", "MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III"}
"""Of these a reader that starts inside hears something else than one that starts before."""


class AudioFile(Clip):
    """An open file of one recording.

    Args:
        file: the file, opened by soundfile.
    """

    def __init__(self, file: soundfile.SoundFile) -> None:
        self._file = file
        self.rate, self.channels = int(file.samplerate), int(file.channels)
        self.frames = max(0, int(file.frames))
        self.seeks = bool(file.seekable()) and file.subtype not in _LOSSY
        self.at = 0

    def seek(self, frame: int) -> None:
        """See `Clip.seek`."""
        with _damage():
            self._file.seek(min(frame, self.frames))
        self.at = frame

    def read(self, count: int) -> NDArray[np.float32]:
        """See `Clip.read`."""
        with _damage():
            found = self._file.read(count, dtype="float32", always_2d=True)
        self.at += len(found)
        return np.asarray(found)


@contextmanager
def opened(file: Path | bytes) -> Iterator[AudioFile]:
    """A recording whose header is read.

    Args:
        file: a path, or the bytes of a file.

    Raises:
        BrokenAudioError: it is no regular file, may not be read, is damaged, or is of a format that
            is not opened; the text names the format where it is known.
    """
    start = _start(file)
    if not begins_like_audio(start) and not _named_mp3(file):  # its first frame may come later
        raise _not_opened(file, start)
    # bytes of a path: a name need not be text
    place = io.BytesIO(file) if isinstance(file, bytes) else os.fsencode(file)
    try:
        sound = soundfile.SoundFile(place)
    except Exception as error:  # libsndfile's errors, and those of Python's streams
        raise _not_opened(file, start) from error
    with sound:
        if sound.format not in _FORMATS:
            raise _not_opened(file, start)
        yield AudioFile(sound)


def _start(file: Path | bytes) -> bytes:
    """The first bytes of a file, which must be a regular one."""
    if isinstance(file, bytes):
        start = file[:BEGINNING]
    else:
        kind = special_kind(file)
        if kind:
            raise BrokenAudioError(f"a {kind}, not a file")
        try:
            with open(file, "rb") as opened_file:
                start = opened_file.read(BEGINNING)
        except FileNotFoundError:
            broken = os.path.lexists(file)
            raise BrokenAudioError("a broken link" if broken else "nothing there") from None
        except PermissionError:
            raise BrokenAudioError("no permission; check its rights") from None
        except OSError as error:
            raise BrokenAudioError(error.strerror or "unreadable") from None
    if not start:
        raise BrokenAudioError("an empty file")
    return start


def _named_mp3(file: Path | bytes) -> bool:
    return isinstance(file, Path) and file.suffix.lower() == ".mp3"


def _not_opened(file: Path | bytes, start: bytes) -> BrokenAudioError:
    other = unopened_audio(file, start)
    if other is not None:
        return BrokenAudioError(f"{other[0]}; {other[1]}")
    damaged = "a damaged header" if begins_like_audio(start) else "no recording by its content"
    return BrokenAudioError(damaged)


@contextmanager
def _damage() -> Iterator[None]:
    """Failures of the decoder as one reason."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        raise BrokenAudioError("damaged data") from error
