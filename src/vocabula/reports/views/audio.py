"""The view of recordings: players and spectrograms, codes, and what codewords sound like."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from vocabula.data import Source
from vocabula.data.audio import AudioSource
from vocabula.evaluation.result import Evaluation
from vocabula.reports.plots import Line, lines
from vocabula.reports.samples import Compared, DrawnRows
from vocabula.reports.sounds import Sound, sound_of
from vocabula.reports.views.audio_codewords import codeword_gallery, codeword_sounds
from vocabula.reports.views.audio_examples import distances_by_stage, make_examples
from vocabula.reports.views.base import View
from vocabula.signals.audio import Audio
from vocabula.tokenizers import SignalTokenizer

MOST_PLAYERS = 40
"""Samples of a prior that can be played; others are shown as spectrograms."""


class AudioView(View):
    """Players and spectrograms of recordings (B, C, T)."""

    templates = ("views/audio.html.jinja",)
    sample_templates = ("views/audio_samples.html.jinja",)
    nearness = "samples"

    def sections(
        self,
        tokenizer: SignalTokenizer,
        source: Source,
        result: Evaluation,
        *,
        examples: int,
        beside: Callable[..., Any] | None = None,
        progress: bool = False,
    ) -> dict[str, Any]:
        """Recordings beside what they decode to, distance by stage, and codewords as sounds."""
        assert isinstance(source, AudioSource), "recordings have sources of recordings"
        distances = distances_by_stage(tokenizer, source)
        return {
            "examples": make_examples(tokenizer, source, examples),
            "examples_note": "Spectrograms are of mel bands, from black, 80 dB below full scale, "
            "to white. In code maps time goes right, each row is a book, each colour one code.",
            **_stages(distances),
            "codeword_sounds": codeword_sounds(tokenizer, result),
        }

    def codewords(self, tokenizer: SignalTokenizer, result: Evaluation) -> dict[str, Any]:
        """The spectrogram of each of the most used codewords of the first book of each level."""
        if not result.histograms:
            return super().codewords(tokenizer, result)
        return {
            "galleries": codeword_gallery(tokenizer, result),
            "gallery_note": "Each picture is the spectrogram of one code, repeated. Later books of "
            "a residual quantizer are left out; other books are held at their most used codeword.",
        }

    def samples(self, drawn: DrawnRows, compared: Sequence[Compared]) -> dict[str, Any]:
        """A sheet of sounds for each row, and samples beside the nearest training recordings."""
        signal = drawn.signal
        assert isinstance(signal, Audio), "the kind of signal chose this view"
        rate = signal.sample_rate
        rows: list[dict[str, Any]] = [{"name": name, "sounds": []} for name in drawn.names]
        for number, wave in enumerate(drawn.signals):
            # the first columns of every row can be played
            column = number % drawn.columns
            plays = column * len(rows) < MOST_PLAYERS
            long = "" if drawn.samples.lengths is None else f"{wave.shape[-1] / rate:.2f} s"
            sound = sound_of(wave, rate, long, plays=plays)
            rows[number // drawn.columns]["sounds"].append(sound)
        return {"rows": rows, "comparisons": [_comparison(one, rate) for one in compared]}


def _comparison(one: Compared, rate: int) -> list[Sound]:
    codes, values = one.by_codes, one.by_values
    return [
        sound_of(one.sample, rate, "sample"),
        sound_of(codes.signal, rate, f"by codes, {codes.distance:.0%} differ: {codes.path}"),
        sound_of(values.signal, rate, f"by samples, RMSE {values.distance:.3f}: {values.path}"),
    ]


def _stages(distances: Sequence[float]) -> dict[str, Any]:
    """Table and plot of the distance with the first stages alone; nothing of one stage."""
    if len(distances) <= 1:
        return {"stages": [], "stages_plot": "", "stages_note": ""}
    steps = list(range(1, len(distances) + 1))
    gains = np.diff(np.asarray(distances), prepend=np.nan)
    rows = [
        {
            "stages": step,
            "distance": f"{distance:.3f} dB",
            "change": "" if np.isnan(gain) else f"{gain:+.3f} dB",
        }
        for step, distance, gain in zip(steps, distances, gains.tolist(), strict=True)
    ]
    plot = lines(
        [Line("log-mel distance", steps, list(distances))],
        x_label="stages",
        y_label="log-mel distance, dB",
    )
    note = "The codes of the first stages alone, decoded; over the first recordings."
    return {"stages": rows, "stages_plot": plot, "stages_note": note}
