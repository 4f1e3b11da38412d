"""The files of a measurement of sound: JSON, CSV and a plot."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from vocabula.benchmark.rate.figure import shown_name
from vocabula.benchmark.rate.output import FIGURES, PLOT, ROWS
from vocabula.benchmark.rate.sound_study import SoundPoint, SoundStudy
from vocabula.benchmark.rate.sound_words import sound_verdict
from vocabula.files import dump_json

_COLOURS = {"Opus": "#8a8a8a", "Codec2": "#1f1f1f"}
_OWN = "#0b6e4f"
_PANELS = (("log_mel_distance", "log-mel distance, dB"), ("stoi", "STOI"))


def write_sounds(folder: Path, study: SoundStudy, about: Mapping[str, Any]) -> None:
    """Write ``rate.json``, ``rate.csv`` and ``rate.png`` into a folder.

    Args:
        folder: where; it exists.
        study: the figures.
        about: further entries of the JSON, such as the run, which names the curve.
    """
    content = {**about, **study.to_dict(), "verdict": sound_verdict(study)}
    name = str(about.get("run", "vocabula"))
    (folder / ROWS).write_text(_csv(study), encoding="utf-8")
    (folder / PLOT).write_bytes(sound_figure(study, name))
    (folder / FIGURES).write_bytes(dump_json(content))


def _csv(study: SoundStudy) -> str:
    text = io.StringIO()
    columns = ("codec", *(field.name for field in fields(SoundPoint)))
    table = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    table.writeheader()
    for codec, points in {"vocabula": study.points, **study.curves}.items():
        table.writerows({"codec": codec, **asdict(point)} for point in points)
    return text.getvalue()


def sound_figure(study: SoundStudy, name: str) -> bytes:
    """A PNG file: log-mel distance, and STOI where it is known, over bits per second.

    Lines are of the payload; rings are whole files.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    curves = {shown_name(name): (_OWN, study.points)}
    curves |= {codec: (_COLOURS.get(codec, "#3d5a98"), of) for codec, of in study.curves.items()}
    panels = [panel for panel in _PANELS if _known(study.points, panel[0])]
    figure = Figure(figsize=(1.5 + 4.8 * len(panels), 4.2), dpi=120, layout="constrained")
    for place, (key, label) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), 1 + place)
        for codec, (colour, points) in curves.items():
            known = [point for point in points if getattr(point, key) is not None]
            y = [getattr(point, key) for point in known]
            payload = [point.payload_bits_per_second for point in known]
            whole = [point.file_bits_per_second for point in known]
            axes.plot(payload, y, marker="o", label=codec, color=colour, linewidth=1.6)
            axes.plot(whole, y, "o", color=colour, markerfacecolor="none")
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("bits per second: lines payload, rings whole file")
        axes.set_ylabel(label)
        axes.grid(visible=True, which="both", alpha=0.3, linewidth=0.5)
        axes.legend(frameon=False, fontsize=8)
    figure.suptitle(shown_name(study.data), fontsize=10)
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def _known(points: Sequence[SoundPoint], key: str) -> bool:
    return any(getattr(point, key) is not None for point in points)
