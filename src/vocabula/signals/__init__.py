"""The kinds of signal, their codes and what can be known of them, without files or networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vocabula import lazy_names

if TYPE_CHECKING:
    from vocabula.signals.audio import Audio
    from vocabula.signals.base import Signal
    from vocabula.signals.codes import CodeSpec
    from vocabula.signals.condition import Condition
    from vocabula.signals.image import Image
    from vocabula.signals.vector import Vector

__getattr__ = lazy_names(__name__)

__all__ = ["Audio", "CodeSpec", "Condition", "Image", "Signal", "Vector"]
