"""One table and one page for several runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest


def test_two_runs_side_by_side(saved: Path, pictures: Path, vocabula: Callable) -> None:
    one, other = saved / "run", saved / "other"
    done = vocabula("compare", one, f"{other}/", pictures, "--json", "figures.json")
    assert done.code == 0, done.err
    assert "page: compare.html" in done.out and "4 images of" in done.out
    found = json.loads(Path("figures.json").read_text())["runs"]
    assert [Path(run["run"]).name for run in found] == ["run", "other"]
    assert vocabula("evaluate", other, pictures, "--json", "other.json").code == 0
    assert json.loads(Path("other.json").read_text())["psnr"] == found[1]["psnr"]
    assert "run, PSNR" in Path("compare.html").read_text()


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("{0}/run {1}", "expected two or more runs, then DATA"),
        ("{0}/run {0}/run {1}", "expected different runs"),
        ("{0}/run {0}/grey {1}", "expected tokenizers of equal channels"),
        ("{0}/run {0}/none {1}", "expected a saved tokenizer"),
        ("{0}/run {0}/other none", "got nothing at that place"),
        ("{0}/run {0}/other {1} -o {1}", "add a file name"),
        ("{0}/run {0}/other {1} -o a.html --json ./a.html", "expected a file apart from the page"),
        ("{0}/run {0}/other {2} -o {2} --overwrite", "expected an output apart from the inputs"),
        ("{0}/run {0}/other {1} -o {2} --overwrite", "expected an output apart from the inputs"),
    ],
)
def test_what_cannot_be_compared(
    saved: Path, pictures: Path, vocabula: Callable, words: str, wanted: str
) -> None:
    before = sorted(Path().rglob("*"))
    one = next(pictures.rglob("*.png"))
    done = vocabula("compare", *words.format(saved, pictures, one).split())
    assert done.code == 2 and wanted in done.err and done.err.count("\n") == 1, done.err
    assert sorted(Path().rglob("*")) == before
