"""Sounds made by arithmetic: tones, chirps and plucked strings, single or in short melodies.

Everything follows from integers, so that the sounds are the same everywhere; nothing is downloaded.
Attributes are the pitch (a semitone of two octaves above A3) and the timbre.

Source of the plucked string: Karplus and Strong, "Digital synthesis of plucked-string and drum
timbres", Computer Music Journal 7(2), 1983: a delay line of noise that is averaged in every period.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from vocabula.data.audio import AudioSource
from vocabula.data.audio_arrays import ArrayClips
from vocabula.data.labels import Labels

RATE = 8000
"""Samples per second of the sounds as they are made."""
TIMBRES = ("chirp", "pure", "reed", "string")
"""A tone that glides upwards by a semitone; a sine; odd harmonics; a plucked string."""
PITCHES = (
    *("A3", "A#3", "B3", "C4", "C#4", "D4", "D#4", "E4", "F4", "F#4", "G4", "G#4"),
    *("A4", "A#4", "B4", "C5", "C#5", "D5", "D#5", "E5", "F5", "F#5", "G5", "G#5"),
)
"""From 220 Hz on, equally tempered."""
_EACH = 5  # sounds of every pitch and timbre for training
_MELODIES = 96, 24  # for training and for testing
_SCALE = (0, 2, 4, 5, 7, 9, 11, 12)  # a major key
_NOTES = 8  # of a melody of 4 seconds


def frequency(pitch: int) -> float:
    """Hertz of a pitch by its number: 220 * 2^(pitch / 12)."""
    return float(220 * 2 ** (pitch / 12))


def note(timbre: str, pitch: int, length: int, random: np.random.Generator) -> NDArray[np.float32]:
    """One sound (length,), with an attack of 5 ms and a decay, within full scale.

    Args:
        timbre: one of `TIMBRES`.
        pitch: number of semitones above 220 Hz.
        length: samples.
        random: gives phase, loudness, decay and the string's first noise.
    """
    hertz, time = frequency(pitch), np.arange(length) / RATE
    loudness, phase = random.uniform(0.4, 0.8), random.uniform(0, 2 * np.pi)
    decay = random.uniform(1.5, 4)
    if timbre == "string":
        wave = _plucked(hertz, length, random.uniform(-1, 1, RATE))
    elif timbre == "chirp":
        glide = hertz * (2 ** (time / 12 / (length / RATE)) - 1) * 12 * (length / RATE) / np.log(2)
        wave = np.sin(2 * np.pi * glide + phase) * np.exp(-decay * time)
    else:
        harmonics = (1,) if timbre == "pure" else (1, 3, 5, 7)
        waves = [np.sin(2 * np.pi * k * hertz * time + k * phase) / k for k in harmonics]
        wave = sum(waves[1:], waves[0]) * np.exp(-decay * time) / len(harmonics) ** 0.5
    attack = np.minimum(1, np.arange(length) / (0.005 * RATE))
    return (loudness * attack * wave).astype(np.float32)


def _plucked(hertz: float, length: int, noise: NDArray[np.float64]) -> NDArray[np.float64]:
    """A delay line of one period of noise.

    Karplus and Strong average neighbours equally, which delays by half a sample; here the weights
    tune the line to fractions of a sample. Every period has the mean 0.
    """
    period = int(RATE / hertz)
    share = min(0.95, max(0.05, RATE / hertz - period))  # delays by as much
    wave = np.empty(length + period)
    line = wave[:period] = noise[:period] - noise[:period].mean()
    before = line[-1]
    for start in range(period, length + period, period):
        shifted = np.concatenate([[before], line[:-1]])
        before = line[-1]
        line = 0.996 * ((1 - share) * line + share * shifted)
        line -= line.mean()
        end = min(start + period, length + period)
        wave[start:end] = line[: end - start]
    return wave[period:]


def open_tones(
    split: str = "train", *, sample_rate: int = RATE, channels: int = 1, strict: bool = False
) -> AudioSource:
    """480 sounds of a second for training, 96 for testing, of all pitches and timbres.

    Args:
        split: "train" or "test".
        sample_rate: the sounds are resampled from 8 kHz to it.
        channels: copies of the one channel.
        strict: has no effect.
    """
    return _source("tones", split, sample_rate, channels, strict)


def open_melodies(
    split: str = "train", *, sample_rate: int = RATE, channels: int = 1, strict: bool = False
) -> AudioSource:
    """96 melodies of 4 seconds for training, 24 for testing, of 8 notes in one major key.

    The pitch is that of the key. See `open_tones`.
    """
    return _source("tones/melodies", split, sample_rate, channels, strict)


def _source(sample: str, split: str, sample_rate: int, channels: int, strict: bool) -> AudioSource:
    waves, pitches, timbres = (_tones if sample == "tones" else _melodies)(split)
    name = f"sample:{sample}" + f"/{split}" * (split != "train")
    paths = [
        f"{TIMBRES[t]}-{PITCHES[p].replace('#', 's')}-{i}.wav"
        for i, (p, t) in enumerate(zip(pitches.tolist(), timbres.tolist(), strict=True))
    ]
    labels = {"pitch": Labels(pitches, [*PITCHES]), "timbre": Labels(timbres, [*TIMBRES])}
    return AudioSource(
        ArrayClips(waves[:, None], RATE, name=name, paths=paths),
        name=name,
        sample_rate=sample_rate,
        channels=channels,
        labels=labels,
        strict=strict,
    )


Sounds = tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]


@functools.cache
def _tones(split: str) -> Sounds:
    """Sounds (N, T), and their pitches and timbres."""
    kinds = [(p, t) for p in range(len(PITCHES)) for t in range(len(TIMBRES))]
    first, count = (0, _EACH) if split == "train" else (_EACH, 1)
    chosen = [(p, t, k) for k in range(first, first + count) for p, t in kinds]
    waves = [note(TIMBRES[t], p, RATE, np.random.default_rng((p, t, k))) for p, t, k in chosen]
    return (
        np.stack(waves),
        np.array([p for p, _, _ in chosen], np.int64),
        np.array([t for _, t, _ in chosen], np.int64),
    )


def melody(number: int) -> tuple[NDArray[np.float32], int, int]:
    """A melody of 4 seconds (32,000,) by its number, and the numbers of its key and its timbre.

    The bundled ones are the first 120: 96 for training, 24 for testing.
    """
    random = np.random.default_rng((99, number))
    timbre, key = number % len(TIMBRES), number % 12
    steps = np.clip(np.cumsum(random.integers(-2, 3, _NOTES)) + 3, 0, len(_SCALE) - 1)
    length = 4 * RATE // _NOTES
    notes = [note(TIMBRES[timbre], key + _SCALE[s], length, random) for s in steps.tolist()]
    return np.concatenate(notes), key, timbre


@functools.cache
def _melodies(split: str) -> Sounds:
    """Melodies (N, T), and their keys and timbres."""
    first = 0 if split == "train" else _MELODIES[0]
    waves, keys, timbres = zip(
        *(melody(first + i) for i in range(_MELODIES[split != "train"])), strict=True
    )
    return np.stack(waves), np.array(keys, np.int64), np.array(timbres, np.int64)


TONES = {"tones": open_tones, "tones/melodies": open_melodies}
"""The samples of sound by name; each is a function of (split, sample_rate, channels, strict)."""
