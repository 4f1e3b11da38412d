"""Recordings as .wav or .flac files of 16 bits, named after the recordings that they came from."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from vocabula.data.audio_formats import AUDIO_SUFFIXES
from vocabula.data.audio_writing import open_sound
from vocabula.data.image_problems import DataWarning
from vocabula.data.long_signal import Parts
from vocabula.data.media.base import Batches, Media
from vocabula.data.names import OutputNames
from vocabula.errors import OptionError, OutputError, plural
from vocabula.files import check_new_file, check_new_folder, new_file, new_folder, output_errors
from vocabula.signals import Signal
from vocabula.signals.audio import Audio

FORMATS = {".wav": 1024, ".flac": 8}
"""Suffixes of the files that are written, and the most channels of each."""
_SCALE = 2**15
_Recordings = Iterator[tuple[int, Iterator[NDArray[np.float32]], str]]
"""The length of each recording, its samples (C, n) in parts, and where it came from."""


class AudioFiles(Media):
    """Files of 16-bit PCM with the exact number of samples.

    - a folder, such as ``decoded``: a .wav file each; ``decoded/*.flac``: a .flac file each;
    - ``voice.wav`` or ``voice.flac``: a single recording.

    A value x is stored as round(2^15 x), so that 16-bit samples which are read and written stay
    the same; values beyond full scale are clipped and counted in a `DataWarning`.

    Args:
        channels: channels of the recordings.
        verb: the beginning of messages.
        sample_rate: samples per second; None: not known, so that nothing can be written.
    """

    samples: ClassVar[str] = "samples"
    decoded: ClassVar[str] = "decoded"

    def __init__(self, channels: int, verb: str, *, sample_rate: int | None = None) -> None:
        super().__init__(channels, verb)
        self.sample_rate = sample_rate
        self._clipped = self._files_clipped = 0
        self._peak = 0.0

    @classmethod
    def for_signal(cls, signal: Signal, verb: str) -> AudioFiles:
        """The files of a kind of recordings."""
        assert isinstance(signal, Audio), "the kind of signal chose these files"
        return cls(signal.channels, verb, sample_rate=signal.sample_rate)

    def check(self, out: Path, *, overwrite: bool) -> None:
        """Refuse a place without a name, another suffix, too many channels, and what exists."""
        suffix, folder = _place(out)
        if self.sample_rate is None:
            raise OptionError(
                f"{self.verb}: expected recordings of a known sample rate, got none; decode their "
                "codes in Python with vocabula.load(path).decode(codes)"
            )
        if out.absolute().name == "":
            raise OutputError(f"{out}: expected a folder with a name; choose another place")
        if self.channels > FORMATS[suffix]:
            raise OptionError(
                f"{self.verb}: expected at most {FORMATS[suffix]} channels for {suffix} files, got "
                f"{self.channels}; write .wav files"
            )
        if folder is None:
            check_new_file(out, overwrite=overwrite)
        else:
            check_new_folder(folder, overwrite=overwrite)

    def write(
        self,
        out: Path,
        batches: Batches,
        count: int | None,
        *,
        overwrite: bool,
    ) -> list[Path]:
        """Write recordings (B, C, T), a file each, or the only one to a file of that name.

        One in parts is written as they come.
        """
        self.check(out, overwrite=overwrite)
        suffix, folder = _place(out)
        self._clipped, self._files_clipped, self._peak = 0, 0, 0.0
        if folder is None:
            written = self._write_one(out, suffix, _each(batches), count, overwrite=overwrite)
        else:
            written = self._write_all(folder, suffix, _each(batches), overwrite=overwrite)
        if self._clipped:
            warnings.warn(
                f"{out}: clipped {plural(self._clipped, 'value')} beyond full scale in "
                f"{self._files_clipped} of {plural(len(written), 'recording')}; the largest was "
                f"{self._peak:.3g}",
                DataWarning,
                stacklevel=2,
            )
        return written

    def _write_one(
        self,
        out: Path,
        suffix: str,
        recordings: _Recordings,
        count: int | None,
        *,
        overwrite: bool,
    ) -> list[Path]:
        if count not in (None, 1):
            raise self._several(out, str(count))
        with output_errors(out), new_file(out, overwrite=overwrite) as draft:
            for number, (length, samples, _) in enumerate(recordings):
                if number:
                    raise self._several(out, "several")
                self._write_samples(draft, samples, length, suffix)
        return [out]

    def _write_all(
        self,
        folder: Path,
        suffix: str,
        recordings: _Recordings,
        *,
        overwrite: bool,
    ) -> list[Path]:
        names = OutputNames(folder, suffix=suffix, replaced=AUDIO_SUFFIXES, nameless="recording")
        written = []
        with output_errors(folder), new_folder(folder, overwrite=overwrite) as draft:
            for length, samples, path in recordings:
                name = names.take(path)
                (draft / name).parent.mkdir(parents=True, exist_ok=True)
                self._write_samples(draft / name, samples, length, suffix)
                written.append(folder / name)
        return written

    def _write_samples(
        self, file: Path, parts: Iterator[NDArray[np.float32]], length: int, suffix: str
    ) -> None:
        """Write one recording in parts (C, n) of together `length`; what is clipped is counted."""
        assert self.sample_rate is not None, "see check"
        peak = 0.0
        with open_sound(file, suffix, self.sample_rate, self.channels, length) as write:
            for samples in parts:
                here = float(np.abs(samples).max(initial=0))
                if here > 1:
                    self._clipped += int((np.abs(samples) > 1).sum())
                peak = max(peak, here)
                whole = np.clip(np.rint(samples.T * _SCALE), -_SCALE, _SCALE - 1)
                write(whole.astype(np.int16))
        if peak > 1:
            self._files_clipped += 1
            self._peak = max(self._peak, peak)

    def _several(self, out: Path, count: str) -> OptionError:
        return OptionError(
            f"{out}: expected one recording for the name of a file, got {count}; name a folder"
        )


def _place(out: Path) -> tuple[str, Path | None]:
    """The suffix of the files, and their folder; no folder for a single file.

    Raises:
        OptionError: it is the name of a file of another format.
    """
    suffix = out.suffix.lower()
    if out.stem == "*" and suffix in FORMATS:
        return suffix, out.parent
    if suffix in FORMATS and not out.is_dir():
        return suffix, None
    if suffix in (*AUDIO_SUFFIXES, ".npy", ".parquet", ".m4a") and not out.is_dir():
        raise OptionError(
            f"{out}: expected a folder, or a name that ends in {' or '.join(FORMATS)}, got "
            f"{suffix}; change it"
        )
    return ".wav", out


def _each(batches: Batches) -> _Recordings:
    for recordings, paths in batches:
        if isinstance(recordings, Parts):
            arrays = (part[0].float().cpu().numpy() for part in recordings.read())
            yield recordings.length, arrays, paths[0]
            continue
        for samples, path in zip(recordings.float().cpu().numpy(), paths, strict=True):
            yield samples.shape[1], iter([samples]), path
