"""The interface of fidelity figures, and the figures of any real values."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from torch import Tensor

Figures: TypeAlias = Mapping[str, float | int | None]
"""Figures by their names in JSON, in order; None where one is undefined."""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure to show: its name, its value as text, and what it means."""

    name: str
    value: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure at the head of a page: its label, its value as text, and its unit."""

    label: str
    value: str
    unit: str = ""


class Fidelity(ABC):
    """Gathers how close reconstructions are to signals of one kind, batch by batch, in float64.

    Attributes:
        columns: the figures by which tokenizers of such signals are compared: the name in
            `figures`, the label and the format of each. Of the first, higher is better.
    """

    columns: ClassVar[tuple[tuple[str, str, str], ...]]

    @abstractmethod
    def add(self, output: Tensor, signals: Tensor) -> None:
        """Measure reconstructions.

        Args:
            output: (B, C, *extent), the reconstructions.
            signals: (B, C, *extent), the originals, on the same scale.
        """

    @abstractmethod
    def figures(self) -> Figures:
        """The figures of everything added; it must not be empty."""

    @classmethod
    @abstractmethod
    def rows(cls, figures: Figures) -> list[Row]:
        """The figures to show, in order, each with its meaning."""

    @classmethod
    @abstractmethod
    def tiles(cls, figures: Figures) -> list[Tile]:
        """The figures that a page begins with."""

    @classmethod
    def of_error(cls, mse: float) -> dict[str, float]:
        """Figures that follow from a mean squared error alone; none unless overridden."""
        return {}


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


def in_form(value: float | int | None, form: str) -> str:
    """A figure as formatted text, or a dash if there is none."""
    return "-" if value is None else format(value, form)
