"""What a prior was made for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vocabula.priors.durations import Durations
from vocabula.signals.attributes import CLASS


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a prior's codes come from.

    Attributes:
        tokenizer: the name of the codes, see `CodeNames`; "" if not known.
        names: what the values of each attribute are called, in order, by the attribute's name;
            without those whose values have no names.
        image_size: (H, W) of the images in pixels; None if they differ or are not known.
        durations: how long signals of one axis are; None if all are equal or it is not known.
    """

    tokenizer: str = ""
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    image_size: tuple[int, int] | None = None
    durations: Durations | None = None

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in order; empty if they have none."""
        return self.names.get(CLASS, ())
