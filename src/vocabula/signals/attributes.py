"""Attributes of signals: names with integer values, such as the class or the speaker."""

from __future__ import annotations

CLASS = "class"
"""The name of the attribute that labels give."""
NOT_GIVEN = -1
"""The value of an attribute that says: not known."""
