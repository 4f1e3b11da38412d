"""The run's folder: who may write into it, and what ``run.json`` says about it."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import vocabula
from vocabula.errors import OptionError, OutputError
from vocabula.evaluation.run_files import read_manifest
from vocabula.files import dump_json, is_hidden, output_errors, remove_hidden, replace_file
from vocabula.training.config import RunConfig, config_from_sections, explain
from vocabula.training.log import RESUME

_FORMAT = "vocabula-run"
_OWN_FILES = (
    "run.json",
    "log.jsonl",
    "config.json",
    "model.safetensors",
    "README.md",
    "entropy.safetensors",
)
_OWN_FOLDERS = ("checkpoints", "tensorboard")
_FREE_TO_CHANGE = frozenset({"optimizer.learning_rate"}) | frozenset(
    f"training.{name}"
    for name in (
        "steps",
        "clip_norm",
        "precision",
        "checkpoint_every",
        "keep_checkpoints",
        "log_every",
        "tensorboard",
        "max_minutes",
    )
)
"""Options that a resumed run may change: none of them alters a step that is already done."""


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

    def check(self, config: RunConfig, images: int, *, resume: bool, overwrite: bool) -> bool:
        """Whether a run may be written here; returns whether there is one to resume.

        Nothing is changed. A folder that does not exist or is empty is always fine: resuming
        then starts from the beginning, so that one command serves before and after a crash.

        Raises:
            OutputError: something is here, and neither `resume` nor `overwrite` covers it.
            OptionError: both are given, or the run here has other settings or other data.
        """
        if resume and overwrite:
            raise OptionError("train: expected --resume or --overwrite, got both; choose one")
        if self.path.exists() and not self.path.is_dir():
            raise OutputError(f"{self.path}: expected a folder, got a file; choose another --out")
        if self._is_empty():
            return False
        manifest = self.manifest()
        if manifest is None:
            raise OutputError(
                f"{self.path}: expected an empty folder or an earlier run, got other files; "
                "choose another --out"
            )
        if resume:
            self._check_same(config, images, manifest)
            return True
        if not overwrite:
            raise OutputError(
                f"{self.path}: expected a new folder, got an earlier run; continue it with "
                "--resume, replace it with --overwrite or choose another --out"
            )
        return False

    def create(self, config: RunConfig, data: str, images: int) -> None:
        """Start a run here; an earlier run's own files are removed, all others are kept.

        Raises:
            OutputError: if the folder cannot be written.
        """
        with output_errors(self.path, then=RESUME):
            self.path.mkdir(parents=True, exist_ok=True)
            remove_hidden(self.path)
            for name in _OWN_FOLDERS:
                shutil.rmtree(self.path / name, ignore_errors=True)
            for name in _OWN_FILES[1:]:
                (self.path / name).unlink(missing_ok=True)
            self.write_manifest(config, data, images)

    def write_manifest(self, config: RunConfig, data: str, images: int) -> None:
        """Write ``run.json``: configuration, data, the number of images and the command."""
        content = {
            "format": _FORMAT,
            "version": vocabula.__version__,
            "preset": config.preset,
            "overrides": list(config.overrides),
            "config": config.sections,
            "data": data,
            "images": images,
            "command": train_command(config, data, self.path),
        }
        with output_errors(self.path, then=RESUME):
            replace_file(self.path / "run.json", dump_json(content))

    def manifest(self) -> dict[str, Any] | None:
        """The content of ``run.json``, or None if this is no run of ours."""
        content = read_manifest(self.path)
        return content if content.get("format") == _FORMAT else None

    def _is_empty(self) -> bool:
        if not self.path.exists():
            return True
        # a crash before the first word was written leaves a hidden file
        return all(is_hidden(path) for path in self.path.iterdir())

    def _check_same(self, config: RunConfig, images: int, manifest: Mapping[str, Any]) -> None:
        before = config_from_sections(manifest["config"], manifest["preset"])
        different = differing_options(before, config)
        if different:
            option, old, new = different[0]
            more = f" and {len(different) - 1} more options differ" if len(different) > 1 else ""
            raise OptionError(
                f"{option}: expected {old!r} as in the run to resume, got {new!r}{more}; "
                "use the same settings, or another --out for a new run"
            )
        if manifest["images"] != images:
            raise OptionError(
                f"data: expected the {manifest['images']} images of {manifest['data']} that the "
                f"run began with, got {images}; resume with the same data"
            )


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


def train_command(config: RunConfig, data: str, out: Path, *extra: str) -> str:
    """The command line that runs a configuration."""
    words = ["vocabula", "train", data, "--preset", config.preset, "--out", str(out)]
    return shlex.join([*words, *extra, *config.overrides])
