"""``vocabula benchmark``: tables, figures as JSON, and refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from vocabula.benchmark import search, suites
from vocabula.benchmark.task import OURS


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """One small case, and no rival of the bench extra."""
    monkeypatch.setattr(search, "QUICK", ((4, 16, 256),))
    monkeypatch.setattr(search, "FAR", (4, 16, 256, 1000))
    monkeypatch.setattr(search, "RIVALS", ("faiss", "cdist"))
    monkeypatch.setattr(suites, "installed", lambda name: name in (OURS, "cdist"))


WORDS = ("benchmark", "--quick", "--suite", "search", "--threads", 1, "--seed", 5)


@pytest.mark.slow
def test_benchmark(vocabula: Callable, tmp_path: Path, tiny: None) -> None:
    done = vocabula(*WORDS, "-o", "figures.json")
    assert done.code == 0
    for text in ("Search", "256 x 16 x 4", "cdist", "Targets", "geometric mean", "figures.json"):
        assert text in done.out
    assert "pip install 'vocabula[bench]'" in done.err
    assert "vocabula failed" not in done.err
    figures = json.loads((tmp_path / "figures.json").read_text())
    command = "vocabula benchmark --suite search --quick --threads 1 --device cpu --seed 5"
    assert figures["command"] == command
    assert figures["machine"]["threads"] == 1
    found = figures["suites"]["search"]
    assert (found["seed"], found["quick"], found["device"]) == (5, True, "cpu")
    assert [row["case"]["offset"] for row in found["cases"]] == [0, 1000]
    assert {v["met"] for v in found["targets"]} <= {True, False, None}
    assert vocabula(*WORDS, "-o", "figures.json").code == 2  # it exists


def test_wrong_codes_of_ours_end_with_an_error(
    vocabula: Callable, tiny: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def contest(team: object, case: object, settings: object) -> dict:
        found = {"median_s": 1.0, "lower_s": 1.0, "upper_s": 1.0, "turns": 1, "wrong_codes": 2}
        sizes = {"N": 1, "K": 1, "D": 1, "offset": 0}
        return {"case": sizes, "contestants": {OURS: found}}

    monkeypatch.setattr(suites, "contest", contest)
    done = vocabula(*WORDS)
    assert done.code == 2
    assert "vocabula: 2 wrong" in done.out
    assert done.err.splitlines()[-1].startswith("error: benchmark: expected right codes")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there_is_refused(vocabula: Callable) -> None:
    done = vocabula("benchmark", "--device", "cuda")
    assert done.code == 2
    assert done.err.startswith("error: --device: expected one that this machine has")


def test_a_suite_that_a_device_does_not_run_is_refused(
    vocabula: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    done = vocabula("benchmark", "--device", "cuda", "--suite", "kmeans")
    assert done.code == 2
    assert "expected search or training on cuda, got 'kmeans'" in done.err


@pytest.mark.parametrize("words", [("--suite", "speed"), ("--threads", "0"), ("--seed", "-1")])
def test_wrong_options_are_refused(vocabula: Callable, words: tuple[str, str]) -> None:
    done = vocabula("benchmark", *words)
    assert (done.code, done.err.count("\n")) == (2, 1)
