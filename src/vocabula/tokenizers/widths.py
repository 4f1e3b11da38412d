"""Widths that follow from one another, worked out from settings alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vocabula import registry

KEEPING = "identity"
"""The encoder that gives vectors of the width that it gets."""


def keeps_width(encoder: Any) -> bool:
    """Whether an encoder, by its settings, gives vectors of the width that it gets."""
    name = encoder.get("name") if isinstance(encoder, Mapping) else encoder
    return bool(name == KEEPING)


def with_width(quantizer: Any, dim: int) -> Any:
    """The settings of a quantizer with `dim` where it, or one of its stages, leaves its width out.

    Args:
        quantizer: a name, a ``{"name": ..., option: value}`` mapping, or a ready-made part.
        dim: the width.
    """
    if isinstance(quantizer, str):
        quantizer = {"name": quantizer}
    if not isinstance(quantizer, Mapping):
        return quantizer
    stages = quantizer.get("stages")
    if isinstance(stages, (list, tuple)):
        return {**quantizer, "stages": [with_width(stage, dim) for stage in stages]}
    known = registry.options("quantizer", str(quantizer.get("name")))
    takes = any(option.name == "dim" for option in known)
    return {"dim": dim, **quantizer} if takes else quantizer
