"""The results of a measurement of sound, in tables and in one sentence."""

from __future__ import annotations

from collections.abc import Sequence

from vocabula.benchmark.rate.sound_study import SoundPoint, SoundStudy, ours_at
from vocabula.benchmark.rate.words import listed
from vocabula.benchmark.tables import Table

_COLUMNS = ("payload, bit/s", "whole file, bit/s", "log-mel, dB", "STOI")


def sound_tables(study: SoundStudy) -> list[Table]:
    """Our rates, and each codec's with our figures at the same payload."""
    own = [(point.setting, *_cells(point)) for point in study.points]
    found = [Table("all recordings in one .vcb file", ("stages", *_COLUMNS), own)]
    for name, points in study.curves.items():
        rows = [
            (point.setting, *_cells(point), *(_ours(study, point, key) for key in _FIGURES))
            for point in points
        ]
        columns = ("setting", *_COLUMNS, "ours: log-mel", "STOI")
        found.append(Table(f"{name}, all recordings joined", columns, rows))
    return found


_FIGURES = ("log_mel_distance", "stoi")


def _cells(point: SoundPoint) -> tuple[str, ...]:
    return (
        f"{point.payload_bits_per_second:,.0f}",
        f"{point.file_bits_per_second:,.0f}",
        f"{point.log_mel_distance:.2f}",
        _figure(point.stoi, 3),
    )


def _ours(study: SoundStudy, point: SoundPoint, name: str) -> str:
    own = ours_at(study.points, point.payload_bits_per_second, name)
    return _figure(own, 2 if name == _FIGURES[0] else 3)


def _figure(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def sound_verdict(study: SoundStudy) -> str:
    """One sentence: where our log-mel distance is below another codec's at equal payload."""
    parts = [_judged(name, study, points) for name, points in study.curves.items()]
    parts += [f"{name} is left out: {reason}" for name, reason in study.absent.items()]
    return f"vocabula at equal payload, by log-mel distance: {'; '.join(parts)}."


def _judged(name: str, study: SoundStudy, points: Sequence[SoundPoint]) -> str:
    pairs = [
        (point, ours_at(study.points, point.payload_bits_per_second, _FIGURES[0]))
        for point in points
    ]
    near = [(point, own) for point, own in pairs if own is not None]
    wins = [point.setting for point, own in near if own < point.log_mel_distance]
    losses = [point.setting for point, own in near if own >= point.log_mel_distance]
    if not near:
        return f"{name} has no setting within our rates"
    found = [f"wins over {name} {listed(wins)}"] if wins else []
    return listed(found + ([f"loses to {name} {listed(losses)}"] if losses else []))
