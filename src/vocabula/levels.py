"""Levels of codes: a flat model is a hierarchy of one level.

Levels are counted from 1, the coarsest, down to the finest; their sections, losses and figures are
named ``level1``, ``level2``, ...
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from vocabula.errors import OptionError, ShapeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

T = TypeVar("T")

_NAME = re.compile(r"level([1-9]\d*)")


def level_name(position: int) -> str:
    """The name of the level at `position`, counted from 0."""
    return f"level{position + 1}"


def level_names(names: Iterable[str]) -> list[str]:
    """The `names` that denote levels, the coarsest first; none for a flat model.

    Raises:
        OptionError: a level between others is missing.

    Example:
        >>> level_names(["level2", "level1", "data"])
        ['level1', 'level2']
    """
    found = sorted(int(match[1]) for name in names if (match := _NAME.fullmatch(name)))
    if found != list(range(1, len(found) + 1)):
        listed = ", ".join(f"level{number}" for number in found)
        raise OptionError(
            f"levels: expected level1 (the coarsest), level2, ... without gaps, got {listed}; "
            "number them anew"
        )
    return [level_name(position) for position in range(len(found))]


def is_level(name: str) -> bool:
    """Whether a section's name denotes a level."""
    return _NAME.fullmatch(name) is not None


def levels_of(codes: T | Sequence[T]) -> tuple[T, ...]:
    """Codes as one item per level: a tuple or list is kept, anything else is the only level."""
    if isinstance(codes, (tuple, list)):
        return tuple(codes)
    return (cast("T", codes),)


def array_of(codes: Any) -> NDArray[Any]:
    """Codes as a numpy array, from a tensor on any device, nested lists, or an array.

    Raises:
        ShapeError: rows of lists differ in length.
    """
    import numpy as np  # imported here, so that names of levels need no import

    if hasattr(codes, "detach"):
        codes = codes.detach().cpu().numpy()
    try:
        return np.asarray(codes)
    except ValueError:
        raise ShapeError(
            "codes: expected rows of one length, got several; give an array or a tensor"
        ) from None


def only(levels: Sequence[T], what: str) -> T:
    """The only one of `levels`.

    Args:
        levels: one item per level.
        what: what the message says was asked for.

    Raises:
        ShapeError: there are several levels, or none.
    """
    if len(levels) != 1:
        raise ShapeError(
            f"{what}: expected a single level, got {len(levels)} levels; read them from `levels`"
        )
    return levels[0]
