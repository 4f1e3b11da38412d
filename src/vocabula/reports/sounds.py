"""Sounds for a web page: players with the sound in a data URI, and spectrograms."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
import soundfile
from torch import Tensor

from vocabula.evaluation.metrics.spectra import Resolution
from vocabula.reports.pictures import data_uri, heat

PLAYER_BYTES = 2**18
"""Most bytes of a sound in a page; what is longer is cut off there."""
_WINDOW, _BANDS, _FLOOR = 0.03, 48, -80.0


@dataclass(frozen=True, slots=True)
class Sound:
    """One sound on a page.

    Attributes:
        caption: the text below it.
        player: its ``data:`` URI; empty for a spectrogram alone.
        spectrum: the ``data:`` URI of its spectrogram.
    """

    caption: str
    player: str
    spectrum: str


def sound_of(wave: Tensor, rate: int, caption: str, *, plays: bool = True) -> Sound:
    """A sound (C, T), cut to `PLAYER_BYTES`, and its spectrogram.

    Args:
        wave: full scale is 1.
        rate: samples per second.
        caption: the text below it.
        plays: whether it gets a player.
    """
    shown = wave[:, : max(1, PLAYER_BYTES // (2 * wave.shape[0]))].detach().float().cpu()
    player = wav_uri(shown, rate) if plays else ""
    return Sound(caption, player, data_uri(spectrogram(shown, rate)))


def wav_uri(wave: Tensor, rate: int) -> str:
    """A sound (C, T) as a ``data:`` URI of a .wav file of 16 bits."""
    file = io.BytesIO()
    samples = wave.clamp(-1, 1).numpy().T
    soundfile.write(file, samples, rate, subtype="PCM_16", format="WAV")
    return f"data:audio/wav;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def spectrogram(wave: Tensor, rate: int) -> np.ndarray:
    """Mel bands of a sound (C, T) over time, uint8 (bands, frames, 3): low bands are below.

    Black is 80 dB below full scale or less, white full scale.
    """
    one = Resolution.of(rate, _WINDOW, _BANDS)
    mono = wave.double().mean(0, keepdim=True)
    bands = np.concatenate([one.decibels(part)[0].numpy() for part in one.frames(mono)], axis=1)
    return heat((bands[::-1] - _FLOOR) / -_FLOOR)
