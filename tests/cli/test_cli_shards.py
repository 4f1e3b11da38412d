"""``vocabula encode --shards``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vocabula.cli.shards import worker_place
from vocabula.errors import OptionError

Run = Callable[..., Any]


@pytest.mark.parametrize(
    ("variables", "place"),
    [
        ({}, (0, 1)),
        ({"RANK": "1", "WORLD_SIZE": "2", "SLURM_PROCID": "0", "SLURM_NTASKS": "9"}, (1, 2)),
        ({"SLURM_PROCID": "2", "SLURM_NTASKS": "3"}, (2, 3)),
        ({"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_COUNT": "3"}
         | {"SLURM_ARRAY_TASK_MIN": "3", "SLURM_ARRAY_TASK_MAX": "7"}, (2, 3)),
        ({"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_COUNT": "2"}
         | {"SLURM_PROCID": "1", "SLURM_NTASKS": "4"}, (5, 8)),
        ({"SLURM_ARRAY_TASK_ID": "4", "SLURM_ARRAY_TASK_COUNT": "1"}
         | {"SLURM_ARRAY_TASK_MIN": "4", "SLURM_ARRAY_TASK_MAX": "4"}, (0, 1)),
    ],
)  # fmt: skip
def test_place_of_a_worker(variables: dict[str, str], place: tuple[int, int]) -> None:
    assert worker_place(None, variables)[0] == place
    assert worker_place("1/7", variables)[0] == (1, 7)


def test_uneven_arrays_have_no_place() -> None:
    names = ("ID", "COUNT", "MIN", "MAX")
    variables = {f"SLURM_ARRAY_TASK_{n}": v for n, v in zip(names, "3316", strict=True)}
    with pytest.raises(OptionError, match="equally spaced numbers, got 3 of 3 from 1 to 6"):
        worker_place(None, variables)


def test_workers_make_a_folder_that_others_read(
    vocabula: Run, saved: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("encode", saved / "run", "pictures", "-o", "tokens", "--shards", 3)
    monkeypatch.setenv("SLURM_PROCID", "1")
    monkeypatch.setenv("SLURM_NTASKS", "2")
    first = vocabula(*words)
    assert first.code == 0 and "worker 1/2, as Slurm says" in first.err
    assert first.out.startswith("encoded 2 images; 1 of 3 parts finished: tokens; the rest is that")
    missing = vocabula("decode", saved / "run", "tokens", "-o", "decoded")
    assert missing.code == 2 and "expected all parts" in missing.err + missing.out
    last = vocabula(*words, "--worker", "0/1")
    assert last.out.splitlines()[0] == "encoded 2 images; 3 of 3 parts finished: tokens"
    for tokens, out in (("tokens", "a"), ("tokens/part-*.parquet", "b")):
        assert vocabula("decode", saved / "run", tokens, "-o", out).code == 0
        assert sorted(p.name for p in Path(out).iterdir()) == [f"{n}.png" for n in range(4)]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["--shards", "3", "--worker", "3/2"],
            "--worker: expected I/N with I from 0 to N - 1, got 3/2",
        ),
        (["--worker", "0/2"], "--worker: expected --shards N with it"),
        (["--shards", "5"], "--shards: expected at most 4, a signal for each, got 5"),
    ],
)
def test_wrong_options(
    vocabula: Run, saved: Path, pictures: Path, words: list[str], line: str
) -> None:
    found = vocabula("encode", saved / "run", "pictures", "-o", "tokens", *words)
    assert found.code == 2 and line in found.err + found.out
    assert len((found.err + found.out).strip().splitlines()) == 1
