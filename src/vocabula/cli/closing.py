"""How a command ends: one line says what was made, and one suggests the next command."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vocabula.cli.console import say
from vocabula.errors import plural
from vocabula.files import stdout_is_taken

if TYPE_CHECKING:
    from vocabula.pipelines.compress import Closeness, Compressed


def close(made: str, purpose: str = "", *command: object) -> None:
    """Say what was made and, on a separate line to copy, what to run next.

    Args:
        made: what was made, in words and numbers; empty where tables have said so.
        purpose: what the next step does, such as "open it".
        command: the words of ``vocabula ...``, not quoted; none leaves the step out.
    """
    if made:
        say(made)
    if command and not stdout_is_taken():
        say(f"to {purpose}: {shlex.join(['vocabula', *map(str, command)])}")


def totals(written: Sequence[Compressed], fidelity: Closeness) -> str:
    """Signals, bytes before and after, rate and closeness of compressed files, in words."""
    items = sum(one.items for one in written)
    before = sum(one.original_bytes for one in written)
    after = sum(one.bytes for one in written)
    rate = 8 * after / sum(one.units for one in written)
    where = f"{written[0].path}" if len(written) == 1 else plural(len(written), "file")
    close = f", {fidelity.words}" if fidelity.words else ""
    return (
        f"wrote {where}: {plural(items, written[0].item)}, {before:,} -> {after:,} bytes "
        f"({after / max(before, 1):.1%}), {rate:.4g} bits per {written[0].unit}{close}"
    )
