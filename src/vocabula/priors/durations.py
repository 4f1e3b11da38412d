"""How long signals of one axis are, by their attributes: a histogram that samples draw from."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vocabula.signals.attributes import NOT_GIVEN

if TYPE_CHECKING:
    from vocabula.priors.conditioned import ConditionedCodes

MOST_ROWS = 2**14
"""Rows of a histogram up to which it keeps the attributes."""


@dataclass(frozen=True, slots=True)
class Durations:
    """A histogram of lengths: how many signals have some attributes and some positions.

    Attributes:
        attributes: names of the attributes.
        rows: values of the attributes (-1 for none), positions at the coarsest level, and the
            number of such signals.

    Example:
        >>> found = Durations(("digit",), ((0, 20, 3), (1, 31, 1)))
        >>> found.draw(2, {"digit": torch.tensor([0, 1])}, seed=0)
        tensor([20, 31])
    """

    attributes: tuple[str, ...]
    rows: tuple[tuple[int, ...], ...]

    @property
    def longest(self) -> int:
        """Most positions of a signal."""
        return max(row[-2] for row in self.rows)

    def draw(self, n: int, given: Mapping[str, Tensor], *, seed: int, start: int = 0) -> Tensor:
        """Positions (n,) of samples, drawn from the training signals that have their attributes.

        Attributes that are not given do not matter. Where no signal has the given ones, as for an
        unseen pair of values, all signals count.

        Args:
            n: number of samples.
            given: (n,) values of attributes by name, -1 for none.
            seed: of the draws; sample i depends on the seed and i alone.
            start: number of the first sample.
        """
        digest = hashlib.sha256(f"{seed} durations".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
        numbers = torch.rand(start + n, dtype=torch.float64, generator=generator)[start:]
        table = torch.tensor(self.rows, dtype=torch.long)
        values, positions, counts = table[:, :-2], table[:, -2], table[:, -1].double()
        wanted = torch.stack(
            [given.get(a, torch.full((n,), NOT_GIVEN)).cpu().long() for a in self.attributes]
            or [torch.zeros(n, dtype=torch.long)],
            1,
        )[:, : len(self.attributes)]
        drawn = torch.empty(n, dtype=torch.long)
        for row, asked in enumerate(wanted):
            fits = ((values == asked) | (asked == NOT_GIVEN)).all(1)
            weights = counts * fits if bool(fits.any()) else counts
            sums = weights.cumsum(0)
            place = torch.searchsorted(sums, numbers[row] * sums[-1], right=True)
            drawn[row] = positions[min(int(place), len(sums) - 1)]
        return drawn

    def plain(self) -> dict[str, Any]:
        """The entries of ``config.json``."""
        return {"attributes": list(self.attributes), "rows": [list(row) for row in self.rows]}

    @classmethod
    def of_plain(cls, saved: Mapping[str, Any]) -> Durations:
        """The histogram that `plain` describes.

        Raises:
            KeyError, TypeError, ValueError: it describes none.
        """
        names = tuple(map(str, saved["attributes"]))
        rows = tuple(tuple(map(int, row)) for row in saved["rows"])
        width = len(names) + 2
        if not rows or any(len(row) != width or min(row[-2:]) < 1 for row in rows):
            raise ValueError("durations without a row, or with a wrong one")
        return cls(names, rows)


def durations(data: ConditionedCodes) -> Durations | None:
    """The histogram of training signals; None where all are of one length.

    With more than `MOST_ROWS` different rows the attributes are left out.
    """
    counts = data.arrays.counts
    if counts is None:
        return None
    names: Sequence[str] = data.attributes
    columns = [data.arrays.attributes[name].tolist() for name in names]
    found = Counter(zip(*columns, counts[0].tolist(), strict=True))
    if len(found) > MOST_ROWS:
        names, found = (), Counter(zip(counts[0].tolist(), strict=True))
    return Durations(tuple(names), tuple((*row, n) for row, n in sorted(found.items())))
