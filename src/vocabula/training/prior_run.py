"""Trains priors: from a tokenizer and its codes to a folder that draws new signals."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from vocabula import registry
from vocabula.errors import OptionError
from vocabula.files import dump_json, output_errors, replace_file
from vocabula.priors import Prior, level_folder, save_tokenizer_beside
from vocabula.priors.data import PriorData, read_prior_data
from vocabula.priors.sources import Sources
from vocabula.priors.start import start_from_codebooks
from vocabula.tokenizers import SignalTokenizer, load
from vocabula.training.checkpoint import newest_step
from vocabula.training.config import RunConfig
from vocabula.training.folder import RunFolder, only_writer, restart_words
from vocabula.training.forecast import Forecast, forecast, together
from vocabula.training.launches import how_to_start
from vocabula.training.log import RESUME
from vocabula.training.phases import say
from vocabula.training.plan import prior_lines, step_lines
from vocabula.training.preset_files import prior_preset_names
from vocabula.training.prior_session import METRICS, PriorSession, build_prior
from vocabula.training.prior_trainer import PriorTrainer
from vocabula.training.random_state import seed_everything
from vocabula.training.session import prepare
from vocabula.training.settings import (
    CaptionOptions,
    ContextOptions,
    HeldOutOptions,
    TrainingOptions,
)
from vocabula.training.subject import Subject
from vocabula.training.workloads import make_prior_trainer, prior_workload

FORMAT = "vocabula-prior-run"


def train_prior(
    config: RunConfig,
    run: str | os.PathLike[str] | SignalTokenizer,
    tokens: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    captions: str | os.PathLike[str] | None = None,
    caption_column: str | None = None,
    held_out: str | os.PathLike[str] | None = None,
    classes: bool = True,
    level: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
) -> dict[str, Any]:
    """Train the prior of a tokenizer's codes, or one for each of its levels, and save them.

    `out` holds all that drawing needs; see `vocabula.priors.load_generator`. It works on the CPU,
    on a GPU and, under ``torchrun`` or ``accelerate launch``, in several processes. If stopped, it
    continues with ``resume=True`` from the newest checkpoint, with identical weights on the CPU.

    Args:
        config: what to train and how; see `load_config` and `prior_preset_names`.
        run: the tokenizer, or its folder.
        tokens: a file of codes that it made; see `encode_dataset`.
        out: the folder to write.
        captions: text conditions; see `read_captions`.
        caption_column: the column of texts in a parquet file of captions.
        held_out: a file of codes to measure on; None holds a share of `tokens` out.
        classes: whether labels and other attributes in `tokens`, if any, become conditions; ignored
            for a kind of prior that takes none.
        level: train the prior of this level only, 1 for the coarsest; None trains all.
        resume: continue the run in `out`; starts from the beginning where there is none.
        overwrite: replace the run in `out`; files that are not a run's own are kept.
        progress: show a bar, or plain lines where the output is no terminal.

    Returns:
        ``out``, ``bits_per_dim`` (over the levels trained so far) and ``levels``: the content of
        each level's ``metrics.json``.

    Raises:
        OptionError: an option is wrong, or the run to resume has other settings or data.
        TokensError, DataError: tokens or captions are missing, damaged or do not fit.
        OutputError: `out` is taken, by a run in progress too, or cannot be written.
        TrainingError: the loss or a gradient is not finite.
        Interrupted: SIGINT or SIGTERM came; everything is saved, the message says how to go on.
    """
    _check_options(config)
    options, accelerator = prepare(config)
    tokenizer = run if isinstance(run, SignalTokenizer) else load(run)
    kind: type[Prior] = registry.lookup("prior", config.sections["prior"]["name"])
    classes = classes and kind.conditional
    sources = Sources(tokens, captions, caption_column, held_out, classes)
    data = _read(config, tokenizer, sources, options.seed)
    levels = len(tokenizer.levels)
    chosen = _chosen(level, levels)
    name = "TOKENIZER" if isinstance(run, SignalTokenizer) else os.fspath(run)
    whole = _subject(config, name, sources, data, os.fspath(out))
    words = () if level is None else ("--level", str(level))
    subject = replace(whole, command=(*whole.command, *words))
    top, is_main = RunFolder(os.fspath(out)), accelerator.is_main_process
    folders = {k: RunFolder(level_folder(top.path, k, levels)) for k in chosen}
    first = top if level is None else folders[chosen[0]]
    wanted = {"resume": resume, "overwrite": overwrite}
    resume, overwrite = how_to_start(first.path, accelerator, **wanted)
    anew, flags = overwrite and level is None, restart_words(resume=resume, overwrite=overwrite)
    with ExitStack() as locks:
        if level is None:  # single levels may be trained side by side
            locks.enter_context(only_writer(top.path, accelerator))
        earlier = top.earlier(subject)
        for folder in folders.values() if levels > 1 or level is not None else ():
            locks.enter_context(only_writer(folder.path, accelerator))
        continued = {
            k: folder.check(config, subject, resume=resume, overwrite=overwrite)
            for k, folder in folders.items()
        }
        if earlier is not None and levels > 1 and not anew:
            top.check_data(subject, earlier)  # all levels learn from the same
        plan = _Plan(config, options, accelerator, data, progress and is_main)
        outlook = plan.check(continued, lambda *more: subject.command_line(*flags, *more))
        trainers = _Trainers(config, options, accelerator, data, tokenizer, chosen)
        plan.say(tokenizer, folders, continued, trainers.parameters, outlook)
        accelerator.wait_for_everyone()  # all processes have checked before one writes
        if is_main and levels > 1 and (earlier is None or anew):
            for folder in folders.values() if anew else ():
                folder.create(config, subject)  # no level of the old priors stays beside a new one
            top.create(config, whole)
        for k, folder in folders.items():
            parts = (data.of_level(k), config, subject, folder, trainers.make(k))
            made = PriorSession(*parts, continued=continued[k], progress=progress)
            _finish(made, top.path, tokenizer)
        return _summary(top.path, levels, write=is_main and levels > 1)


def _finish(session: PriorSession, folder: Path, tokenizer: SignalTokenizer) -> None:
    """Train a level's prior to its end, with its tokenizer and figures beside it."""
    if session.is_main:
        save_tokenizer_beside(folder, tokenizer)
    session.run()
    if session.is_main:
        session.write_metrics()
    session.trainer.accelerator.wait_for_everyone()


@dataclass(frozen=True)
class _Plan:
    """The plan of a run: it is measured, refused if it does not fit, and printed."""

    config: RunConfig
    options: TrainingOptions
    accelerator: Accelerator
    data: PriorData
    shown: bool

    def check(self, continued: Mapping[int, bool], command: Callable[..., str]) -> Forecast | None:
        """Check the total cost of the priors of some levels.

        Raises:
            OptionError: there is not enough memory for one of them.
        """
        outlook = None
        for level, resumed in continued.items():
            one = forecast(
                prior_workload(
                    self.config, self.data.of_level(level), self.options, self.accelerator
                ),
                self.options,
                self.config.build("optimizer"),
                self.accelerator,
                command=lambda *more: command(*self.config.overrides, *more),
                resumed=resumed,
                shown=self.shown,
            )
            outlook = together(outlook, one)
        return outlook

    def say(
        self,
        tokenizer: SignalTokenizer,
        folders: Mapping[int, RunFolder],
        continued: Mapping[int, bool],
        parameters: int,
        outlook: Forecast | None,
    ) -> None:
        """Say it, before the first step."""
        if not self.shown:
            return
        done = min(newest_step(f.checkpoints) if continued[k] else 0 for k, f in folders.items())
        say(
            *prior_lines(self.data, tokenizer.levels, list(folders)),
            *step_lines(
                self.options,
                parameters,
                self.accelerator.device,
                outlook,
                done=done,
                models=len(folders),
                unit="signals",
            ),
        )


class _Trainers:
    """The trainers of some levels, made one after the other.

    The priors are all built at once, so that an option that does not fit the last of them shows
    before anything is written.
    """

    def __init__(
        self,
        config: RunConfig,
        options: TrainingOptions,
        accelerator: Accelerator,
        data: PriorData,
        tokenizer: SignalTokenizer,
        levels: list[int],
    ) -> None:
        self._config, self._options, self._accelerator = config, options, accelerator
        self._priors = {}
        for k in levels:
            seed_everything(options.seed)
            self._priors[k] = build_prior(config, data.of_level(k))
            start_from_codebooks(self._priors[k], tokenizer, k)

    @property
    def parameters(self) -> int:
        """How many numbers the priors have together."""
        return sum(p.numel() for prior in self._priors.values() for p in prior.parameters())

    def make(self, level: int) -> PriorTrainer:
        """The trainer of a level, once."""
        prior = self._priors.pop(level)
        return make_prior_trainer(self._config, prior, self._options, self._accelerator)


def _read(config: RunConfig, tokenizer: SignalTokenizer, sources: Sources, seed: int) -> PriorData:
    held_out: HeldOutOptions = config.build("held_out")
    captions: CaptionOptions = config.build("captions")
    context: ContextOptions = config.build("context")
    settings = config.sections["prior"]
    kind: type[Prior] = registry.lookup("prior", settings["name"])
    return read_prior_data(
        tokenizer,
        sources,
        share=held_out.share,
        most=held_out.most,
        seed=seed,
        vocabulary=captions.vocabulary,
        text_length=captions.length,
        context=context.positions,
        reach=kind.surround(settings),
        whole=kind.any_grid,
    )


def _check_options(config: RunConfig) -> None:
    if "prior" not in config.sections:
        raise OptionError(
            f"model: expected the configuration of a prior, got {config.preset}, that of a "
            f"tokenizer; choose one of {', '.join(prior_preset_names())}"
        )
    if config.sections["training"].get("stages"):
        raise OptionError(
            "training.stages: expected none for a prior, got some; they are for tokenizers"
        )
    if config.sections["training"].get("exchange"):
        raise OptionError(
            "training.exchange: expected 0 for a prior, got more; it is for tokenizers"
        )


def _chosen(level: int | None, levels: int) -> list[int]:
    """The levels to train."""
    if level is None:
        return list(range(levels))
    if not 1 <= level <= levels:
        raise OptionError(
            f"--level: expected a number in [1, {levels}], 1 for the coarsest level, got {level}; "
            "leave it out to train all"
        )
    return [level - 1]


def _subject(config: RunConfig, run: str, sources: Sources, data: PriorData, out: str) -> Subject:
    tokens = os.fspath(sources.tokens)
    command = ["vocabula", "train-prior", run, tokens, "--model", config.preset, "--out", out]
    command += sources.words()
    return Subject(
        tokens,
        len(data.fitted) + (len(data.held_out) if sources.held_out is None else 0),
        tuple(command),
        unit="signals",
        format=FORMAT,
        identity=data.identity,
        more={"run": run, "sources": sources.plain()},
        files=("tokenizer.json", METRICS),
    )


def _summary(folder: Path, levels: int, *, write: bool) -> dict[str, Any]:
    """What is known of all levels; `write` keeps it in the folder too."""
    found = []
    for k in range(levels):
        path = level_folder(folder, k, levels) / METRICS
        if path.is_file():
            found.append({"level": k + 1, **json.loads(path.read_text(encoding="utf-8"))})
    total = {"bits_per_dim": sum(item["bits_per_dim"] for item in found), "levels": found}
    if write:
        with output_errors(folder / METRICS, then=RESUME):
            replace_file(folder / METRICS, dump_json(total))
    return {"out": str(folder), **total}
