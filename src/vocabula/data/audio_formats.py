"""The formats of recordings that are opened, their file name endings, and how others are named."""

from __future__ import annotations

import re
from pathlib import Path, PurePath

AUDIO_SUFFIXES = (
    *(".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3"),
    *(".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".w64", ".rf64", ".sph"),
)
"""Names of recordings that are opened end in one of these, in small or capital letters."""
COMMON_AUDIO = ("wav", "flac", "ogg", "opus", "mp3")
"""What messages name of them."""

OF_AUDIO = "recordings are for a tokenizer of audio, such as --preset tones trains"
"""What an error says about recordings that were given to another kind."""

_CONVERT = "convert it to WAV or FLAC, as with: ffmpeg -i IN OUT.wav"
_OTHERS = {
    **dict.fromkeys((".m4a", ".m4b", ".aac", ".3gp"), "AAC (m4a)"),
    **dict.fromkeys((".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".wmv"), "a video"),
    **dict.fromkeys((".wma", ".asf"), "Windows Media Audio"),
    **dict.fromkeys((".mid", ".midi"), "MIDI, notes without sound"),
    **dict.fromkeys((".amr", ".awb"), "AMR"),
    ".ape": "Monkey's Audio",
    ".wv": "WavPack",
    ".tta": "True Audio",
    ".spx": "Speex",
    ".ac3": "Dolby AC-3",
    ".dts": "DTS",
    ".ra": "RealAudio",
}
"""Endings of recordings and videos that are not opened."""

_BEGINNINGS = (
    (rb"....ftyp(M4[AB]|mp4a)", "AAC (m4a)", _CONVERT),
    (rb"....ftyp|RIFF....AVI |\x1aE\xdf\xa3|\0\0\x01[\xba\xb3]", "a video", _CONVERT),
    (rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "Windows Media Audio", _CONVERT),
    (rb"MThd", "MIDI, notes without sound", "render it to WAV"),
    (rb"#!AMR", "AMR", _CONVERT),
    (rb"MAC ", "Monkey's Audio", _CONVERT),
    (rb"wvpk", "WavPack", _CONVERT),
    (rb"\xff[\xf0\xf1\xf8\xf9]", "AAC", _CONVERT),
    (rb"PK\x03\x04", "a zip archive", "unpack it"),
    (rb"\x1f\x8b", "a gzip archive", "unpack it"),
    (rb"\s*<(!doctype )?html", "a web page", "download the recording again"),
    (rb"version https?:.{0,40}git-lfs", "a pointer of Git LFS", "run git lfs pull"),
)
_OPENED = (
    rb"(RIFF|RIFX|RF64)....WAVE",
    rb"riff\x2e\x91\xcf\x11",
    rb"fLaC",
    rb"OggS",
    rb"ID3|\xff[\xfa\xfb\xf2\xf3\xe2\xe3]",
    rb"FORM....AIF[FC]",
    rb"\.snd|dns\.",
    rb"caff\0",
    rb"NIST_1A",
)
BEGINNING = 64
"""Bytes from the start of a file that tell its format."""


def named_like_audio(path: PurePath) -> bool:
    """Whether a name ends like that of a recording, in a format that is opened or not."""
    return path.suffix.lower() in AUDIO_SUFFIXES or path.suffix.lower() in _OTHERS


def begins_like_audio(start: bytes) -> bool:
    """Whether a file begins like a format that is opened."""
    return any(re.match(pattern, start, re.DOTALL) for pattern in _OPENED)


def unopened_audio(file: Path | bytes, start: bytes) -> tuple[str, str] | None:
    """Name and remedy of the format of a file that could not be opened, if it is known.

    Args:
        file: a path, or the bytes of a file.
        start: its first `BEGINNING` bytes.
    """
    for pattern, name, remedy in _BEGINNINGS:
        if re.match(pattern, start, re.DOTALL | re.IGNORECASE):
            return name, remedy
    if not isinstance(file, Path) or file.suffix.lower() not in _OTHERS:
        return None
    return _OTHERS[file.suffix.lower()], _CONVERT
