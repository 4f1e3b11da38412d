"""A run while it goes on: steps, log lines, checkpoints, and an end in good order."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

from vocabula.errors import Interrupted, TrainingError
from vocabula.files import remove_hidden
from vocabula.training.accelerators import check_batch_size, make_accelerator
from vocabula.training.base import BaseTrainer
from vocabula.training.checkpoint import Checkpoint, newest_checkpoint, save_checkpoint
from vocabula.training.config import CUSTOM, RunConfig
from vocabula.training.folder import RunFolder
from vocabula.training.log import RunLog, require_tensorboard
from vocabula.training.progress import TrainingDisplay
from vocabula.training.random_state import seed_everything
from vocabula.training.settings import TrainingOptions
from vocabula.training.stopping import StopRequest
from vocabula.training.subject import Subject

T = TypeVar("T", bound=BaseTrainer[Any])


class Session(ABC, Generic[T]):
    """One run: opens or continues its folder, trains, and leaves a saved model there.

    ::

        every step:            train_step
        every log_every:       a line of the log (`measure` adds what the model calls for)
        every checkpoint_every, and at the end or a stop: a checkpoint

    Args:
        config: what is trained and how.
        subject: what it learns from.
        folder: the run's folder, which `RunFolder.check` has accepted.
        trainer: takes the steps.
        continued: whether there is a run to continue in the folder.
        progress: show a bar, or plain lines where the output is no terminal.
        feed: this process's batches, from a step on.

    Attributes:
        ends: whether the step just taken is the last.
        last_record: the last log line.
        last_checkpoint: the last checkpoint written, or None.
    """

    signals_per_second = "images_per_second"

    def __init__(
        self,
        config: RunConfig,
        subject: Subject,
        folder: RunFolder,
        trainer: T,
        *,
        continued: bool,
        progress: bool,
        feed: Callable[[int], Iterator[Any]],
    ) -> None:
        self.config, self.subject, self.folder, self.trainer = config, subject, folder, trainer
        self.options = options = trainer.options
        self.is_main = trainer.accelerator.is_main_process
        self.last_record: dict[str, Any] = {}
        self.last_checkpoint: Path | None = None
        self.ends = False
        notices: list[str] = []
        checkpoint = newest_checkpoint(folder.checkpoints, notices.append) if continued else None
        trainer.accelerator.wait_for_everyone()  # all have looked before one writes
        start = checkpoint.step if checkpoint else 0
        self._batches = feed(start)
        if self.is_main:
            self._open_folder(continued, start)
        events = folder.tensorboard if options.tensorboard and self.is_main else None
        self._log = RunLog(folder.log, events)
        self.display = TrainingDisplay(options.steps, start, shown=progress and self.is_main)
        for text in notices if self.is_main else ():
            self.display.notice(text)
        self._seconds_before = 0.0
        if checkpoint is None:
            seed_everything(options.seed + trainer.accelerator.process_index)
        else:
            trainer.load_checkpoint(checkpoint)
            self.restore(checkpoint)
        self._started = time.monotonic()
        self._first = trainer.step
        self._marked = (trainer.step, self.seconds())

    # ------------------------------------------------------- what a model gives

    @abstractmethod
    def measure(self, record: dict[str, Any]) -> list[str]:
        """Add the model's own figures to a log line; warnings. Every process calls it."""

    @abstractmethod
    def export(self) -> None:
        """Save the model as it is now; the main process calls it."""

    def figures(self) -> dict[str, Any]:
        """This process's figures since the last log line, for the display."""
        return self.trainer.meter.means()

    def stepped(self) -> None:
        """A hook after every step, before its log line and checkpoint; every process calls it."""

    def complete(self) -> None:
        """Complete a finished model; the main process calls it. Does nothing by default."""

    @property
    def due(self) -> bool:
        """Whether a log line is called for after a step, apart from the usual ones."""
        return False

    def extra_state(self) -> dict[str, Any]:
        """Further state of a checkpoint; empty unless overridden."""
        return {}

    def save(self) -> Checkpoint:
        """A checkpoint of everything; every process calls it."""
        return self.trainer.checkpoint(
            {
                "seconds": self.seconds(),
                "record": self.last_record,
                "config_hash": self.config.fingerprint(),
                **self.extra_state(),
            }
        )

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint that the trainer has loaded."""
        self._seconds_before = float(checkpoint.state["seconds"])
        self.last_checkpoint = self.folder.checkpoints / f"step-{checkpoint.step:08d}"
        self.last_record = dict(checkpoint.state["record"])

    # ------------------------------------------------------------------ the run

    def run(self) -> dict[str, Any]:
        """Train to the end, save, and return the figures of the last log line.

        Raises:
            TrainingError: the loss or a gradient is not finite.
            OutputError: the folder cannot be written.
            Interrupted: SIGINT or SIGTERM came; everything is saved.
        """
        with self.display, StopRequest() as stop:
            try:
                self._run(stop)
            except TrainingError as error:
                kept = self._kept()
                self._log.close()
                if self.is_main and self._empty:
                    self.folder.withdraw(self.subject)
                raise TrainingError(f"{error}; {kept}") from None
            finally:
                self._log.close()
        self._export()
        self._complete()
        return {
            **self.last_record,
            "steps": self.trainer.step,
            "seconds": self.seconds(),
            "out": str(self.folder.path),
        }

    def seconds(self) -> float:
        """Seconds of training, earlier sessions included."""
        return self._seconds_before + time.monotonic() - self._started

    # --------------------------------------------------------------- internals

    def _open_folder(self, continued: bool, start: int) -> None:
        if not continued:
            self.folder.create(self.config, self.subject)
            return
        remove_hidden(self.folder.path)
        remove_hidden(self.folder.checkpoints)
        self.folder.write_manifest(self.config, self.subject)
        RunLog(self.folder.log).truncate(start)

    def _run(self, stop: StopRequest) -> None:
        trainer, options = self.trainer, self.options
        trainer.elapsed = self._elapsed()
        while trainer.step < options.steps and (trainer.elapsed < 1 or trainer.step == 0):
            trainer.train_step(next(self._batches))
            self.stepped()
            self.display.advance(trainer.step, self.figures, self._left())
            trainer.elapsed = self._elapsed()
            halt = trainer.any_process(stop.requested)
            self.ends = ends = trainer.step == options.steps or trainer.elapsed >= 1
            if ends or trainer.step % options.log_every == 0 or self.due:
                self._write_log()
            if halt or ends or trainer.step % options.checkpoint_every == 0:
                self._save()
            if halt and not ends:
                self._interrupt()
            if ends:
                break
        if trainer.step < options.steps and self.is_main and self.display.shown:
            self.display.notice(
                f"training.max_minutes={options.max_minutes:g} is over after step {trainer.step} "
                f"of {options.steps}; more minutes continue with --resume"
            )

    def _write_log(self) -> None:
        trainer = self.trainer
        steps, seconds = trainer.step - self._marked[0], self.seconds()
        elapsed = max(seconds - self._marked[1], 1e-9)
        record: dict[str, Any] = {"step": trainer.step, **trainer.means()}
        record |= {
            "lr": trainer.learning_rate,
            self.signals_per_second: steps * self.options.batch_size / elapsed,
            "seconds": seconds,
        }
        self._marked = (trainer.step, seconds)
        warnings = self.measure(record)
        if warnings:
            record["warnings"] = warnings
        self.last_record = record
        if self.is_main:
            self._log.write(record)
            self.display.record(record, self._left())
            for text in warnings:
                self.display.notice(f"warning: {text}")

    def _elapsed(self) -> float:
        """The fraction of the time limit that has passed, alike in every process; 0 without one."""
        if not self.options.max_minutes:
            return 0.0
        return self.trainer.mean_of_processes(self.seconds() / (60 * self.options.max_minutes))

    def _left(self) -> float:
        """Seconds to the end, at the speed of this session so far."""
        done, options = self.trainer.step - self._first, self.options
        each = (time.monotonic() - self._started) / max(1, done)
        left = (options.steps - self.trainer.step) * each
        limit = 60 * options.max_minutes
        return min(left, max(0.0, limit - self.seconds())) if limit else left

    def _save(self) -> None:
        checkpoint = self.save()
        if self.is_main:
            self.last_checkpoint = save_checkpoint(
                self.folder.checkpoints, checkpoint, keep=self.options.keep_checkpoints
            )
        self.trainer.accelerator.wait_for_everyone()

    def _interrupt(self) -> None:
        self._export()
        raise Interrupted(
            f"stopped after step {self.trainer.step} of {self.options.steps}, everything is "
            f"saved; continue with: {self._continue()}"
        )

    def _continue(self) -> str:
        """The command that continues the run."""
        if self.config.preset == CUSTOM:  # settings made in Python, which no command line names
            return f"{self.subject.command[1].replace('-', '_')}(..., resume=True)"
        return self.subject.command_line("--resume", *self.config.overrides)

    def _complete(self) -> None:
        if self.is_main:
            try:
                self.complete()
            except KeyboardInterrupt:
                raise Interrupted(
                    "stopped after the last step, the model is saved; what was made of it is left "
                    f"out; continue with: {self._continue()}"
                ) from None
        self.trainer.accelerator.wait_for_everyone()

    def _export(self) -> None:
        if self.is_main:
            self.export()
        self.trainer.accelerator.wait_for_everyone()

    @property
    def _empty(self) -> bool:
        """Whether the run has neither a log line nor a checkpoint."""
        return self.last_checkpoint is None and not self.last_record

    def _kept(self) -> str:
        """The checkpoint to return to, in words."""
        if self._empty:
            return "nothing of the run is kept"
        if self.last_checkpoint is None:
            return "no checkpoint had been written yet"
        return f"the last good checkpoint is {self.last_checkpoint}"


def prepare(config: RunConfig) -> tuple[TrainingOptions, Any]:
    """The training options of a configuration and this process's accelerator, checked.

    Raises:
        OptionError: TensorBoard is missing, or the batch does not split evenly.
    """
    options: TrainingOptions = config.build("training")
    if options.tensorboard:
        require_tensorboard()
    if options.threads:
        torch.set_num_threads(options.threads)
    accelerator = make_accelerator()
    check_batch_size(options, accelerator.num_processes)
    return options, accelerator
