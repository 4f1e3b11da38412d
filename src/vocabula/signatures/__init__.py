"""Constructor signatures as option lists: annotations in words, bounds, kinds and help texts."""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

Names = Callable[[str], list[str]]
T = TypeVar("T")


def _remembered(question: Callable[[Any], T]) -> Callable[[Any], T]:
    """A question about an annotation whose answer is kept: a saved model asks it often."""
    known = functools.cache(question)

    @functools.wraps(question)
    def answer(annotation: Any) -> T:
        try:
            return known(annotation)
        except TypeError:  # one that has no hash
            return question(annotation)

    return answer


@functools.cache
def parameters(cls: type) -> tuple[inspect.Parameter, ...]:
    """The constructor's parameters without `self` and without catch-alls."""
    parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]  # type: ignore[misc]
    return tuple(p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD))


@functools.cache
def hints(cls: type) -> dict[str, Any]:
    """The annotations of the constructor's parameters, resolved."""
    return typing.get_type_hints(cls.__init__, include_extras=True)  # type: ignore[misc]


def bare(annotation: Any) -> Any:
    """The annotation without `Annotated` and without None."""
    if typing.get_origin(annotation) is typing.Annotated:
        return bare(typing.get_args(annotation)[0])
    if is_union(annotation):
        parts = [a for a in typing.get_args(annotation) if a is not type(None)]
        return bare(parts[0]) if len(parts) == 1 else annotation
    return annotation


def is_union(annotation: Any) -> bool:
    """Whether the annotation is a union."""
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)


@_remembered
def is_sequence(annotation: Any) -> bool:
    """Whether the annotation, None aside, is a list or tuple type."""
    origin = typing.get_origin(bare(annotation))
    return isinstance(origin, type) and issubclass(origin, Sequence)


def is_mapping(annotation: Any) -> bool:
    """Whether the annotation is a table from names to values of one type."""
    origin = typing.get_origin(annotation)
    return isinstance(origin, type) and issubclass(origin, Mapping)


@_remembered
def accepts_none(annotation: Any) -> bool:
    """Whether the annotation allows None."""
    return is_union(annotation) and type(None) in typing.get_args(annotation)


@_remembered
def kind_of(annotation: Any) -> str | None:
    """The kind of component that an annotation accepts, also inside a union or a sequence."""
    plain = bare(annotation)
    if is_union(plain):
        kinds = [k for k in map(kind_of, typing.get_args(plain)) if k]
        return kinds[0] if kinds else None
    if is_sequence(plain) and typing.get_args(plain):
        return kind_of(typing.get_args(plain)[0])
    return getattr(plain, "component_kind", None) if isinstance(plain, type) else None


@_remembered
def literals(annotation: Any) -> Sequence[str]:
    """The texts that a `typing.Literal` in the annotation allows."""
    plain = bare(annotation)
    if is_union(plain):
        return tuple(name for a in typing.get_args(plain) for name in literals(a))
    if typing.get_origin(plain) is typing.Literal:
        return tuple(str(a) for a in typing.get_args(plain))
    return ()


_WORDS = {
    int: "an integer",
    float: "a number",
    str: "a text",
    bool: "true or false",
    type(None): "none",
}
_BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<", "multiple_of": "a multiple of"}


def describe(annotation: Any, names: Names) -> str:
    """An annotation in words: ``an integer >= 1``, ``one of 'a', 'b'``; `names` lists a kind."""
    if typing.get_origin(annotation) is typing.Annotated:
        base, *metadata = typing.get_args(annotation)
        bounds = [
            f"{sign} {_number(getattr(m, attribute))}"
            for m in metadata
            for attribute, sign in _BOUNDS.items()
            if getattr(m, attribute, None) is not None
        ]
        notes = [m for m in metadata if isinstance(m, str)]
        return " ".join(
            [describe(base, names), *([" and ".join(bounds)] if bounds else []), *notes]
        )
    if is_union(annotation):
        return " or ".join(describe(a, names) for a in typing.get_args(annotation))
    kind = kind_of(annotation)
    if kind is not None:
        known = names(kind)
        listed = f"{kind} ({', '.join(known)})" if known else kind
        return f"a list of {listed}" if is_sequence(annotation) else listed
    if typing.get_origin(annotation) is typing.Literal:
        return "one of " + ", ".join(repr(a) for a in typing.get_args(annotation))
    if is_sequence(annotation):
        parts = [a for a in typing.get_args(annotation) if a is not Ellipsis]
        return "a list of (" + ", ".join(describe(a, names) for a in parts) + ")"
    if is_mapping(annotation):
        return f"a table of names, each with {describe(typing.get_args(annotation)[1], names)}"
    if annotation in _WORDS:
        return _WORDS[annotation]
    if typing.get_origin(annotation) is not None and "Callable" in str(annotation):
        return "a function"
    return getattr(annotation, "__name__", str(annotation))


def _number(bound: float) -> str:
    """A bound as text; a large power of two is written as a power."""
    power = bound.bit_length() - 1 if isinstance(bound, int) and bound > 2**16 else 0
    return f"2^{power}" if power and bound == 2**power else str(bound)


def argument_help(cls: type) -> dict[str, str]:
    """The ``Args:`` section (or ``Attributes:``) of a class docstring, by argument."""
    found: dict[str, str] = {}
    inside, current, margin = False, "", 0
    for line in (inspect.getdoc(cls) or "").splitlines():
        text = line.strip()
        if text in ("Args:", "Attributes:"):
            inside, margin = True, 0
            continue
        if not inside or not text:
            continue
        indent = len(line) - len(line.lstrip())
        margin = margin or indent
        if indent == 0:
            inside = False
        elif indent == margin and ":" in text:
            current, _, rest = text.partition(":")
            current = current.split(" ")[0]
            found[current] = rest.strip()
        elif current:
            found[current] += " " + text
    return found
