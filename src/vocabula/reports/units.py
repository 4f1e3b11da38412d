"""Units and labels on a page: how often each unit stands for each label."""

from __future__ import annotations

from typing import Any

import numpy as np

from vocabula.evaluation.units import Units
from vocabula.reports.plots import matrix

MOST_UNITS = 128
"""Units that the matrix shows, the most frequent ones."""


def units_section(units: Units | None) -> dict[str, Any]:
    """The figures of units and the matrix unit x label; no rows where nothing was measured.

    Units are in the order of the labels that they stand for, labels by how often they are said.
    """
    if units is None:
        return {"units_rows": []}
    counts = units.counts
    columns = [int(c) for c in np.argsort(-counts.sum(0), kind="stable") if counts[:, c].any()]
    used = np.argsort(-counts.sum(1), kind="stable")[:MOST_UNITS]
    shown = counts[:, columns]
    rows = sorted((int(unit) for unit in used if counts[unit].any()), key=_place(shown))
    shares = shown[rows] / shown[rows].sum(1, keepdims=True)
    note = (
        f"How often each of {len(rows)} units was used for each of {len(columns)} labels, by the "
        "middle of every frame. A row is a unit; a cell is as dark as the share of the unit's "
        "frames that have the label."
    )
    plot = matrix(
        shares,
        [str(unit) for unit in rows],
        [units.labels[column] for column in columns],
        x_label="label, most frequent first",
        y_label="unit",
    )
    return {"units_rows": units.rows(), "units_plot": plot, "units_note": note}


def _place(counts: np.ndarray) -> Any:
    """The order of units: by their most frequent label, the purest first."""

    def place(unit: int) -> tuple[int, float]:
        label = int(counts[unit].argmax())
        return label, -float(counts[unit, label] / counts[unit].sum())

    return place
