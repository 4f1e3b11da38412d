"""What is known of signals beside their values: attributes, a caption, a vector, coarser codes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from vocabula.errors import DataError
from vocabula.signals.attributes import CLASS, NOT_GIVEN

Axes = tuple[int, ...]
"""A number for each axis."""
PADDING = 0
"""The text token that fills a caption up; a caption of nothing else says: no text given."""


@dataclass(frozen=True, slots=True)
class Condition:
    """The known facts about a batch of signals.

    Attributes:
        attributes: (B,) integer values by name, such as ``class`` or ``speaker``; -1 for none.
        text: (B, T) integer tokens of captions, padded with 0; all 0 for none.
        vectors: (B, D) floating point; a row with NaN for none.
        upper: codes (B, *grid, *code_shape) of the coarser levels, coarsest first.
        timing: (B, 2) integers, the position of the whole signal at which the codes start, and the
            number of its positions.
        margin: along each axis, how many positions on both sides of the codes are known context,
            which is not predicted; () for none. Coarser codes have theirs in proportion, and what
            is outside the signal is -1.

    Example:
        >>> given = Condition({"class": torch.tensor([3, 1]), "speaker": torch.tensor([0, 7])})
        >>> given.without(torch.tensor([True, False])).attributes["speaker"]
        tensor([-1,  7])
    """

    attributes: Mapping[str, Tensor] = field(default_factory=dict)
    text: Tensor | None = None
    vectors: Tensor | None = None
    upper: tuple[Tensor, ...] = ()
    timing: Tensor | None = None
    margin: Axes = ()

    @classmethod
    def of_class(cls, labels: Tensor) -> Condition:
        """The condition that states the classes (B,) alone."""
        return cls({CLASS: labels})

    @property
    def given(self) -> bool:
        """Whether it states anything that can be withheld: attributes, text or vectors."""
        return bool(self.attributes) or self.text is not None or self.vectors is not None

    def to(self, device: torch.device | str) -> Condition:
        """The same condition on a device."""
        return self._each(lambda part: part.to(device))

    def rows(self, which: slice | Tensor) -> Condition:
        """The condition of some of the signals."""
        return self._each(lambda part: part[which])

    def without(self, dropped: Tensor | None = None) -> Condition:
        """The condition with only coarser codes and times left where `dropped` (B,) is true.

        Coarser codes stay: finer codes have no meaning without them.

        Args:
            dropped: (B,) booleans; None: true everywhere.
        """

        def hide(part: Tensor, nothing: float) -> Tensor:
            if dropped is None:
                return torch.full_like(part, nothing)
            return part.masked_fill(dropped.view(-1, *(1 for _ in part.shape[1:])), nothing)

        return Condition(
            {name: hide(values, NOT_GIVEN) for name, values in self.attributes.items()},
            None if self.text is None else hide(self.text, PADDING),
            None if self.vectors is None else hide(self.vectors, math.nan),
            self.upper,
            self.timing,
            self.margin,
        )

    def beside(self, other: Condition) -> Condition:
        """Two batches joined: this batch's signals, then the other's. Both state the same parts."""

        def joined(one: Tensor | None, two: Tensor | None) -> Tensor | None:
            return None if one is None or two is None else torch.cat([one, two])

        theirs = other.attributes
        return Condition(
            {name: torch.cat([own, theirs[name]]) for name, own in self.attributes.items()},
            joined(self.text, other.text),
            joined(self.vectors, other.vectors),
            tuple(torch.cat(pair) for pair in zip(self.upper, other.upper, strict=True)),
            joined(self.timing, other.timing),
            self.margin,
        )

    def parts(self) -> Iterator[tuple[str, Tensor]]:
        """Every tensor with its name in messages: attributes first, codes and times last."""
        yield from self.attributes.items()
        if self.text is not None:
            yield "text", self.text
        if self.vectors is not None:
            yield "vectors", self.vectors
        for level, codes in enumerate(self.upper):
            yield f"upper[{level}]", codes
        if self.timing is not None:
            yield "timing", self.timing

    def check_batch(self, batch: int) -> None:
        """Check that every part has one entry for each of `batch` signals.

        Raises:
            DataError: a part has more or fewer.
        """
        for name, part in self.parts():
            if part.shape[:1] != (batch,):
                got = len(part) if part.ndim else "a single number"
                raise DataError(
                    f"condition.{name}: expected {batch}, one per signal, got {got}; "
                    "repeat or cut them"
                )

    def _each(self, change: Callable[[Tensor], Tensor]) -> Condition:
        """The condition with every part changed, in the order of `parts`."""
        return Condition(
            {name: change(values) for name, values in self.attributes.items()},
            None if self.text is None else change(self.text),
            None if self.vectors is None else change(self.vectors),
            tuple(change(codes) for codes in self.upper),
            None if self.timing is None else change(self.timing),
            self.margin,
        )


def check_attribute(name: str, values: Tensor, size: int) -> None:
    """Check the values of an attribute.

    Args:
        name: the attribute.
        values: (B,) integers, -1 for none.
        size: the number of its values.

    Raises:
        DataError: another number of axes, another type, or a value out of range.
    """
    check_integers(name, values, 1)
    check_range(name, values, NOT_GIVEN, size)


def check_integers(name: str, values: Tensor, axes: int) -> None:
    """Check that a part of a condition holds integers of some axes.

    Raises:
        DataError: it does not.
    """
    if values.ndim != axes or values.is_floating_point() or values.dtype == torch.bool:
        raise DataError(
            f"condition.{name}: expected integers of {axes} axes, batch first, got "
            f"{described(values)}; give a tensor of int64"
        )


def check_range(name: str, values: Tensor, lowest: int, end: int) -> None:
    """Check that the values of a part of a condition are in [lowest, end).

    Raises:
        DataError: one is not.
    """
    wrong = (values < lowest) | (values >= end)
    if bool(wrong.any()):
        raise DataError(
            f"condition.{name}: expected values in [{lowest}, {end}), got "
            f"{int(values[wrong][0])}; use those of the data that the model was trained on"
        )


def described(values: Tensor) -> str:
    """Type and shape of a tensor in words."""
    return f"{str(values.dtype).removeprefix('torch.')} of shape {tuple(values.shape)}"
