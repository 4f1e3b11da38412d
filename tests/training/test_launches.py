"""A run under ``torchrun`` goes on when processes are killed and started again."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed import HashStore
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from processes import FORKED, run_ranks
from vocabula.cli.main import main
from vocabula.cli.toml import value_text
from vocabula.errors import EngineError, OutputError
from vocabula.files.run_files import read_log, read_manifest
from vocabula.training import launches
from vocabula.training.config import config_from_sections, load_config
from vocabula.training.meeting import agreed_name, meeting_place
from vocabula.training.prior_run import train_prior
from vocabula.training.run import train

DIGITS = "sample:digits"

KILLER = '''
"""Kills one of two processes in the middle of the run, at the first start."""

import os
import signal

from vocabula.training.{module} import {name} as Trainer

step = Trainer.train_step


def train_step(self, batch):
    first = os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"
    if first and self.step == 6 and os.environ["RANK"] == "{killed}":
        open(__file__ + ".killed", "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, batch)


Trainer.train_step = train_step
'''


def learn(sections: dict[str, Any], out: Path) -> None:
    """What each of two processes does that nobody kills."""
    train(config_from_sections(sections), DIGITS, out, progress=False)


def as_toml(sections: dict[str, Any]) -> str:
    tables = ([f"[{name}]", *_lines(table)] for name, table in sections.items())
    return "\n".join(line for table in tables for line in table)


def _lines(table: dict[str, Any]) -> list[str]:
    return [f"{name} = {value_text(value)}" for name, value in table.items()]


def command(*words: str) -> None:
    """What a process of the launch does: the command line."""
    torch.set_num_threads(1)
    sys.argv = ["vocabula", *words]
    try:
        main()
    except SystemExit as ended:
        if ended.code:
            raise


@pytest.mark.slow
@pytest.mark.parametrize("killed", ["0", "1"])
def test_a_killed_process_changes_nothing(
    killed: str, tmp_path: Path, sections: dict[str, Any]
) -> None:
    """The launcher starts both again; the run goes on from step 4 to the weights of a whole one."""
    ended = run_ranks(learn, sections, tmp_path / "whole")
    assert [process.code for process in ended] == [0, 0], ended
    (tmp_path / "tiny.toml").write_text(as_toml(sections))
    killer = KILLER.format(killed=killed, module="trainer", name="Trainer")
    words = ["train", DIGITS, "--preset", tmp_path / "tiny.toml", "--out", tmp_path / "run"]
    launched(killer, tmp_path, *words)
    same(tmp_path, "model.safetensors", "checkpoints/step-00000012/optimizer.safetensors")
    assert read_manifest(tmp_path / "run")["launch"].startswith("night ")


def launched(killer: str, folder: Path, *words: object) -> None:
    """A command under a launcher of two processes, of which one is killed."""
    (folder / "killer.py").write_text(killer)
    FORKED.serve()  # the launcher's processes are forked off this server
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=2,
        run_id="night",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=3,
        monitor_interval=0.1,
        start_method="forkserver",
    )
    elastic_launch(config, command)("--import", str(folder / "killer.py"), *map(str, words))
    assert (folder / "killer.py.killed").exists()


def same(folder: Path, *names: str) -> None:
    """The run that was disturbed left what the whole one left, and the same losses."""
    for name in names:
        found, wanted = (folder / place / name for place in ("run", "whole"))
        assert found.read_bytes() == wanted.read_bytes(), name
    steps = [[r["step"], r["loss"]] for r in read_log(folder / "run" / "log.jsonl")]
    assert steps == [[r["step"], r["loss"]] for r in read_log(folder / "whole" / "log.jsonl")]


PRIOR = ["prior.hidden=16", "prior.layers=1", "prior.heads=2", "training.steps=8"]
PRIOR += ["training.batch_size=8", "training.log_every=2", "training.checkpoint_every=4"]
PRIOR += ["training.threads=1", "training.memory_check=false", "held_out.every=4"]


def learn_codes(run: Path, tokens: Path, out: Path) -> None:
    """What each of two processes does that nobody kills."""
    train_prior(load_config("transformer", PRIOR), run, tokens, out, progress=False)


@pytest.mark.slow
def test_a_killed_process_of_a_prior_changes_nothing(
    tmp_path: Path, coded: Callable[..., Any]
) -> None:
    """As above, for codes: the run goes on from step 4."""
    made, folder = coded(40), tmp_path / "priors"
    folder.mkdir()
    ended = run_ranks(learn_codes, made.run, made.tokens, folder / "whole")
    assert [process.code for process in ended] == [0, 0], ended
    killer = KILLER.format(killed="1", module="prior_trainer", name="PriorTrainer")
    words = ["train-prior", made.run, made.tokens, "--model", "transformer"]
    launched(killer, folder, *words, "--out", folder / "run", *PRIOR)
    same(folder, "model.safetensors", "checkpoints/step-00000008/optimizer.safetensors")


@pytest.fixture
def begun(
    tmp_path: Path, sections: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> tuple[dict[str, Any], Path]:
    """Settings of 12 steps, and a run under a launcher that restarts, of which 4 steps are done."""
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "3")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "night")
    few = {**sections, "training": {**sections["training"], "steps": 4}}
    train(config_from_sections(few), DIGITS, tmp_path / "run", progress=False)
    return sections, tmp_path / "run"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_launch_continues_what_it_has_begun(
    overwrite: bool, begun: tuple[dict[str, Any], Path]
) -> None:
    """Without --resume, too; and what --overwrite has begun is not replaced once more."""
    sections, run = begun
    named, host, parent, *start = read_manifest(run)["launch"].split(" ")
    assert (named, host, parent) == ("night", socket.gethostname(), str(os.getppid()))
    if Path("/proc/self/stat").exists():
        assert int(start[0]) > 0
    first = (run / "checkpoints" / "step-00000004" / "state.json").read_text()
    many = {**sections, "training": {**sections["training"], "keep_checkpoints": 9}}
    train(config_from_sections(many), DIGITS, run, progress=False, overwrite=overwrite)
    kept = sorted(path.name for path in (run / "checkpoints").iterdir())
    assert kept == ["step-00000004", "step-00000008", "step-00000012"]
    assert (run / "checkpoints" / "step-00000004" / "state.json").read_text() == first


@pytest.mark.parametrize("other", ["a launch before it", "no launch", "no restarts"])
def test_the_run_of_another_launch_is_left_alone(
    other: str, begun: tuple[dict[str, Any], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    sections, run = begun
    if other == "no launch":
        monkeypatch.delenv("TORCHELASTIC_MAX_RESTARTS")
    elif other == "no restarts":
        monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "0")
    else:  # of the same number of the process, which began later
        monkeypatch.setattr(launches, "_start", lambda process: "1")
    before = (run / "run.json").read_bytes()
    with pytest.raises(OutputError, match="got an earlier run; continue it with --resume"):
        train(config_from_sections(sections), DIGITS, run, progress=False)
    assert (run / "run.json").read_bytes() == before


def test_only_a_launch_that_restarts_is_named(tmp_path: Path, sections: dict[str, Any]) -> None:
    few = {**sections, "training": {**sections["training"], "steps": 1}}
    train(config_from_sections(few), DIGITS, tmp_path / "run", progress=False)
    assert "launch" not in json.loads((tmp_path / "run" / "run.json").read_text())


def meet(store: HashStore, ranks: list[int], seconds: float = 20) -> list[str]:
    """The name that each of these ranks gets."""
    with ThreadPoolExecutor(len(ranks)) as pool:
        return list(pool.map(lambda rank: agreed_name(store, rank, 3, seconds), ranks))


def test_processes_of_a_start_agree_on_a_name_of_their_own() -> None:
    """Whatever the first start, and one that has missed a process, have left in the store."""
    store = HashStore()
    first = set(meet(store, [0, 1, 2]))
    assert len(first) == 1
    for missing in (0, 1, 2):
        with pytest.raises(EngineError, match="got too few in time"):
            meet(store, [rank for rank in (0, 1, 2) if rank != missing], seconds=0.3)
        for order in ([2, 1, 0], [0, 2, 1]):
            found = set(meet(store, order))
            assert len(found) == 1 and not found & first
            first |= found


def test_only_a_launcher_that_restarts_has_a_meeting_place(monkeypatch: pytest.MonkeyPatch) -> None:
    for restarts, shared, place in (
        ("3", "True", "vocabula://"),
        ("3", "False", None),
        ("0", "True", None),
    ):
        monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", restarts)
        monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", shared)
        assert meeting_place() == place
