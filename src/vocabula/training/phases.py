"""Signs of life while nothing is shown yet: no phase of a run is silent for ten seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console

SILENCE = 8.0
"""Seconds after which something is said."""


class Heartbeat:
    """Within the block, says something whenever nothing has been said for `SILENCE` seconds.

    Args:
        speak: says it; called in a thread of its own.
    """

    def __init__(self, speak: Callable[[], None]) -> None:
        self._speak = speak
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._last = time.monotonic()

    def __enter__(self) -> Heartbeat:
        self.beat()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def silent(self) -> float:
        """Seconds since something was said last."""
        return time.monotonic() - self._last

    def beat(self) -> None:
        """Note that something has been said."""
        self._last = time.monotonic()

    def _watch(self) -> None:
        while not self._ended.wait(max(0.01, SILENCE - self.silent)):
            if self.silent >= SILENCE:
                self.beat()
                self._speak()


@contextmanager
def phase(text: str, *, shown: bool) -> Iterator[Callable[[int, int], None]]:
    """Show activity: a spinner on a terminal, elsewhere a line if it takes long.

    Args:
        text: the activity, such as ``counting codes``.
        shown: False shows nothing.

    Yields:
        A function to call with how much is done, and of how much.
    """
    if not shown:
        yield lambda done, total: None
        return
    console, started, reached = Console(stderr=True, highlight=False), time.monotonic(), [""]

    def line() -> str:
        return f"{text}{reached[0]}, {clock(time.monotonic() - started)}"

    if console.is_terminal:
        with console.status(text) as status:

            def show(done: int, total: int) -> None:
                status.update(f"{text}: {done} of {total}")

            yield show
        return

    def note(done: int, total: int) -> None:
        reached[0] = f": {done} of {total}"

    with Heartbeat(lambda: console.print(line(), markup=False, soft_wrap=True)):
        yield note


def say(*lines: str) -> None:
    """Print lines about a run to the error stream, as they are."""
    console = Console(stderr=True, highlight=False)
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)


def clock(seconds: float) -> str:
    """Seconds as ``1:02:03`` or ``2:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
