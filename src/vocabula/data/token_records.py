"""Records of a file of tokens, alone and in batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vocabula.errors import ShapeError
from vocabula.levels import array_of, levels_of, only
from vocabula.signals.attributes import CLASS


@dataclass(frozen=True, slots=True, init=False)
class TokenRecord:
    """The codes of one signal.

    Args:
        codes: integers of shape (*grid, *code_shape); for several levels one array each, the
            coarsest first.
        path: where the signal came from.
        label: class index, or None.
        *extent: size of the signal along each axis: height and width of an image in pixels.
        attributes: further attributes by name, -1 for none.

    Attributes:
        levels: the codes of each level, the coarsest first.
    """

    levels: tuple[NDArray[Any], ...]
    path: str
    label: int | None
    extent: tuple[int, ...]
    attributes: Mapping[str, int]

    def __init__(
        self,
        codes: NDArray[Any] | Sequence[NDArray[Any]],
        path: str,
        label: int | None,
        *extent: int,
        attributes: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        levels = tuple(array_of(level) for level in levels_of(codes))
        parts = (levels, path, label, extent, attributes)
        for name, value in zip(self.__slots__, parts, strict=True):
            object.__setattr__(self, name, value)

    @property
    def codes(self) -> NDArray[Any]:
        """The codes (*grid, *code_shape), if there is one level."""
        return only(self.levels, f"{self.path}: codes")

    @property
    def height(self) -> int:
        """Height of an image in pixels."""
        return self._side(0)

    @property
    def width(self) -> int:
        """Width of an image in pixels."""
        return self._side(1)

    def _side(self, axis: int) -> int:
        if len(self.extent) != 2:
            raise ShapeError(
                f"{self.path}: expected a height and a width, got a signal of "
                f"{len(self.extent)} axes; read its `extent`"
            )
        return self.extent[axis]


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """The codes of some signals that follow one another and have equal shapes.

    Attributes:
        levels: (B, *grid, *code_shape) int64 codes of each level, the coarsest first.
        paths: (B,) where each signal came from.
        labels: (B,) int64 class indices, -1 where there is none.
        extents: (B, axes) int64, the size of each signal along each axis.
        further: (B,) int64 values of each attribute beside the class, -1 where there is none.
    """

    levels: tuple[NDArray[np.int64], ...]
    paths: NDArray[np.object_]
    labels: NDArray[np.int64]
    extents: NDArray[np.int64]
    further: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)

    @property
    def attributes(self) -> dict[str, NDArray[np.int64]]:
        """(B,) value of each attribute by name, -1 where there is none; the label is the class."""
        return {CLASS: self.labels, **self.further}

    def __len__(self) -> int:
        """The number of signals B."""
        return len(self.labels)

    def records(self) -> Iterator[TokenRecord]:
        """The same signals one by one."""
        labels, extents = self.labels.tolist(), self.extents.tolist()
        levels = zip(*self.levels, strict=True)
        rows = zip(levels, self.paths.tolist(), labels, extents, strict=True)
        for i, (codes, path, label, extent) in enumerate(rows):
            known = {name: int(values[i]) for name, values in self.further.items()}
            yield TokenRecord(
                codes, path, None if label == -1 else label, *extent, attributes=known
            )
