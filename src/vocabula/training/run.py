"""A whole training run: from a configuration and data to a folder with a trained tokenizer."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vocabula.data import ImageSource
from vocabula.errors import Interrupted, TrainingError
from vocabula.files import remove_hidden
from vocabula.tokenizers import build_tokenizer
from vocabula.training.checkpoint import (
    Checkpoint,
    newest_checkpoint,
    save_checkpoint,
)
from vocabula.training.collapse import CollapseWatch
from vocabula.training.config import CUSTOM, RunConfig
from vocabula.training.export import export_tokenizer
from vocabula.training.folder import RunFolder, train_command
from vocabula.training.log import RunLog, require_tensorboard
from vocabula.training.measures import psnr
from vocabula.training.progress import TrainingDisplay
from vocabula.training.random_state import seed_everything
from vocabula.training.settings import TrainingOptions
from vocabula.training.signals import StopRequest
from vocabula.training.trainer import Trainer, check_batch_size, make_accelerator


def train(
    config: RunConfig,
    data: str | os.PathLike[str] | ImageSource,
    out: str | os.PathLike[str],
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
) -> dict[str, Any]:
    """Train a tokenizer and save it.

    The same call works on the CPU, on a GPU and, under ``accelerate launch``, in several
    processes. It can be stopped at any moment, by Ctrl-C or by force: with ``resume=True`` it
    continues from the newest checkpoint, on the CPU to bit-identical weights.

    Args:
        config: what to train and how; see `load_config`.
        data: a folder, a file, the name of a sample, or an open source.
        out: the run's folder: ``run.json``, ``log.jsonl``, ``checkpoints/`` and, at the end, the
            tokenizer, as `vocabula.load` reads it.
        resume: continue the run in `out`; starts from the beginning where there is none.
        overwrite: replace the run in `out`; files that are not a run's own are kept.
        progress: show a bar, or plain lines where the output is no terminal.

    Returns:
        The figures of the last log line (see `RunLog`) with ``steps``, ``seconds`` and ``out``.

    Raises:
        OptionError: an option is wrong, or the run to resume has other settings.
        DataError: the data are missing, damaged or do not fit.
        OutputError: `out` is taken or cannot be written.
        TrainingError: the loss or a gradient is not finite.
        Interrupted: SIGINT or SIGTERM came; everything is saved, the message says how to go on.
    """
    session = _open_session(config, data, RunFolder(os.fspath(out)), resume, overwrite, progress)
    with session.display, StopRequest() as stop:
        try:
            _run(session, stop)
        except TrainingError as error:
            raise TrainingError(f"{error}; {session.kept()}") from None
        finally:
            session.log.close()
    return _finish(session)


@dataclass
class _Session:
    """What belongs to one run while it goes on."""

    config: RunConfig
    options: TrainingOptions
    data: str
    folder: RunFolder
    trainer: Trainer
    batches: Iterator[Tensor]
    log: RunLog
    display: TrainingDisplay
    is_main: bool
    watch: CollapseWatch
    seconds_before: float = 0.0
    started: float = field(default_factory=time.monotonic)
    last_checkpoint: Path | None = None
    last_record: dict[str, Any] = field(default_factory=dict)
    marked: tuple[int, float] = (0, 0.0)

    def seconds(self) -> float:
        """Seconds of training, earlier sessions included."""
        return self.seconds_before + time.monotonic() - self.started

    def kept(self) -> str:
        """Which checkpoint there is to go back to, in words."""
        if self.last_checkpoint is None:
            return "no checkpoint had been written yet"
        return f"the last good checkpoint is {self.last_checkpoint}"


def _open_session(
    config: RunConfig,
    data: str | os.PathLike[str] | ImageSource,
    folder: RunFolder,
    resume: bool,
    overwrite: bool,
    progress: bool,
) -> _Session:
    options: TrainingOptions = config.build("training")
    if options.tensorboard:
        require_tensorboard()
    if options.threads:
        torch.set_num_threads(options.threads)
    accelerator = make_accelerator()
    check_batch_size(options, accelerator.num_processes)
    images = config.build("data")
    source = data if isinstance(data, ImageSource) else images.open(data)
    continued = folder.check(config, len(source), resume=resume, overwrite=overwrite)
    seed_everything(options.seed)
    trainer = Trainer(
        build_tokenizer(config.sections, source.channels),
        options=options,
        optimizer=config.build("optimizer"),
        schedule=config.build("schedule"),
        accelerator=accelerator,
    )
    notices: list[str] = []
    checkpoint = newest_checkpoint(folder.checkpoints, notices.append) if continued else None
    accelerator.wait_for_everyone()  # all have looked before one writes
    batches = _feed(images, source, options, trainer, checkpoint.step if checkpoint else 0)
    is_main = accelerator.is_main_process
    name = source.name if isinstance(data, ImageSource) else os.fspath(data)
    if is_main and continued:
        _continue_folder(folder, config, name, len(source), checkpoint)
    elif is_main:
        folder.create(config, name, len(source))
    session = _Session(
        config=config,
        options=options,
        data=name,
        folder=folder,
        trainer=trainer,
        batches=batches,
        log=RunLog(folder.log, folder.tensorboard if options.tensorboard and is_main else None),
        display=TrainingDisplay(
            options.steps, checkpoint.step if checkpoint else 0, shown=progress and is_main
        ),
        is_main=is_main,
        watch=CollapseWatch(quantizer=config.sections["quantizer"]["name"]),
    )
    for text in notices if is_main else ():
        session.display.notice(text)
    _start(session, checkpoint)
    return session


def _feed(
    images: Any, source: ImageSource, options: TrainingOptions, trainer: Trainer, start: int
) -> Iterator[Tensor]:
    """This process's images of every step from `start` on.

    The first batch is read at once: errors in the data show before anything is written.
    """
    accelerator = trainer.accelerator
    batches = images.train_batches(
        source,
        batch_size=options.batch_size // accelerator.num_processes,
        seed=options.seed,
        start=start,
        rank=accelerator.process_index,
        world_size=accelerator.num_processes,
    )
    first = next(batches)
    return (batch.images for batch in itertools.chain([first], batches))


def _continue_folder(
    folder: RunFolder, config: RunConfig, data: str, images: int, checkpoint: Checkpoint | None
) -> None:
    remove_hidden(folder.path)
    remove_hidden(folder.checkpoints)
    folder.write_manifest(config, data, images)
    RunLog(folder.log).truncate(checkpoint.step if checkpoint else 0)


def _start(session: _Session, checkpoint: Checkpoint | None) -> None:
    """Set weights and generators to the checkpoint, or the generators to the seed."""
    trainer = session.trainer
    if checkpoint is None:
        seed_everything(session.options.seed + trainer.accelerator.process_index)
    else:
        trainer.load_checkpoint(checkpoint)
        session.seconds_before = float(checkpoint.state["seconds"])
        session.last_checkpoint = session.folder.checkpoints / f"step-{checkpoint.step:08d}"
        session.last_record = dict(checkpoint.state["record"])
    session.started = time.monotonic()
    session.marked = (trainer.step, session.seconds())


def _run(session: _Session, stop: StopRequest) -> None:
    trainer, options = session.trainer, session.options
    deadline = session.started + 60 * options.max_minutes if options.max_minutes else None
    while trainer.step < options.steps:
        trainer.train_step(next(session.batches))
        session.display.advance(trainer.step)
        if trainer.step % options.log_every == 0 or trainer.step == options.steps:
            _log(session)
        late = deadline is not None and time.monotonic() >= deadline
        halt = trainer.any_process(stop.requested)
        ends = trainer.step == options.steps or trainer.any_process(late)
        if halt or ends or trainer.step % options.checkpoint_every == 0:
            _save(session)
        if halt and not ends:
            _interrupt(session)
        if ends:
            return


def _log(session: _Session) -> None:
    trainer = session.trainer
    steps, seconds = trainer.step - session.marked[0], session.seconds()
    elapsed = max(seconds - session.marked[1], 1e-9)
    record = _record(trainer, steps * session.options.batch_size / elapsed, seconds)
    session.marked = (trainer.step, seconds)
    report = trainer.usage_report()
    if getattr(trainer.tokenizer.quantizer, "frozen", False):
        report = None  # nothing is counted while frozen: these would be old figures
    if report is not None:
        record |= {
            "usage": float(report.usage.mean()),
            "window_perplexity": float(report.perplexity.mean()),
            "dead": int(report.dead.sum()),
            "largest_share": float(report.largest_share.max()),
            "norm_ratio": float(report.norm_ratio.mean()),
        }
    warnings = session.watch.observe(trainer.step, report, record["losses"])
    if warnings:
        record["warnings"] = warnings
    session.last_record = record
    if session.is_main:
        session.log.write(record)
        left = (session.options.steps - trainer.step) * elapsed / max(steps, 1)
        session.display.record(record, left)
        for text in warnings:
            session.display.notice(f"warning: {text}")


def _record(trainer: Trainer, images_per_second: float, seconds: float) -> dict[str, Any]:
    means = trainer.means()
    losses = {k.removeprefix("losses/"): v for k, v in means.items() if k.startswith("losses/")}
    record = {k: v for k, v in means.items() if not k.startswith("losses/")}
    return {
        "step": trainer.step,
        "stage": trainer.stage,
        **record,
        "psnr": psnr(means["mse"]),
        "losses": losses,
        "lr": trainer.learning_rate,
        "images_per_second": images_per_second,
        "seconds": seconds,
    }


def _save(session: _Session) -> None:
    state = {
        "seconds": session.seconds(),
        "record": session.last_record,
        "config_hash": session.config.fingerprint(),
    }
    checkpoint = session.trainer.checkpoint(state)
    if session.is_main:
        session.last_checkpoint = save_checkpoint(
            session.folder.checkpoints, checkpoint, keep=session.options.keep_checkpoints
        )
    session.trainer.accelerator.wait_for_everyone()


def _interrupt(session: _Session) -> None:
    _export(session)
    command = train_command(session.config, session.data, session.folder.path, "--resume")
    if session.config.preset == CUSTOM:  # settings made in Python, which no command line names
        command = "train(..., resume=True)"
    raise Interrupted(
        f"stopped after step {session.trainer.step} of {session.options.steps}, everything is "
        f"saved; continue with: {command}"
    )


def _finish(session: _Session) -> dict[str, Any]:
    _export(session)
    return {
        **session.last_record,
        "steps": session.trainer.step,
        "seconds": session.seconds(),
        "out": str(session.folder.path),
    }


def _export(session: _Session) -> None:
    if session.is_main:
        export_tokenizer(
            session.trainer,
            session.folder.path,
            data=session.data,
            command=train_command(session.config, session.data, session.folder.path),
            record=session.last_record,
        )
    session.trainer.accelerator.wait_for_everyone()
