"""A whole training run: from a configuration and data to a folder with a trained tokenizer."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from vocabula.data import Batch, SignalData, Source
from vocabula.data.reporting import reporting
from vocabula.evaluation.metrics import METRICS
from vocabula.quantizers.collapse import CollapseWatch
from vocabula.training.checkpoint import newest_step
from vocabula.training.checks import fit_scaling
from vocabula.training.config import RunConfig
from vocabula.training.exchange import check_exchange
from vocabula.training.export import count_codes, export_tokenizer, share_counts
from vocabula.training.folder import BEFORE, RunFolder, only_writer, restart_words
from vocabula.training.forecast import forecast
from vocabula.training.launches import how_to_start
from vocabula.training.looks.adversary import NAME as ADVERSARY
from vocabula.training.looks.checks import check_looks
from vocabula.training.measures import usage_figures
from vocabula.training.phases import phase, say
from vocabula.training.plan import tokenizer_lines, trainer_lines
from vocabula.training.random_state import seed_everything
from vocabula.training.sections import networks
from vocabula.training.session import Session, prepare
from vocabula.training.start import check_start, notes_of, open_start, said_of, words_of
from vocabula.training.subject import Subject
from vocabula.training.swap import as_table
from vocabula.training.trainer import Trainer
from vocabula.training.workloads import (
    known_attributes,
    make_trainer,
    plural_of,
    signal_of,
    tokenizer_workload,
)


def train(
    config: RunConfig,
    data: str | os.PathLike[str] | Source,
    out: str | os.PathLike[str],
    *,
    start: str | os.PathLike[str] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
) -> dict[str, Any]:
    """Train a tokenizer and save it.

    The same call works on the CPU, on a GPU and, under ``torchrun`` or ``accelerate launch``, in
    several processes. It can be stopped at any moment, by Ctrl-C or by force: with ``resume=True``
    it continues from the newest checkpoint, on the CPU to bit-identical weights. When ``torchrun
    --max-restarts N`` starts the processes again, they continue the run that they had begun.

    Args:
        config: what to train and how; see `load_config`.
        data: a folder, a file, the name of a sample, or an open source.
        out: the run's folder: ``run.json``, ``log.jsonl``, ``checkpoints/`` and, at the end, the
            tokenizer, as `vocabula.load` reads it.
        start: a run or a saved tokenizer to begin as, with the same encoders and quantizers; a
            resumed run must name it again. If the stages of the training let only the look learn,
            the codes stay the same, and each of the two opens the files of the other.
        resume: continue the run in `out`; starts from the beginning where there is none.
        overwrite: replace the run in `out`; files that are not a run's own are kept.
        progress: show a bar, or plain lines where the output is no terminal.

    Returns:
        The figures of the last log line (see `RunLog`) with ``steps``, ``seconds`` and ``out``.

    Raises:
        CheckpointError: what to begin as is missing or damaged.
        OptionError: an option is wrong, or the run to resume has other settings.
        DataError: the data are missing, damaged or do not fit.
        OutputError: `out` is taken, by a run in progress too, or cannot be written.
        TrainingError: the loss or a gradient is not finite.
        Interrupted: SIGINT or SIGTERM came; everything is saved, the message says how to go on.
    """
    options, accelerator = prepare(config)
    data_options: SignalData = config.build("data")
    reading = data_options.for_signal(signal_of(config, 1))
    shown = progress and accelerator.is_main_process
    name = data.name if isinstance(data, Source) else os.fspath(data)
    with phase(f"opening {name}", shown=shown) as advance, reporting(advance):
        source = data if isinstance(data, Source) else reading.open(data)
    folder, begun = RunFolder(os.fspath(out)), open_start(start)
    words = ("train", name, "--preset", config.preset, "--out", str(folder.path))
    command = ("vocabula", *words, *words_of(begun))
    with phase(f"reading {name}", shown=shown):
        identity = {"content": source.content()}
        known = known_attributes(config, source)
    check_exchange(options, known.get("attributes", {}))
    looks = check_looks(config, signal_of(config, source.channels), reading.extent(source), options)
    about: dict[str, Any] = {"identity": identity, "more": said_of(begun)}
    subject = Subject(name, len(source), command, unit=plural_of(config), **about)
    wanted = {"resume": resume, "overwrite": overwrite}
    resume, overwrite = how_to_start(folder.path, accelerator, **wanted)
    flags = restart_words(resume=resume, overwrite=overwrite)
    with only_writer(folder.path, accelerator):
        continued = folder.check(config, subject, resume=resume, overwrite=overwrite)
        check_start(begun, folder.earlier(subject) if continued else None)
        workload = tokenizer_workload(config, reading, source, options, accelerator, known, looks)
        command_line = partial(subject.command_line, *flags, *config.overrides)
        asked: dict[str, Any] = {"command": command_line, "resumed": continued, "shown": shown}
        outlook = forecast(workload, options, config.build("optimizer"), accelerator, **asked)
        seed_everything(options.seed)
        trainer = make_trainer(config, source.channels, options, accelerator, known, looks, begun)
        done = newest_step(folder.checkpoints) if continued else 0
        if not done and begun is None:
            _fit_scaling(trainer, source, shown)
        if shown:
            size, told = workload.size[1:], reading.in_words(source)
            say(*tokenizer_lines(source, trainer.tokenizer, size, told), *notes_of(begun))
            say(*trainer_lines(trainer, outlook, done=done, unit=workload.unit))
        return TokenizerSession(
            source,
            config,
            subject,
            folder,
            trainer,
            continued=continued,
            progress=progress,
            feed=lambda start: _feed(reading, source, trainer, start),
        ).run()


class TokenizerSession(Session[Trainer]):
    """The run of a tokenizer: watches its codebooks, and exports it as `vocabula.load` reads it.

    Args:
        source: the signals.
        config, others, options: see `Session`.
    """

    def __init__(self, source: Source, config: RunConfig, *others: Any, **options: Any) -> None:
        super().__init__(config, *others, **options)
        self._source = source
        signal = self.trainer.tokenizer.signal
        self.signals_per_second = f"{signal.plural}_per_second"
        self._fidelity = METRICS.of(signal.kind)
        sections = list(networks(config.sections))
        levels = self.trainer.tokenizer.levels
        several = len(levels) // len(sections)  # levels of one quantizer
        self._watches = [
            CollapseWatch(
                quantizer=as_table(table["quantizer"], f"{section}quantizer")["name"],
                prefix=level.prefix,
                section=section,
            )
            for level, (section, table) in zip(
                levels, (pair for pair in sections for _ in range(several)), strict=True
            )
        ]

    def measure(self, record: dict[str, Any]) -> list[str]:
        """Add stage, error figures, loss terms and the usage of the codebooks; see `RunLog`."""
        trainer = self.trainer
        record["losses"] = {
            name.removeprefix("losses/"): record.pop(name)
            for name in [key for key in record if key.startswith("losses/")]
        }
        played = {key: record.pop(key) for key in [*record] if key.startswith(f"{ADVERSARY}/")}
        if played:
            record[ADVERSARY] = {k.removeprefix(f"{ADVERSARY}/"): v for k, v in played.items()}
        record |= {"stage": trainer.stage, **self._of_error(record)}
        reports = trainer.usage_reports()
        levels = zip(trainer.tokenizer.levels, reports, strict=True)
        record |= usage_figures({level.prefix: r for level, r in levels if r is not None})
        said = [] if trainer.looks is None else trainer.looks.warnings(record)
        return said + [
            text
            for watch, report in zip(self._watches, reports, strict=True)
            for text in watch.observe(trainer.step, report, record["losses"])
        ]

    def figures(self) -> dict[str, Any]:
        """With figures of the error, such as PSNR; see `Session.figures`."""
        figures = super().figures()
        return {**figures, **self._of_error(figures)}

    def _of_error(self, figures: Mapping[str, Any]) -> dict[str, Any]:
        """Figures of the error; none where every step was left out."""
        return dict(self._fidelity.of_error(figures["mse"])) if "mse" in figures else {}

    def stepped(self) -> None:
        """Keep the tokenizer as it is when its adversary begins."""
        looks, step = self.trainer.looks, self.trainer.step
        if looks is None or looks.adversary is None:
            return
        if step == looks.adversary.begins(self.options.steps):
            if self.is_main:
                self._export_to(self.folder.path / BEFORE)
            self.trainer.accelerator.wait_for_everyone()

    def complete(self) -> None:
        """Count the codes of the training data, for the entropy models."""
        path = self.folder.path
        with phase("counting codes", shown=self.display.shown) as advance:
            count_codes(path, self._source, self.trainer.accelerator.device, advance)
        share_counts(path, path / BEFORE)

    def extra_state(self) -> dict[str, Any]:
        """The stage, for readers of a checkpoint."""
        return {"stage": self.trainer.stage}

    def export(self) -> None:
        """Save the tokenizer."""
        self._export_to(self.folder.path)

    def _export_to(self, path: Path) -> None:
        export_tokenizer(
            self.trainer,
            path,
            data=self.subject.data,
            command=self.subject.command_line(*self.config.overrides),
            record=self.last_record,
            before=None if path.name == BEFORE else self.folder.path / BEFORE,
        )


def _fit_scaling(trainer: Trainer, source: Source, shown: bool) -> None:
    """Learn the scale of the values; every process learns the same."""
    scaled = trainer.tokenizer.scaling is not None
    with phase("learning the scale of the values", shown=shown and scaled):
        fit_scaling(trainer.tokenizer, source)


def _feed(reading: SignalData, source: Source, trainer: Trainer, start: int) -> Iterator[Batch]:
    """This process's signals of every step from `start` on.

    The first batch is read at once: errors in the data show before anything is written.
    """
    accelerator, options = trainer.accelerator, trainer.options
    batches = reading.train_batches(
        source,
        batch_size=options.batch_size // accelerator.num_processes,
        seed=options.seed,
        start=start,
        rank=accelerator.process_index,
        world_size=accelerator.num_processes,
    )
    first = next(batches)
    return itertools.chain([first], batches)
