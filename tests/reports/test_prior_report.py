"""The report of a prior: its figures are those of training, and copies are told."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vocabula.data import TokenRecord, code_arrays, read_tokens, write_tokens
from vocabula.data.code_arrays import CodeArrays
from vocabula.errors import CheckpointError, OutputError, TokensError
from vocabula.evaluation import code_nats
from vocabula.priors import load_generator
from vocabula.reports import build_prior_report, copies
from vocabula.reports import prior as prior_report
from vocabula.reports import samples as prior_samples
from vocabula.training import load_config, train_prior

OPTIONS = ["prior.hidden=8", "prior.layers=2", "training.batch_size=8", "training.steps=6"]
OPTIONS += ["training.memory_check=false"]  # which has tests of its own


def trained(made: Any, out: Path, *options: str, **sources: Any) -> Any:
    config = load_config("pixelcnn", [*OPTIONS, *options])
    train_prior(config, made.run, made.tokens, out, progress=False, **sources)
    return load_generator(out)


@pytest.mark.slow
def test_levels_and_captions_are_shown_with_the_figures_of_training(
    tmp_path: Path, coded: Callable[..., Any]
) -> None:
    made, out = coded(40, levels=2), tmp_path / "prior"
    records = list(read_tokens(made.tokens))
    captions = tmp_path / "captions.parquet"
    texts = [f"a {('red', 'green', 'blue')[r.label or 0]} <row>" for r in records]
    pq.write_table(pa.table({"path": [r.path for r in records], "text": texts}), captions)
    config = "held_out.share=0.2"
    generator = trained(made, out, config, captions=captions)
    figures = build_prior_report(generator, out, tmp_path / "page.html", samples=6)
    kept = json.loads((out / "metrics.json").read_text())["levels"]
    for own, other in zip(figures["levels"], kept, strict=True):
        for name in ("nats_per_token", "bits_per_dim", "order0", "left", "left_and_above"):
            assert own[name] == pytest.approx(other[name], rel=1e-6)
    page = (tmp_path / "page.html").read_text()
    assert "a green &lt;row&gt;" in page and "<row>" not in page
    assert [re.findall(f"[Ll]evel {k}\\b", page) != [] for k in range(4)] == [
        False,
        True,
        True,
        False,
    ]
    assert len(re.findall('alt="sample"', page)) == 6
    with pytest.raises(OutputError, match="--overwrite"):
        build_prior_report(generator, out, tmp_path / "page.html")


def test_a_single_signal_is_enough_to_measure_on(tmp_path: Path, coded: Callable[..., Any]) -> None:
    generator = trained(coded(40), tmp_path / "prior")
    one = coded(1, name="one", seed=2)
    out = tmp_path / "page.html"
    build_prior_report(generator, tmp_path / "prior", out, tokens=one.tokens, samples=3)
    assert "measured on 1 held-out ones" in out.read_text()


@pytest.mark.slow
def test_progress_counts_everything(
    tmp_path: Path, coded: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = trained(coded(40, levels=2), tmp_path / "prior")
    told: dict[str, list[int]] = {}

    @contextmanager
    def counted(what: str, total: int, *, show: bool) -> Iterator[Callable[[int], None]]:
        assert show
        told[what] = [total, 0]

        def advance(count: int) -> None:
            told[what][1] += count

        yield advance

    for module in (prior_report, prior_samples):
        monkeypatch.setattr(module, "counted", counted)
    options: dict[str, Any] = {"samples": 6, "batch_size": 4, "progress": True}
    build_prior_report(generator, tmp_path / "prior", tmp_path / "page.html", **options)
    positions = 2 * (4 * 4 + 8 * 8)  # of two batches
    assert told == {"measuring": [2, 2], "sampling": [positions, positions]}


@pytest.mark.slow
def test_copies_are_told(tmp_path: Path, coded: Callable[..., Any]) -> None:
    made, out = coded(40), tmp_path / "prior"
    file = read_tokens(made.tokens)
    one = np.arange(16).reshape(4, 4)
    same = [TokenRecord(one, r.path, None, 16, 16) for r in file]
    write_tokens(
        made.tokens, same, fingerprint=file.fingerprint, levels=file.levels, overwrite=True
    )
    options = ["training.steps=120", "optimizer.learning_rate=0.02", "prior.dropout=0"]
    generator = trained(made, out, *options)
    figures = build_prior_report(generator, out, tmp_path / "page.html", samples=9)
    assert figures["copies_held_out"] == 1.0
    assert figures["copies"] > 0.5
    assert figures["code_distance"] == 0.0
    assert "drawn from all" in (tmp_path / "page.html").read_text()


@pytest.mark.slow
def test_codes_beyond_memory_are_compared_by_parts(
    tmp_path: Path, coded: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, page = tmp_path / "prior", tmp_path / "page.html"
    generator = trained(coded(40, levels=2), out, "held_out.share=0.2")
    whole = build_prior_report(generator, out, page, samples=6)
    asked: list[int] = []
    codes = CodeArrays.codes

    def told(self: CodeArrays, level: int, rows: Any = slice(None)) -> Any:
        found = codes(self, level, rows)
        asked.append(len(found))
        return found

    monkeypatch.setattr(code_arrays, "WHOLE", 0)
    monkeypatch.setattr(CodeArrays, "codes", told)
    monkeypatch.setattr(code_nats, "MOST_COUNTED", 3 * 64)  # three signals
    monkeypatch.setattr(copies, "COMPARED_CODES", 5 * (16 + 64))
    by_parts = build_prior_report(generator, out, page, samples=6, batch_size=4, overwrite=True)
    assert max(asked) == 12  # 3 of 16 positions are 12 of 64
    for name in ("code_distance", "code_distance_held_out", "copies", "copies_held_out"):
        assert by_parts[name] == whole[name]


@pytest.mark.slow
def test_what_is_missing_is_said(tmp_path: Path, coded: Callable[..., Any]) -> None:
    made, out = coded(40), tmp_path / "prior"
    generator = trained(made, out)
    with pytest.raises(TokensError, match="got nothing there"):
        build_prior_report(generator, out, tmp_path / "p.html", tokens=tmp_path / "no.parquet")
    (out / "run.json").unlink()
    with pytest.raises(CheckpointError, match="expected what vocabula train-prior wrote"):
        build_prior_report(generator, out, tmp_path / "p.html")
    assert not (tmp_path / "p.html").exists()
