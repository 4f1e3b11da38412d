"""Plain values that fit stay as they are; all others are what pydantic makes of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Gt, Le, Lt, MultipleOf
from pydantic import ConfigDict, TypeAdapter

from vocabula.quantizers import EMA, LearningRule
from vocabula.signatures.values import converted, fits

ANNOTATIONS = [
    int,
    float,
    str,
    bool,
    int | None,
    int | float,
    Annotated[int, Ge(1)],
    Annotated[float, Gt(0), Le(1)],
    Annotated[int, Ge(0), Lt(3), "of three"],
    Annotated[int, MultipleOf(2)],
    Literal["a", "b", 1],
    Literal["all"] | Annotated[int, Ge(1)],
    tuple[int, ...],
    tuple[Annotated[int, Ge(1)], ...] | None,
    tuple[int, int],
    list[int],
]
VALUES = [
    *(0, 1, 2, -1, True, False, 0.0, 1.0, 0.5, 2.5, float("inf"), float("nan")),
    *("a", "b", "all", "1", "0.5", "true", ""),
    *((), (1, 2), [1, 2], [0, 1], [1.0, 2.5], ["1"], (True,), [1, None], {"a": 1}),
]


def outcome(make: Any) -> Any:
    """The value with its type, and those of its items; or that it is refused."""
    try:
        value = make()
    except ValueError:
        return "refused"
    items = value if isinstance(value, (list, tuple)) else ()
    return type(value), repr(value), [type(item) for item in items]


@pytest.mark.parametrize("annotation", ANNOTATIONS, ids=str)
def test_every_value_is_what_pydantic_makes_of_it(annotation: Any) -> None:
    plain = ConfigDict(arbitrary_types_allowed=True, allow_inf_nan=False)
    adapter: TypeAdapter[Any] = TypeAdapter(annotation, config=plain)
    for value in VALUES:
        expected = outcome(lambda value=value: adapter.validate_python(value))
        assert outcome(lambda value=value: converted(annotation, value)) == expected, value


def test_components_stay_themselves() -> None:
    rule = EMA()
    assert fits(LearningRule, rule) and converted(LearningRule, rule) is rule
    assert not fits(LearningRule, 3)
    with pytest.raises(ValueError):
        converted(LearningRule, 3)
