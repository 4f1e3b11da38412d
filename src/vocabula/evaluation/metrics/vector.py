"""How close reconstructed vectors are: squared error and cosine similarity."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cosine_similarity

from vocabula.evaluation.metrics.base import Figures, Row, in_form
from vocabula.evaluation.metrics.squared_errors import SquaredErrors


class VectorFidelity(SquaredErrors):
    """Squared error, explained variance and cosine similarity of vectors (B, D)."""

    def __init__(self) -> None:
        super().__init__()
        self._cosine = 0.0
        self._count = 0

    def add(self, output: Tensor, signals: Tensor) -> None:
        """Measure reconstructions (B, D)."""
        super().add(output, signals)
        self._cosine += float(cosine_similarity(output.double(), signals.double(), dim=1).sum())
        self._count += len(signals)

    def figures(self) -> Figures:
        """Those of `SquaredErrors`, and ``cosine``, the mean over vectors; 0 for a zero vector."""
        return {**super().figures(), "cosine": self._cosine / self._count}

    @classmethod
    def rows(cls, figures: Figures) -> list[Row]:
        """The errors to show."""
        cosine = Row("cosine", in_form(figures["cosine"], ".4f"), "similarity, mean over vectors")
        return [*super().rows(figures), cosine]
