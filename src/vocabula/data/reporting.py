"""Reports to a caller how many of many files have been opened."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")
Advance = Callable[[int, int], None]

_OFTEN = 64  # files between two calls
_advance: ContextVar[Advance | None] = ContextVar("advance", default=None)


@contextmanager
def reporting(advance: Advance) -> Iterator[None]:
    """Within the block, `advance` is called with the number of files opened and their total."""
    token = _advance.set(advance)
    try:
        yield
    finally:
        _advance.reset(token)


def reported(items: Sequence[T]) -> Iterable[T]:
    """The items, each counted when it is taken; see `reporting`."""
    advance = _advance.get()
    if advance is None:
        return items
    return _counted(items, advance)


def _counted(items: Sequence[T], advance: Advance) -> Iterator[T]:
    for done, item in enumerate(items):
        if done % _OFTEN == 0:
            advance(done, len(items))
        yield item
