"""Attributes of signals: names with integer values, such as the class or the speaker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vocabula.errors import DataError, plural, suggest

CLASS = "class"
"""The name of the attribute that labels give."""
NOT_GIVEN = -1
"""The value of an attribute that says: not known."""
TAKEN = (CLASS, "text", "vectors", "upper")
"""Names that no further attribute can have."""
MOST_NAMES = 12
"""Names of values that a message lists."""


def is_further(name: str) -> bool:
    """Whether a name can be that of an attribute beside the class."""
    return name.isidentifier() and name not in TAKEN


def in_order(values: Mapping[str, int]) -> dict[str, int]:
    """Attributes with their number of values: the class first, then by name."""
    return dict(sorted(values.items(), key=lambda pair: (pair[0] != CLASS, pair[0])))


def attribute_words(values: Mapping[str, int]) -> list[str]:
    """Attributes with their number of values in words.

    Args:
        values: number of values of each attribute by name.

    Example:
        >>> attribute_words({"class": 10, "speaker": 1})
        ['10 classes', '1 value of speaker']
    """
    return [
        plural(n, "class", "classes") if name == CLASS else f"{plural(n, 'value')} of {name}"
        for name, n in values.items()
    ]


def known_values(values: Mapping[str, int], names: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The values of each attribute in words.

    Args:
        values: number of values of each attribute by name.
        names: what the values are called, where they have names.

    Example:
        >>> known_values({"class": 10, "speaker": 2}, {"speaker": ("anna", "ben")})
        {'class': 'an index in [0, 10)', 'speaker': 'an index in [0, 2) or one of anna, ben'}
    """
    found = {}
    for attribute, count in values.items():
        own = names.get(attribute, ())
        shown = ", ".join(own[:MOST_NAMES]) + (", ..." if len(own) > MOST_NAMES else "")
        found[attribute] = f"an index in [0, {count})" + (f" or one of {shown}" if own else "")
    return found


def index_of(
    attribute: str,
    value: int | str,
    values: Mapping[str, int],
    names: Mapping[str, Sequence[str]],
    owner: str,
) -> int:
    """The index of an attribute's value, given by its index or its name.

    Args:
        attribute: its name.
        value: the value.
        values: number of values of each known attribute by name.
        names: what the values are called, where they have names.
        owner: what the message calls the model that knows them.

    Raises:
        DataError: there is no such attribute or value.
    """
    count, own = values.get(attribute, 0), tuple(names.get(attribute, ()))
    if count and isinstance(value, str) and value in own:
        return own.index(value)
    index = int(value) if str(value).isdecimal() else -1
    if 0 <= index < count:
        return index
    if not count:
        raise unknown(attribute, values, owner)
    raise DataError(
        f"{attribute}: expected {known_values(values, names)[attribute]}, got {value!r}"
        f"{suggest(str(value), own) or '; choose one of them'}"
    )


def unknown(attribute: str, values: Mapping[str, int], owner: str) -> DataError:
    """The error for an attribute that a model does not know.

    Args:
        attribute: its name.
        values: number of values of each known attribute by name.
        owner: what the message calls the model.
    """
    known = f"one of the attributes {', '.join(values)}" if values else "no attribute"
    what = "classes" if attribute == CLASS else attribute
    return DataError(
        f"{attribute}: expected {known}, got {attribute}; {owner} was trained without {what}: "
        "leave it out"
    )
