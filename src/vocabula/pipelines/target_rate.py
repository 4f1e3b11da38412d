"""Cutting a compressed file to a rate."""

from __future__ import annotations

import io
from pathlib import Path

from vocabula.codec.files import cut
from vocabula.codec.inspection import inspect
from vocabula.codec.limits import NO_LIMITS
from vocabula.errors import OptionError


def at_rate(content: bytes, target_bpp: float, least: int, target: Path) -> bytes:
    """The file cut to the most stages that a rate allows.

    Args:
        content: the file with all stages.
        target_bpp: most bits per unit of the signals.
        least: fewest stages that decode.
        target: the file's name, for the error.

    Raises:
        OptionError: even the fewest stages exceed the rate.
    """
    found = inspect(content, limits=NO_LIMITS)
    for stages in range(found.header.kept, least - 1, -1):
        shorter = io.BytesIO()
        cut(content, shorter, stages, limits=NO_LIMITS)
        rate = 8 * len(shorter.getvalue()) / found.units
        if rate <= target_bpp:
            return shorter.getvalue()
    unit = found.header.signal.unit
    raise OptionError(
        f"{target}: expected at most {target_bpp:g} bits per {unit}, got {rate:.4g} with "
        f"the fewest stages ({least}); raise the target or use another tokenizer"
    )
