"""Classical codecs of sound, run as the programs that are installed: Opus and Codec2."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import soundfile
from numpy.typing import NDArray

from vocabula.errors import DataError

TIMEOUT = 600
"""Seconds that a program may take."""
_PAGE = 27  # bytes of an Ogg page before the table of its segments
_OPUS_HEADERS = 2  # packets before those of sound
_WHOLE = 255  # a segment of a packet that goes on


@dataclass(frozen=True, slots=True)
class Coded:
    """A sound as a codec stores it.

    Attributes:
        payload: bytes of coded sound alone.
        bytes: of the whole file.
        wave: (T,) what it decodes to, as the program gives it.
    """

    payload: int
    bytes: int
    wave: NDArray[np.float32]


class SoundCodec(ABC):
    """One codec.

    Attributes:
        name: in tables.
        programs: what must be installed.
        package: where it comes from.
        settings: from low to high rate.
    """

    name: ClassVar[str]
    programs: ClassVar[tuple[str, ...]]
    package: ClassVar[str]
    settings: ClassVar[Sequence[str]]

    def absent(self, rate: int, channels: int) -> str:
        """Why it cannot be measured at a sample rate; empty if it can."""
        missing = [program for program in self.programs if shutil.which(program) is None]
        if missing:
            return f"{' and '.join(missing)} not installed ({self.package})"
        return self.refusal(rate, channels)

    def refusal(self, rate: int, channels: int) -> str:
        """Why it does not take such sound; empty unless overridden."""
        return ""

    @abstractmethod
    def code(self, wave: NDArray[np.float32], rate: int, setting: str) -> Coded:
        """Encode and decode a sound (T,) of one channel.

        Raises:
            DataError: a program failed, or its file is not understood.
        """


class Opus(SoundCodec):
    """Opus, in kbit/s that the encoder aims at. The decoder takes its pre-skip away."""

    name: ClassVar[str] = "Opus"
    programs: ClassVar[tuple[str, ...]] = ("opusenc", "opusdec")
    package: ClassVar[str] = "opus-tools"
    settings: ClassVar[Sequence[str]] = ("6", "8", "12", "16", "24")

    def code(self, wave: NDArray[np.float32], rate: int, setting: str) -> Coded:
        """See `SoundCodec.code`."""
        with tempfile.TemporaryDirectory() as folder:
            given, coded, found = (Path(folder, name) for name in ("a.wav", "a.opus", "b.wav"))
            soundfile.write(given, wave, rate, subtype="PCM_16")
            _run("opusenc", "--quiet", "--bitrate", setting, given, coded)
            _run("opusdec", "--quiet", "--rate", rate, coded, found)
            content = coded.read_bytes()
            decoded, its_rate = soundfile.read(found, dtype="float32", always_2d=True)
        if its_rate != rate:
            raise DataError(f"opusdec: expected {rate} Hz, got {its_rate}; update opus-tools")
        return Coded(ogg_payload(content), len(content), decoded.mean(1))


class Codec2(SoundCodec):
    """Codec2, in bits per second. It is for speech of one channel at 8 kHz."""

    name: ClassVar[str] = "Codec2"
    programs: ClassVar[tuple[str, ...]] = ("c2enc", "c2dec")
    package: ClassVar[str] = "codec2"
    settings: ClassVar[Sequence[str]] = ("700C", "1200", "1600", "2400", "3200")
    rate: ClassVar[int] = 8000
    header: ClassVar[int] = 7
    filled: ClassVar[dict[str, float]] = {"700C": 28 / 32}
    """Of settings whose frames are filled up to whole bytes, the share that is not filling."""

    def refusal(self, rate: int, channels: int) -> str:
        """It knows one rate."""
        return "" if (rate, channels) == (self.rate, 1) else "for mono speech at 8000 Hz alone"

    def code(self, wave: NDArray[np.float32], rate: int, setting: str) -> Coded:
        """See `SoundCodec.code`; the suffix .c2 asks for the header that makes a file."""
        with tempfile.TemporaryDirectory() as folder:
            given, coded, found = (Path(folder, name) for name in ("a.raw", "a.c2", "b.raw"))
            padded = np.pad(wave, (0, self.rate // 10))  # the last frame is coded too
            given.write_bytes(_whole_numbers(padded).tobytes())
            _run("c2enc", setting, given, coded)
            _run("c2dec", setting, coded, found)
            size, decoded = coded.stat().st_size, np.fromfile(found, "<i2")
        share = len(wave) / len(padded)
        stored = round((size - self.header) * share)
        payload = round(stored * self.filled.get(setting, 1))
        return Coded(payload, stored + self.header, (decoded / 2**15).astype(np.float32))


SOUND_CODECS: tuple[SoundCodec, ...] = (Opus(), Codec2())


def ogg_payload(content: bytes) -> int:
    """Bytes of the packets of sound in an Ogg file of Opus.

    Raises:
        DataError: it is no such file.

    Source: RFC 3533, section 6, the page; RFC 7845, section 3, the two header packets.
    """
    at = packets = payload = 0
    while at < len(content):
        segments = content[at + _PAGE - 1] if at + _PAGE <= len(content) else 0
        table = content[at + _PAGE : at + _PAGE + segments]
        after = at + _PAGE + segments + sum(table)
        if content[at : at + 4] != b"OggS" or len(table) < segments or after > len(content):
            raise DataError("opusenc: expected pages of Ogg, got other bytes; update opus-tools")
        for size in table:
            payload += size * (packets >= _OPUS_HEADERS)
            packets += size < _WHOLE
        at = after
    return payload


def _whole_numbers(wave: NDArray[np.float32]) -> NDArray[np.int16]:
    return np.clip(np.rint(wave * 2**15), -(2**15), 2**15 - 1).astype("<i2")


def _run(*words: object) -> None:
    """Run a program.

    Raises:
        DataError: it fails, or takes too long.
    """
    command = [str(word) for word in words]
    try:
        done = subprocess.run(command, capture_output=True, timeout=TIMEOUT, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DataError(
            f"{command[0]}: expected it to run, got '{error}'; install it anew"
        ) from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise DataError(
            f"{command[0]}: expected success, got exit code {done.returncode}"
            f"{f' ({said[-1]})' if said else ''}; install it anew"
        )
