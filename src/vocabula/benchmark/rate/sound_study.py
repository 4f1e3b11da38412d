"""The figures of a measurement of sound, and what each means."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vocabula.benchmark.rate.matching import on_curve


@dataclass(frozen=True, slots=True)
class SoundPoint:
    """All recordings with one setting.

    Attributes:
        setting: stages kept, or the codec's own setting.
        payload_bits_per_second: of coded sound alone.
        file_bits_per_second: of the whole file.
        log_mel_distance: of all recordings, dB.
        stoi: intelligibility; None where it cannot be measured.
        si_sdr: of all recordings joined, dB.
        delay: samples by which the decoded sound was moved to fit.
    """

    setting: str
    payload_bits_per_second: float
    file_bits_per_second: float
    log_mel_distance: float
    stoi: float | None
    si_sdr: float | None
    delay: int = 0


@dataclass(frozen=True)
class SoundStudy:
    """What `measure_sounds` measured.

    Attributes:
        data: name of the source.
        entropy: the entropy model.
        recordings: how many were measured.
        skipped: those that could not be read.
        seconds: of all together.
        points: our rates, for each number of stages, all recordings in one file.
        curves: each codec's points, all recordings joined.
        absent: codecs that were not measured, and why.
    """

    data: str
    entropy: str
    recordings: int
    skipped: int
    seconds: float
    points: tuple[SoundPoint, ...]
    curves: Mapping[str, tuple[SoundPoint, ...]]
    absent: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain data for JSON."""
        return dataclasses.asdict(self)


def ours_at(points: Sequence[SoundPoint], rate: float, name: str) -> float | None:
    """Our figure at a payload rate, on the line between two of our points.

    Args:
        points: ours, of rising rates.
        rate: bits per second of payload.
        name: of the figure.

    Returns:
        None where the rate is outside ours, or there is no such figure.
    """
    pairs = [(point.payload_bits_per_second, getattr(point, name)) for point in points]
    if any(value is None for _, value in pairs) or not pairs[0][0] <= rate <= pairs[-1][0]:
        return None
    return on_curve(rate, pairs)
