"""Everything about a kind of signal that is not the signal itself, looked up by role and kind."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Generic, TypeVar, cast

from vocabula.errors import OptionError

T = TypeVar("T")


class Role(Generic[T]):
    """What one layer needs to know about every kind of signal: one part for each kind.

    A layer has a table of its own parts, which are imported when they are first needed. Other
    packages add theirs with `register`.

    Args:
        name: the role in words, such as ``metrics``.
        parts: for each kind of signal the place of its part, ``module:name``.
        default: the place of the part of all other kinds; None: they have none.

    Example:
        >>> role = Role[type]("number", {"image": "fractions:Fraction"})
        >>> role.of("image").__name__
        'Fraction'
        >>> role.register("sound", complex)
        >>> role.kinds()
        ['image', 'sound']
    """

    def __init__(self, name: str, parts: Mapping[str, str], *, default: str | None = None) -> None:
        self.name = name
        self._places = dict(parts)
        self._default = default
        self._found: dict[str, T] = {}

    def register(self, kind: str, part: T) -> None:
        """Set the part of a kind of signal, for kinds that come from other packages."""
        self._found[kind] = part

    def kinds(self) -> list[str]:
        """The kinds that have a part of their own."""
        return sorted({*self._places, *self._found})

    def of(self, kind: str) -> T:
        """The part of a kind of signal.

        Args:
            kind: the registered name of the signal, `Signal.kind`, such as ``vector``.

        Raises:
            OptionError: the kind has none.
        """
        if kind not in self._found:
            place = self._places.get(kind, self._default)
            if place is None:
                raise OptionError(
                    f"{self.name}: expected a kind of signal with {self.name} "
                    f"({', '.join(self.kinds())}), got {kind}; register one for it"
                )
            module, _, name = place.partition(":")
            self._found[kind] = cast(T, getattr(import_module(module), name))
        return self._found[kind]
