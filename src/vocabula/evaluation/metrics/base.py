"""The interface of fidelity figures, and the figures of any real values."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, Self, TypeAlias

import torch
from torch import Tensor

from vocabula.signals import Signal

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
            `figures`, the label and the format of each. The first says which is best.
        least_is_best: whether the best has the least of it, not the most.
    """

    columns: ClassVar[tuple[tuple[str, str, str], ...]]
    least_is_best: ClassVar[bool] = False

    @classmethod
    def measuring(cls, signal: Signal) -> Self:
        """New figures of such signals, for kinds whose figures depend on their settings."""
        return cls()

    @abstractmethod
    def add(self, output: Tensor, signals: Tensor) -> None:
        """Measure reconstructions. Padded batches are split before, so that every value counts.

        Args:
            output: (B, C, *extent), the reconstructions.
            signals: (B, C, *extent), the originals, on the same scale.
        """

    @contextmanager
    def following(self, length: int) -> Iterator[Callable[[Tensor, Tensor], None]]:
        """Measure one long signal in parts: yields `add` for parts that follow one another.

        Figures whose memory should not grow with the signal override it.

        Args:
            length: of the whole, along its one axis.
        """
        held: list[tuple[Tensor, Tensor]] = []
        yield lambda output, signals: held.append((output, signals))
        self.add(*(torch.cat(side, 2) for side in zip(*held, strict=True)))

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


def in_form(value: float | int | None, form: str) -> str:
    """A figure as formatted text, or a dash if there is none."""
    return "-" if value is None else format(value, form)
