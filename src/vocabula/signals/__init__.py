"""The kinds of signal: what one is, apart from any file, network or model."""

from __future__ import annotations

from vocabula.signals.base import Signal
from vocabula.signals.image import Image
from vocabula.signals.vector import Vector

__all__ = ["Image", "Signal", "Vector"]
