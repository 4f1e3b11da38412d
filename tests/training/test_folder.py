"""A run's folder has one writer at a time."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from processes import run_ranks
from vocabula.errors import OutputError
from vocabula.files import LOCK, locked_folder
from vocabula.files.run_files import read_log
from vocabula.tokenizers import load
from vocabula.training.config import config_from_sections
from vocabula.training.run import train

DIGITS = "sample:digits"


def refused(sections: dict[str, Any], run: Path) -> None:
    """What each rank does: say why the folder is not to be had, and fail."""
    try:
        train(config_from_sections(sections), DIGITS, run)
    except OutputError as error:
        sys.exit(str(error))


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, but for the lock."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != LOCK)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.slow
@pytest.mark.parametrize("how", [{}, {"resume": True}, {"overwrite": True}])
def test_a_run_in_progress_is_left_alone(
    tmp_path: Path, sections: dict[str, Any], how: dict[str, bool]
) -> None:
    run = tmp_path / "run"
    config = config_from_sections({**sections, "training": {**sections["training"], "steps": 2}})
    with locked_folder(run), pytest.raises(OutputError, match="got a run in progress"):
        train(config, DIGITS, run, progress=False, **how)
    assert not run.exists()
    train(config, DIGITS, run, progress=False)
    assert not (run / LOCK).exists()
    before = contents(run)
    (tmp_path / "link").symlink_to("run")
    with locked_folder(run):
        for path in (run, tmp_path / "link"):
            with pytest.raises(OutputError, match="no other process writes"):
                train(config, DIGITS, path, progress=False, **how)
        load(run)  # who reads is not kept out
        assert read_log(run / "log.jsonl")
    assert contents(run) == before


def test_a_refused_start_leaves_no_folder(tmp_path: Path, sections: dict[str, Any]) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("mine")
    config = config_from_sections(sections)
    with pytest.raises(OutputError, match="other files"):
        train(config, DIGITS, tmp_path / "other", progress=False)
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["mine.txt"]


@pytest.mark.slow
def test_a_new_run_clears_folders_behind_links(tmp_path: Path, sections: dict[str, Any]) -> None:
    """No checkpoint of the old run stays where ``checkpoints`` lies on a larger disk."""
    run, disk = tmp_path / "run", tmp_path / "disk"
    steps = {**sections["training"], "steps": 4, "checkpoint_every": 2, "keep_checkpoints": 2}
    train(config_from_sections({**sections, "training": steps}), DIGITS, run, progress=False)
    (run / "checkpoints").rename(disk)
    (run / "checkpoints").symlink_to(disk)
    config = config_from_sections({**sections, "training": {**steps, "steps": 2}})
    train(config, DIGITS, run, progress=False, overwrite=True)
    assert (run / "checkpoints").is_symlink()
    assert [path.name for path in disk.iterdir()] == ["step-00000002"]


@pytest.mark.slow
def test_several_processes_are_refused_together(tmp_path: Path, sections: dict[str, Any]) -> None:
    run = tmp_path / "run"
    with locked_folder(run):
        ended = run_ranks(refused, sections, run)
        assert [process.code for process in ended] == [1, 1], ended
        assert all("got a run in progress (process" in each.errors for each in ended), ended
    assert not run.exists()
