"""The options that a component was made with, as the registry records them."""

from __future__ import annotations

from typing import Any

RECORD = "_component_options"


def amend(obj: Any, **options: Any) -> None:
    """Record other values of a component's options, for a component that changed after its making.

    An object that is no component is left as it is.
    """
    record = getattr(obj, RECORD, None)
    if record is not None:
        object.__setattr__(obj, RECORD, record | options)
