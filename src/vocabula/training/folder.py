"""The run's folder: who may write into it, and what ``run.json`` says about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from accelerate import Accelerator

import vocabula
from vocabula.errors import OptionError, OutputError
from vocabula.files import (
    LOCK,
    clear_folder,
    dump_json,
    is_hidden,
    locked_folder,
    output_errors,
    remove_hidden,
    replace_file,
)
from vocabula.files.run_files import read_manifest
from vocabula.training.config import RunConfig, config_from_sections, explain
from vocabula.training.launches import said_of_launch
from vocabula.training.log import RESUME
from vocabula.training.subject import Subject
from vocabula.training.together import in_main_process

BEFORE = "before-adversary"
"""The folder with the tokenizer as it was when its adversary began."""
_OWN_FILES = (
    "log.jsonl",
    "config.json",
    "model.safetensors",
    "README.md",
    "entropy.safetensors",
)
_OWN_FOLDERS = ("checkpoints", "tensorboard", BEFORE)
_FREE_TO_CHANGE = frozenset(
    {"optimizer.learning_rate", "adversary.learning_rate", "adversary.weight"}
) | frozenset(
    f"training.{name}"
    for name in (
        "steps",
        "clip_norm",
        "precision",
        "accumulate",
        "memory_check",
        "checkpoint_every",
        "keep_checkpoints",
        "log_every",
        "tensorboard",
        "max_minutes",
    )
)
"""Options that a resumed run may change: none of them alters a step that is already done."""


_UNITS_OF_OLD = ("images", "signals")
"""What manifests count without saying so."""


class RunFolder:
    """Paths and manifest of a run.

    Args:
        path: the folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.checkpoints = self.path / "checkpoints"
        self.log = self.path / "log.jsonl"
        self.tensorboard = self.path / "tensorboard"

    def check(self, config: RunConfig, subject: Subject, *, resume: bool, overwrite: bool) -> bool:
        """Check that a run may be written here; returns whether there is one to resume.

        Nothing is changed. A folder that does not exist or is empty is always fine: resuming
        then starts from the beginning, so that one command serves before and after a crash.

        Raises:
            OutputError: something is here, and neither `resume` nor `overwrite` covers it.
            OptionError: both are given, or the run here has other settings or other data.
        """
        if resume and overwrite:
            raise OptionError("train: expected --resume or --overwrite, got both; choose one")
        manifest = self.earlier(subject)
        if manifest is None:
            return False
        if resume:
            self._check_same(config, subject, manifest)
            return True
        if not overwrite:
            raise OutputError(
                f"{self.path}: expected a new folder, got an earlier run; continue it with "
                "--resume, replace it with --overwrite or choose another --out"
            )
        return False

    def create(self, config: RunConfig, subject: Subject) -> None:
        """Start a run here; an earlier run's own files are removed, all others are kept.

        Raises:
            OutputError: if the folder cannot be written.
        """
        with output_errors(self.path, then=RESUME):
            self.path.mkdir(parents=True, exist_ok=True)
            self._clear(subject)
            self.write_manifest(config, subject)

    def withdraw(self, subject: Subject) -> None:
        """Remove a run that has come to nothing; others' files are kept.

        Raises:
            OutputError: if the folder cannot be written.
        """
        with output_errors(self.path):
            self._clear(subject)
            (self.path / "run.json").unlink(missing_ok=True)
            for name in _OWN_FOLDERS:
                with suppress(OSError):  # a link, or not there
                    (self.path / name).rmdir()

    def _clear(self, subject: Subject) -> None:
        """Remove a run's own files and the contents of its own folders."""
        remove_hidden(self.path)
        for name in _OWN_FOLDERS:
            clear_folder(self.path / name)
        for name in (*_OWN_FILES, *subject.files):
            (self.path / name).unlink(missing_ok=True)

    def write_manifest(self, config: RunConfig, subject: Subject) -> None:
        """Write ``run.json``: configuration, data, the number of signals and the command."""
        content = {
            "format": subject.format,
            "version": vocabula.__version__,
            "preset": config.preset,
            "overrides": list(config.overrides),
            "config": config.sections,
            "data": subject.data,
            subject.unit: subject.count,
            **({} if subject.unit in _UNITS_OF_OLD else {"unit": subject.unit}),
            "command": subject.command_line(*config.overrides),
            **subject.identity,
            **subject.more,
            **said_of_launch(),
        }
        with output_errors(self.path, then=RESUME):
            replace_file(self.path / "run.json", dump_json(content))

    def earlier(self, subject: Subject) -> dict[str, Any] | None:
        """The content of ``run.json`` of an earlier run of the kind; None if nothing is here.

        Raises:
            OutputError: something else is here.
        """
        if self.path.exists() and not self.path.is_dir():
            raise OutputError(f"{self.path}: expected a folder, got a file; choose another --out")
        if self._is_empty():
            return None
        content = read_manifest(self.path)
        if content.get("format") != subject.format:
            raise OutputError(
                f"{self.path}: expected an empty folder or an earlier run, got other files; "
                "choose another --out"
            )
        return content

    def _is_empty(self) -> bool:
        if not self.path.exists():
            return True
        # a crash before the first write leaves a hidden file
        return all(is_hidden(path) or path.name == LOCK for path in self.path.iterdir())

    def _check_same(self, config: RunConfig, subject: Subject, manifest: Mapping[str, Any]) -> None:
        before = config_from_sections(manifest["config"], manifest["preset"])
        different = differing_options(before, config)
        if different:
            option, old, new = different[0]
            more = f" and {len(different) - 1} more options differ" if len(different) > 1 else ""
            raise OptionError(
                f"{option}: expected {old!r} as in the run to resume, got {new!r}{more}; "
                "use the same settings, or another --out for a new run"
            )
        self.check_data(subject, manifest)

    @staticmethod
    def check_data(subject: Subject, manifest: Mapping[str, Any]) -> None:
        """Refuse data that differ from a manifest's data.

        Raises:
            OptionError: their number or identity differs.
        """
        unit = subject.unit
        if manifest[unit] != subject.count:
            raise OptionError(
                f"data: expected the {manifest[unit]} {unit} of {manifest['data']} that the "
                f"run began with, got {subject.count}; resume with the same data"
            )
        for name, value in subject.identity.items():
            before = manifest.get(name, value)  # earlier versions say less
            if before == value:
                continue
            if name == "content":
                raise OptionError(
                    f"data: expected the {unit} that the run began with (content {before}), got"
                    f" others (content {value}); resume with the same data, or take another --out"
                    " for a new run"
                )
            raise OptionError(
                f"{name}: expected the one that the run began with ({before}), got {value}; "
                "resume with the same data"
            )


def restart_words(*, resume: bool, overwrite: bool) -> tuple[str, ...]:
    """The command-line options that say what to do with an earlier run."""
    given = {"--resume": resume, "--overwrite": overwrite}
    return tuple(word for word, wanted in given.items() if wanted)


@contextmanager
def only_writer(path: Path, accelerator: Accelerator) -> Iterator[None]:
    """Keep other runs out of a folder; the main process does so, and all fail alike.

    Every process calls it.

    Raises:
        OutputError: another run is in progress there, or the folder cannot be written.
    """
    accelerator.wait_for_everyone()  # all processes have checked before one creates the folder
    with ExitStack() as stack:
        in_main_process(accelerator, lambda: stack.enter_context(locked_folder(path)))
        yield


def differing_options(before: RunConfig, now: RunConfig) -> list[tuple[str, Any, Any]]:
    """Options that differ between two configurations and matter: (option, before, now)."""
    old = {row.option: row.value for row in explain(before)}
    new = {row.option: row.value for row in explain(now)}
    names = [*old, *(name for name in new if name not in old)]
    return [
        (name, old.get(name), new.get(name))
        for name in names
        if name not in _FREE_TO_CHANGE and old.get(name) != new.get(name)
    ]
