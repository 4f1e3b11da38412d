"""Squared errors and spreads of real values, summed batch by batch."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from vocabula.evaluation.metrics.base import Fidelity, Figures, Row, Tile, in_form


class Spread:
    """Sums of squared errors and of the values themselves, over each channel, in float64."""

    def __init__(self) -> None:
        self.count = 0
        self._sums: dict[str, Tensor] = {}

    def add(self, output: Tensor, signals: Tensor) -> None:
        """Take in reconstructions and originals (B, C, *extent)."""
        x = signals.double().movedim(1, -1).reshape(-1, signals.shape[1])
        error = output.double().movedim(1, -1).reshape(-1, signals.shape[1]) - x
        parts = {
            "value": x.sum(0),
            "square": x.square().sum(0),
            "error": error.sum(0),
            "squared error": error.square().sum(0),
        }
        for name, part in parts.items():
            self._sums[name] = self._sums[name] + part.cpu() if self.count else part.cpu()
        self.count += len(x)

    def _mean(self, name: str) -> Tensor:
        return self._sums[name] / self.count

    @property
    def mse(self) -> float:
        """The mean squared error."""
        return float(self._mean("squared error").mean())

    @property
    def variance(self) -> float:
        """The variance of the values about the mean of their channel, a mean over channels."""
        return float((self._mean("square") - self._mean("value").square()).clamp_min(0).mean())

    @property
    def error_variance(self) -> float:
        """The variance of the errors about the mean of their channel, a mean over channels."""
        spread = self._mean("squared error") - self._mean("error").square()
        return float(spread.clamp_min(0).mean())


class SquaredErrors(Fidelity):
    """The mean squared error, alone and over the variance of the data."""

    columns: ClassVar[tuple[tuple[str, str, str], ...]] = (
        ("explained_variance", "explained variance", ".4f"),
        ("mse_over_variance", "MSE / variance", ".4f"),
    )

    def __init__(self) -> None:
        self._spread = Spread()

    def add(self, output: Tensor, signals: Tensor) -> None:
        """Measure reconstructions (B, C, *extent)."""
        self._spread.add(output, signals)

    def figures(self) -> Figures:
        """``mse``, ``mse_over_variance`` and ``explained_variance``.

        Explained variance is 1 - Var(error) / Var(signal), both about the mean of each channel and
        summed over channels; the other two count a constant error too.
        """
        spread, error = self._spread, self._spread.mse
        known = spread.variance > 0
        return {
            "mse": error,
            "mse_over_variance": error / spread.variance if known else None,
            "explained_variance": 1 - spread.error_variance / spread.variance if known else None,
        }

    @classmethod
    def rows(cls, figures: Figures) -> list[Row]:
        """The errors to show."""
        of_channel = "about the mean of each channel"
        return [
            Row("MSE", in_form(figures["mse"], ".6g"), "over all values, in the data's own units"),
            Row("MSE / variance", in_form(figures["mse_over_variance"], ".4f"), of_channel),
            Row(
                "explained variance",
                in_form(figures["explained_variance"], ".4f"),
                "1 - Var(error) / Var(data), at most 1",
            ),
        ]

    @classmethod
    def tiles(cls, figures: Figures) -> list[Tile]:
        """Explained variance and mean squared error."""
        return [
            Tile("explained variance", in_form(figures["explained_variance"], ".4f")),
            Tile("MSE / variance", in_form(figures["mse_over_variance"], ".4f")),
        ]
