"""What a run shows while it goes on: a progress bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

BESIDE = 24
"""Columns of a bar's line beside the figures and the steps: a short bar, the time, blanks."""


class TrainingDisplay:
    """A bar with step, loss, PSNR, perplexity, usage and time left, on the error stream.

    Args:
        steps: steps of the whole run.
        start: steps done before.
        shown: False shows nothing but notices.
    """

    def __init__(self, steps: int, start: int, *, shown: bool) -> None:
        self.console = Console(stderr=True, highlight=False)
        self.shown = shown
        self.steps = steps
        self._bar: Progress | None = None
        if shown and self.console.is_terminal:
            self._bar = Progress(
                BarColumn(bar_width=None),
                MofNCompleteColumn(),
                TextColumn("{task.description}"),
                TimeRemainingColumn(),
                console=self.console,
                refresh_per_second=2,
                expand=True,
            )
            self._task = self._bar.add_task("", total=steps, completed=start)

    def __enter__(self) -> TrainingDisplay:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, step: int) -> None:
        """Show the number of steps done."""
        if self._bar is not None:
            self._bar.update(self._task, completed=step)

    def record(self, record: Mapping[str, Any], seconds_left: float) -> None:
        """Show the figures of a log line."""
        figures = describe(record)
        if self._bar is not None:
            room = self.console.width - 2 * len(str(self.steps)) - BESIDE
            self._bar.update(self._task, description=fitting(figures, room))
        elif self.shown:
            text = f"step {record['step']}/{self.steps}  {figures}  {clock(seconds_left)} left"
            self.console.print(text, markup=False, soft_wrap=True)

    def notice(self, text: str) -> None:
        """Say something in a line of its own, whether the bar is shown or not."""
        self.console.print(text, markup=False, soft_wrap=True)


def describe(record: Mapping[str, Any]) -> str:
    """The figures of a log line in a few words."""
    parts = [f"loss {record['loss']:.4g}"]
    if "psnr" in record:
        parts.append(f"PSNR {record['psnr']:.2f} dB")
    if "perplexity" in record:
        parts.append(f"perplexity {record['perplexity']:.0f}")
    if "usage" in record:
        parts.append(f"usage {record['usage']:.0%}")
    if "held_out_nats" in record:
        parts.append(f"held out {record['held_out_nats']:.4g} nats")
    return "  ".join(parts)


def fitting(figures: str, room: int) -> str:
    """The first of the figures, as many as have room."""
    parts = figures.split("  ")
    while len(parts) > 1 and len("  ".join(parts)) > room:
        parts.pop()
    return "  ".join(parts)


def clock(seconds: float) -> str:
    """Seconds as ``1:02:03`` or ``2:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
