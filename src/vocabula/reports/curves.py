"""Training curves from a run's log."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vocabula.files.run_files import read_log
from vocabula.levels import is_level
from vocabula.reports.plots import Line, lines


@dataclass(frozen=True, slots=True)
class Curve:
    """One plot of the page: a title and its SVG."""

    title: str
    svg: str


_PLOTS = (
    # title, label of the y axis, whether it is logarithmic, (key in the log, name) of each line
    (
        "Loss",
        "loss",
        True,
        (
            ("loss", "total"),
            ("held_out_nats", "held out"),
            ("held_out_nats_without_condition", "held out, condition withheld"),
        ),
    ),
    ("PSNR of training batches", "dB", False, (("psnr", "PSNR"),)),
    (
        "Perplexity",
        "perplexity",
        False,
        (("perplexity", "of single batches"), ("window_perplexity", "of the usage window")),
    ),
    ("Usage over the window", "fraction of codewords", False, (("usage", "usage"),)),
    ("Learning rate", "learning rate", False, (("lr", "learning rate"),)),
)


def training_curves(log: Path) -> list[Curve]:
    """Plots of the figures in a ``log.jsonl``; an empty list if there is no log.

    Args:
        log: one JSON object per line, each with ``step``; a damaged tail is ignored.
    """
    records = read_log(log)
    if not records:
        return []
    curves = [
        _curve(
            title, label, log_scale, [_line(records, *one) for one in _with_levels(records, keys)]
        )
        for title, label, log_scale, keys in _PLOTS
    ]
    terms = sorted({name for record in records for name in _terms(record)})
    flat = [{"step": record["step"], **_terms(record)} for record in records]
    curves.insert(1, _curve("Loss terms", "loss", True, [_line(flat, t, t) for t in terms]))
    return [curve for curve in curves if curve.svg]


def _with_levels(
    records: list[dict[str, Any]], keys: tuple[tuple[str, str], ...]
) -> list[tuple[str, str]]:
    """Keys and names of a plot's lines, including lines of each level in the log."""
    last = records[-1]
    found = list(keys)
    for name in sorted({section for key in last if is_level(section := key.partition(".")[0])}):
        title = name.replace("level", "level ")
        found += [(f"{name}.{k}", f"{line}, {title}") for k, line in keys if f"{name}.{k}" in last]
    return found


def _terms(record: dict[str, Any]) -> dict[str, Any]:
    losses = record.get("losses")
    return losses if isinstance(losses, dict) else {}


def _line(records: list[dict[str, Any]], key: str, name: str) -> Line:
    found = [(r["step"], r[key]) for r in records if isinstance(r.get(key), (int, float))]
    return Line(name, [x for x, _ in found], [float(y) for _, y in found])


def _curve(title: str, label: str, log_scale: bool, found: list[Line]) -> Curve:
    drawn = [line for line in found if any(math.isfinite(y) for y in line.y)]
    if not drawn:
        return Curve(title, "")
    limits = (-0.02, 1.02) if label.startswith("fraction") else None
    svg = lines(drawn, x_label="step", y_label=label, log=log_scale, limits=limits)
    return Curve(title, svg)
