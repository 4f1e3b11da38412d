"""Plain values of options, checked against their annotations and converted to them."""

from __future__ import annotations

import math
import typing
from typing import TYPE_CHECKING, Any

from annotated_types import Ge, Gt, Le, Lt

from vocabula.signatures import is_union

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_PLAIN = (bool, int, float, str)
_ADAPTERS: dict[Any, TypeAdapter[Any] | None] = {}


def converted(annotation: Any, value: Any) -> Any:
    """The value as its annotation has it, such as a float for a whole number.

    Raises:
        ValueError: the annotation does not allow it.

    Example:
        >>> converted(float, 2)
        2.0
    """
    if fits(annotation, value):
        return value
    items = _items(annotation)
    listed = items is not None and type(value) in (list, tuple)
    if listed and all(fits(items, each) for each in value):
        return tuple(value)
    adapter = _adapter(annotation)
    return value if adapter is None else adapter.validate_python(value)


def fits(annotation: Any, value: Any) -> bool:
    """Whether a plain value or a component is what its annotation says, so that it stays.

    False says nothing: pydantic decides then. The settings of saved models fit, so that opening one
    does not import it.
    """
    if is_union(annotation):
        return any(fits(each, value) for each in typing.get_args(annotation))
    if typing.get_origin(annotation) is typing.Annotated:
        plain, *bounds = typing.get_args(annotation)
        return fits(plain, value) and all(_within(bound, value) for bound in bounds)
    if typing.get_origin(annotation) is typing.Literal:
        allowed = typing.get_args(annotation)
        return any(type(each) is type(value) and each == value for each in allowed)
    if annotation is float:
        return type(value) is float and math.isfinite(value)
    if isinstance(annotation, type) and hasattr(annotation, "component_kind"):
        return isinstance(value, annotation)
    return annotation in _PLAIN and type(value) is annotation


def _items(annotation: Any) -> Any:
    """T of the annotation ``tuple[T, ...]``, with or without None; None of any other."""
    if is_union(annotation):
        parts = [part for part in typing.get_args(annotation) if part is not type(None)]
        return _items(parts[0]) if len(parts) == 1 else None
    arguments = typing.get_args(annotation)
    several = typing.get_origin(annotation) is tuple and arguments[1:] == (...,)
    return arguments[0] if several else None


def _within(bound: Any, value: Any) -> bool:
    """Whether a value keeps a bound; of other notes than bounds that is not known."""
    match bound:
        case Ge(ge=least):
            return bool(value >= least)
        case Gt(gt=below):
            return bool(value > below)
        case Le(le=most):
            return bool(value <= most)
        case Lt(lt=above):
            return bool(value < above)
    return False


def _adapter(annotation: Any) -> TypeAdapter[Any] | None:
    """Pydantic's converter to an annotation; None where it knows none."""
    # imported here: most commands that name components convert nothing
    from pydantic import ConfigDict, TypeAdapter
    from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation

    key = repr(annotation)
    if key not in _ADAPTERS:
        try:
            config = ConfigDict(arbitrary_types_allowed=True, allow_inf_nan=False)
            _ADAPTERS[key] = TypeAdapter(annotation, config=config)
        except (PydanticSchemaGenerationError, PydanticUndefinedAnnotation):
            _ADAPTERS[key] = None
        except Exception as error:  # a type with its own configuration
            if "config" not in str(error):
                raise
            _ADAPTERS[key] = TypeAdapter(annotation)
    return _ADAPTERS[key]
