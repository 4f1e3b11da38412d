"""How close reconstructions are, by the figures of each kind of signal."""

from __future__ import annotations

from vocabula.evaluation.metrics.base import Fidelity, Row, Tile
from vocabula.roles import Role

METRICS = Role[type[Fidelity]](
    "metrics",
    {
        "audio": "vocabula.evaluation.metrics.audio:AudioFidelity",
        "image": "vocabula.evaluation.metrics.image:ImageFidelity",
        "vector": "vocabula.evaluation.metrics.vector:VectorFidelity",
    },
    default="vocabula.evaluation.metrics.squared_errors:SquaredErrors",
)
"""The figures of each kind of signal; the mean squared error for a kind without its own."""

__all__ = ["METRICS", "Fidelity", "Row", "Tile"]
