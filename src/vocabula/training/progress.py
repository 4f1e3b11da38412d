"""What a run shows while it goes on: a progress bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Column

from vocabula.training.phases import Heartbeat, clock

_BAR, _CLOCK = 10, 7
_EARLY = 2.0  # seconds by which a line with figures comes before one without


class TrainingDisplay:
    """A bar with step, loss, PSNR, perplexity, usage and time left, on the error stream.

    Figures are shown at every line of the log, and in between where that takes long: by time, the
    first within ten seconds. All fits into 80 columns.

    Args:
        steps: steps of the whole run.
        start: steps done before.
        shown: False shows nothing but notices.
    """

    def __init__(self, steps: int, start: int, *, shown: bool) -> None:
        self.console = Console(stderr=True, highlight=False)
        self.shown = shown
        self.steps = steps
        self._step = start
        self._bar: Progress | None = None
        self._heart = Heartbeat(self._say_step)
        if shown and self.console.is_terminal:
            text = TextColumn(
                "{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis")
            )
            self._bar = Progress(
                BarColumn(_BAR),
                MofNCompleteColumn(),
                text,
                TextColumn("{task.fields[left]}"),
                console=self.console,
                refresh_per_second=2,
                expand=True,
            )
            self._task = self._bar.add_task("", total=steps, completed=start, left="")

    def __enter__(self) -> TrainingDisplay:
        if self._bar is not None:
            self._bar.start()
        elif self.shown:
            self._heart.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif self.shown:
            self._heart.__exit__(kind, error, trace)

    def advance(
        self, step: int, figures: Callable[[], Mapping[str, Any]], seconds_left: float
    ) -> None:
        """Show the number of steps done, and figures where none have been shown for a while.

        Args:
            step: optimizer steps done.
            figures: gives what has been measured since the last line of the log.
            seconds_left: to the end of the run.
        """
        self._step = step
        if self._bar is not None:
            self._bar.update(self._task, completed=step, left=clock(seconds_left))
        if self.shown and self._heart.silent >= 10 - 2 * _EARLY:
            self.record({"step": step, **figures()}, seconds_left)

    def record(self, record: Mapping[str, Any], seconds_left: float) -> None:
        """Show the figures of a log line."""
        self._heart.beat()
        parts = describe(record)
        if self._bar is not None:
            counter = 2 * len(str(self.steps)) + 1
            room = self.console.width - _BAR - counter - _CLOCK - 3
            self._bar.update(self._task, description=fitting(parts, room))
        elif self.shown:
            parts = [f"step {record['step']}/{self.steps}", *parts, f"{clock(seconds_left)} left"]
            self.console.print(joined(parts, self.console.width), markup=False, soft_wrap=True)

    def notice(self, text: str) -> None:
        """Say something in a line of its own, whether the bar is shown or not."""
        self.console.print(text, markup=False, soft_wrap=True)

    def _say_step(self) -> None:
        text = f"step {self._step}/{self.steps}  the next is under way"
        self.console.print(text, markup=False, soft_wrap=True)


def describe(record: Mapping[str, Any]) -> list[str]:
    """The figures of a log line in a few words each, the most important first."""
    parts = [f"loss {record['loss']:.4g}"]
    if "psnr" in record:
        parts.append(f"PSNR {record['psnr']:.1f} dB")
    elif "mse" in record:
        parts.append(f"MSE {record['mse']:.4g}")
    if "perplexity" in record:
        parts.append(f"perplexity {record['perplexity']:.0f}")
    if "usage" in record:
        parts.append(f"usage {record['usage']:.0%}")
    if "held_out_nats" in record:
        parts.append(f"held out {record['held_out_nats']:.4g} nats")
    return parts


def fitting(parts: list[str], room: int) -> str:
    """The first of the parts in one line, as many as have room; at least one."""
    kept = list(parts)
    while len(kept) > 1 and len(joined(kept, room)) > room:
        kept.pop()
    return joined(kept, room)


def joined(parts: list[str], width: int) -> str:
    """Parts in one line of at most `width` columns, two blanks apart where these fit."""
    wide = "  ".join(parts)
    return wide if len(wide) <= width else " ".join(parts)
