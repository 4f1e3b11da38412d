"""``vocabula train-prior`` and the report of a prior, as a user calls them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SMALL = ["prior.hidden=8", "prior.layers=2", "training.steps=6", "training.batch_size=8"]


@pytest.fixture
def trained(coded: Callable[..., Any], vocabula: Callable[..., Any]) -> Any:
    """A trained prior in ``prior``, and what it was made of."""
    made = coded()
    ended = vocabula(
        "train-prior", made.run, made.tokens, "--model", "pixelcnn", "--out", "prior", *SMALL
    )
    assert ended.code == 0, ended.err
    return made


def test_a_prior_is_trained_and_its_figures_printed(trained: Any) -> None:
    assert json.loads(Path("prior/run.json").read_text())["command"].startswith(
        "vocabula train-prior "
    )
    figures = json.loads(Path("prior/metrics.json").read_text())
    assert figures["steps"] == 6
    assert Path("prior/tokenizer/model.safetensors").is_file()


def test_the_last_lines_say_what_was_reached(
    coded: Callable[..., Any], vocabula: Callable[..., Any]
) -> None:
    made = coded(levels=2)
    words = ["train-prior", made.run, made.tokens, "--model", "pixelcnn", "--out", "p", *SMALL]
    lines = vocabula(*words).out.splitlines()
    assert lines[0].startswith("level 1: ") and lines[1].startswith("level 2: ")
    assert all("nats per token held out" in line and "order 0" in line for line in lines[:2])
    assert lines[2] == "prior: p"
    told = vocabula("info", "p").out
    assert "level 1 prior" in told and "level 2 prior" in told and "level 0" not in told
    again = vocabula(*words)
    assert again.code == 2
    assert again.err.startswith("error: p/level-1: expected a new folder, got an earlier run")
    assert vocabula(*words, "--resume").code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "pixelcn"], "expected one of audio-24k"),
        (["--model", "digits"], "expected the configuration of a prior, got digits"),
        (["--model", "pixelcnn", "prior.layers=0"], "prior.layers: expected an integer >= 1"),
        (["--model", "pixelcnn", "--level", "2"], "--level: expected a number in [1, 1]"),
        (["--model", "pixelcnn", "--captions", "none.parquet"], "none.parquet: expected a .parq"),
        (["--model", "pixelcnn", "--held-out", "none.parquet"], "expected a file of tokens"),
        (["--model", "transformer", "prior.heads=3"], "expected hidden=128 to be a multiple"),
        (["--model", "pixelcnn", "--resume", "--overwrite"], "expected --resume or --overwrite"),
        ([], "Missing option '--model'"),
    ],
)
def test_errors_are_one_line_and_leave_nothing(
    coded: Callable[..., Any], vocabula: Callable[..., Any], words: list[str], message: str
) -> None:
    made = coded()
    ended = vocabula("train-prior", made.run, made.tokens, "--out", "prior", *words)
    assert ended.code == 2
    assert message in ended.err
    assert len(ended.err.strip().splitlines()) == 1
    assert not Path("prior").exists()


def test_tokens_of_another_tokenizer_are_refused(
    coded: Callable[..., Any], vocabula: Callable[..., Any], saved: Path
) -> None:
    made = coded()
    ended = vocabula(
        "train-prior", saved / "run", made.tokens, "--model", "pixelcnn", "--out", "prior"
    )
    assert ended.code == 2
    assert "got tokens of tokenizer" in ended.err
    assert not Path("prior").exists()


def test_config_lists_and_explains_the_models(vocabula: Callable[..., Any]) -> None:
    listed = vocabula("config").out
    assert all(name in listed for name in ("pixelcnn", "pixelsnail", "transformer", "digits"))
    printed = vocabula("config", "transformer", "prior.layers=3").out
    assert "layers = 3" in printed and "[held_out]" in printed and "classes" not in printed
    Path("mine.toml").write_text(printed)
    assert vocabula("config", "mine.toml").out == printed
    explained = vocabula("config", "transformer", "--explain").out
    assert "conditioning.dropout" in explained and "encoder" not in explained


@pytest.mark.slow
def test_the_report_is_one_page_with_everything_in_it(
    trained: Any, vocabula: Callable[..., Any]
) -> None:
    assert vocabula("report", "prior", "--samples", "12").code == 0
    page = Path("prior/report.html").read_text()
    for words in (
        "class 0",
        "nearest training image by codes",
        "order 0: the code",
        "given the left and the upper neighbour",
        "class and text withheld",
        "held out",
        "By position",
        "vocabula train-prior",
    ):
        assert words in page, words
    assert re.findall(r'src="(?!data:)|href="(?!#)', page) == []  # it needs no other file
    refused = vocabula("report", "prior", "--limit", "3", "--overwrite")
    assert refused.code == 2 and "--limit: expected none in the report of a prior" in refused.err


def test_info_tells_what_a_prior_is(trained: Any, vocabula: Callable[..., Any]) -> None:
    told = " ".join(vocabula("info", "prior").out.split())
    for words in (
        "prior PixelCNN",
        "4 x 4 positions, codebooks of 16",
        "conditions 3 classes",
        "images of 16 x 16 pixels",
        "tokenizer: codewords 16",
        "(96 signals)",
        "step 6 of 6",
        "last held_out_nats",
    ):
        assert words in told, words


@pytest.mark.slow
def test_a_report_on_other_tokens(
    trained: Any, coded: Callable[..., Any], vocabula: Callable[..., Any]
) -> None:
    other = coded(30, name="other", seed=3)
    assert vocabula("report", "prior", other.tokens, "-o", "page.html").code == 0
    assert "measured on 30 held-out ones" in Path("page.html").read_text()
    assert vocabula("report", "prior", trained.tokens, "-o", "own.html").code == 0
    assert "measured on 5 held-out ones" in Path("own.html").read_text()
