"""What commands print fits a terminal of any width, and nothing is cut off."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from vocabula.benchmark.tables import Table
from vocabula.cli import facts
from vocabula.cli.config import explained
from vocabula.errors import picture_size, plural
from vocabula.training import explain, load_config
from vocabula.training.progress import fitting

HASH = "0123456789abcdef" * 4
FACTS = [("encoder, decoder", "VQVAEEncoder, VQVAEDecoder"), ("fingerprint", HASH)]
WIDE = Table(
    "Search",
    ("N x K x D", *(f"contestant {i}" for i in range(8))),
    [(f"{i} x 2 x 3", *(f"{i}.{j} ms ±1 %" for j in range(8))) for i in range(2)],
)


@pytest.fixture(params=[60, 80, 200])
def width(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv("COLUMNS", str(request.param))
    return request.param


def test_facts_keep_words_whole(width: int, capsys: pytest.CaptureFixture[str]) -> None:
    facts.print_facts([*FACTS, ("command", "vocabula train photos " * 12)])
    lines = capsys.readouterr().out.splitlines()
    assert sum(HASH in line for line in lines) == 1
    assert all(len(line) <= max(width, len(HASH) + 2) for line in lines)
    assert " ".join("".join(lines).split()).count("vocabula train") == 12


def test_facts_in_a_pipe_have_a_line_each(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    long = "word " * 200
    facts.print_facts([*FACTS, ("long", long.strip())])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[1] == f"fingerprint       {HASH}"
    assert lines[2].endswith(long.strip())


def test_tables_are_parted_by_columns(width: int, capsys: pytest.CaptureFixture[str]) -> None:
    facts.print_table(WIDE)
    out = capsys.readouterr().out
    assert all(len(line.rstrip()) <= width for line in out.splitlines())
    for row in (WIDE.columns, *WIDE.rows):
        for cell in row[1:]:
            assert cell in out
    assert len(re.findall("N x K x D", out)) == {60: 3, 80: 2, 200: 1}[width]


def test_a_table_with_a_long_first_column_folds_it(
    width: int, capsys: pytest.CaptureFixture[str]
) -> None:
    first = "a target that is told in many words " * 4
    facts.print_table(Table("Targets", ("target", "measured"), [(first, "12 ms")]))
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line.rstrip()) <= width for line in lines)
    assert "".join(lines).count("words") == 4


def test_every_option_is_explained_in_the_terminals_width(
    width: int, capsys: pytest.CaptureFixture[str]
) -> None:
    from vocabula.cli.config import _print_explained

    rows = explain(load_config("cifar10"))
    _print_explained(rows)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("    ") and len(line) > width] == []
    for row in rows:
        assert explained(row)[0] in lines


def test_a_changed_option_shows_its_default() -> None:
    rows = {row.option: row for row in explain(load_config("cifar10", ["training.steps=7"]))}
    head, meaning = explained(rows["training.steps"])
    assert head == "training.steps = 7  (default 10000)"
    assert meaning.startswith("an integer >= 1: optimizer steps")
    assert "2^31" in rows["training.seed"].accepted


def test_figures_that_have_no_room_are_left_out_whole() -> None:
    figures = ["loss 0.1", "PSNR 24.11 dB", "usage 100%"]
    assert fitting(figures, 100) == "loss 0.1  PSNR 24.11 dB  usage 100%"
    assert fitting(figures, 34) == "loss 0.1 PSNR 24.11 dB usage 100%"  # one blank, not two
    assert fitting(figures, 25) == "loss 0.1  PSNR 24.11 dB"
    assert fitting(figures, 3) == "loss 0.1"


def test_numbers_of_things_and_sizes_in_words() -> None:
    assert [plural(n, "image") for n in (0, 1, 2)] == ["0 images", "1 image", "2 images"]
    assert [plural(n, "class", "classes") for n in (1, 3)] == ["1 class", "3 classes"]
    assert plural("?", "image") == "? images"
    assert picture_size(480, 640) == "640 x 480"


@pytest.mark.parametrize("command", ["palette", "blocks"])
def test_seeds_have_a_range_that_can_be_read(vocabula: Callable, command: str) -> None:
    assert "9223372036854775807" not in vocabula(command, "--help").out
    done = vocabula(command, "x.png", "-o", "y", "--seed", str(2**63))
    assert done.code == 2 and "--seed: expected 0 or more, below 2^63" in done.err
    assert vocabula(command, "x.png", "-o", "y", "--seed", "-1").code == 2
