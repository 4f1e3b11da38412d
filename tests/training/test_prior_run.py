"""Whole runs of priors: what they leave, resume, refuse and warn of."""

from __future__ import annotations

import json
import math
import shlex
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from steps import stop_at
from vocabula.data import DataWarning, TokenRecord, code_arrays, read_tokens, write_tokens
from vocabula.errors import (
    CheckpointError,
    DataError,
    Interrupted,
    OptionError,
    OutputError,
    TokensError,
)
from vocabula.evaluation.code_nats import measure_codes
from vocabula.files.run_files import read_log
from vocabula.priors import load, load_generator
from vocabula.priors.data import read_prior_data
from vocabula.priors.sources import Sources
from vocabula.tokenizers import load as load_tokenizer
from vocabula.training import load_config, train_prior
from vocabula.training.checkpoint import list_checkpoints, read_checkpoint
from vocabula.training.config import RunConfig

TINY = {
    "pixelcnn": ["prior.hidden=8", "prior.layers=2"],
    "pixelsnail": ["prior.hidden=8", "prior.blocks=1", "prior.residuals=1", "prior.heads=2"],
    "transformer": ["prior.hidden=16", "prior.layers=1", "prior.heads=2"],
    "portable": ["prior.hidden=8", "prior.layers=1"],
}
SHORT = ["training.steps=12", "training.batch_size=8", "training.log_every=3", "held_out.every=4"]
SHORT += ["training.memory_check=false"]  # steps are counted; those that only measure are none
CLOCKED = ("seconds", "signals_per_second")


def configured(model: str = "pixelcnn", *overrides: str) -> RunConfig:
    common = [*SHORT, "training.checkpoint_every=4", "training.threads=1", "schedule.warmup=2"]
    return load_config(model, [*TINY[model], *common, *overrides])


def run(made: Any, out: Path, config: RunConfig | None = None, **options: Any) -> dict[str, Any]:
    options = {"progress": False, **options}
    return train_prior(config or configured(), made.run, made.tokens, out, **options)


def weights(folder: Path) -> dict[str, bytes]:
    return {k: v.numpy().tobytes() for k, v in load_file(folder / "model.safetensors").items()}


def log(folder: Path) -> list[dict[str, Any]]:
    records = read_log(folder / "log.jsonl")
    return [{k: v for k, v in r.items() if k not in CLOCKED} for r in records]


def captions_of(made: Any, texts: Callable[[TokenRecord], Any]) -> Path:
    records = list(read_tokens(made.tokens))
    path = made.tokens.with_name("captions.parquet")
    columns = {"path": [r.path for r in records], "caption": [texts(r) for r in records]}
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("model", sorted(TINY))
def test_a_run_leaves_a_generator_a_log_and_figures(
    tmp_path: Path, coded: Callable[..., Any], model: str
) -> None:
    made, out = coded(), tmp_path / "prior"
    result = run(made, out, configured(model))
    assert [r["step"] for r in log(out)] == [3, 4, 6, 8, 9, 12]
    assert ["held_out_nats" in r for r in log(out)] == [False, True, False, True, False, True]
    (figures,) = result["levels"]
    assert figures == {"level": 1, **json.loads((out / "metrics.json").read_text())}
    assert (figures["signals"], figures["held_out_signals"]) == (91, 5)
    assert figures["uniform"] == pytest.approx(math.log(16))
    # 16 codes of a 16 x 16 image of one channel
    bits = figures["nats_per_token"] / math.log(2) * 16 / 256
    assert figures["bits_per_dim"] == pytest.approx(bits)
    generator = load_generator(out)
    assert generator.tokenizer.fingerprint() == load_tokenizer(made.run).fingerprint()
    classes = () if model == "portable" else ("class 0", "class 1", "class 2")
    assert generator.class_names == classes
    assert generator.image_size == (16, 16)
    wanted = {"class": 1} if classes else {}
    assert generator.sample(2, attributes=wanted, seed=0).images.shape == (2, 1, 16, 16)
    assert {p.name for p in tmp_path.iterdir()} == {"prior", "run", "tokens.parquet"}
    assert not [p for p in out.rglob("*") if p.name.startswith(".")]


@pytest.mark.slow
def test_equal_runs_leave_equal_files(tmp_path: Path, coded: Callable[..., Any]) -> None:
    made, outs = coded(), [tmp_path / "one", tmp_path / "two"]
    for out in outs:
        run(made, out)
    files = [
        {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*.safetensors")}
        for out in outs
    ]
    assert {"model.safetensors"} < files[0].keys()
    assert files[0] == files[1]


def test_what_is_saved_are_the_best_weights(tmp_path: Path, coded: Callable[..., Any]) -> None:
    made, out = coded(), tmp_path / "prior"
    # a rate that first helps and then spoils
    config = configured("pixelcnn", "optimizer.learning_rate=0.5", "schedule=constant")
    (figures,) = run(made, out, config)["levels"]
    measured = {r["step"]: r["held_out_nats"] for r in log(out) if "held_out_nats" in r}
    assert figures["nats_per_token"] == pytest.approx(min(measured.values()), rel=1e-6)
    assert measured[figures["step"]] == min(measured.values())
    tokenizer = load_tokenizer(made.run)
    data = read_prior_data(tokenizer, Sources(made.tokens))
    assert measure_codes(load(out), data.held_out).nats_per_token == pytest.approx(
        figures["nats_per_token"], rel=1e-6
    )
    saved = read_checkpoint(list_checkpoints(out / "checkpoints")[0]).tensors
    assert all(v.equal(saved["best"][k]) for k, v in load(out).named_parameters())


@pytest.mark.slow
@pytest.mark.parametrize("model", sorted(TINY))
def test_ctrl_c_saves_and_resuming_gives_identical_bits(
    tmp_path: Path, coded: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    made = coded()
    if model == "transformer":  # codes are read from the file when they are needed
        monkeypatch.setattr(code_arrays, "WHOLE", 0)
    captions, words = None, ["--no-classes"]
    config = configured(model, "training.accumulate=2")
    if model != "portable":
        captions = captions_of(made, lambda r: [f"of class {r.label}", f"number {r.label}"])
        words = ["--captions", str(captions)]
        config = configured(model, "training.accumulate=2", "prior.dropout=0.2")
    run(made, tmp_path / "whole", config, captions=captions)
    with monkeypatch.context() as patch:
        stop_at(patch, 6)
        with pytest.raises(Interrupted) as caught:
            run(made, tmp_path / "cut", config, captions=captions)
    out, advice = str(tmp_path / "cut"), str(caught.value).partition("continue with: ")[2]
    expected = ["vocabula", "train-prior", str(made.run), str(made.tokens), "--model", model]
    expected += ["--out", out, *words, "--resume", *config.overrides]
    assert shlex.split(advice) == expected
    assert load_generator(tmp_path / "cut").sample(1, seed=0).images.shape == (1, 1, 16, 16)
    run(made, tmp_path / "cut", config, captions=captions, resume=True)
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")
    assert log(tmp_path / "cut") == log(tmp_path / "whole")


@pytest.mark.slow
def test_more_steps_are_added_and_other_changes_refused(
    tmp_path: Path, coded: Callable[..., Any]
) -> None:
    made, out = coded(), tmp_path / "prior"
    run(made, out)
    assert (
        run(made, out, configured("pixelcnn", "training.steps=15"), resume=True)["levels"][0][
            "steps"
        ]
        == 15
    )
    with pytest.raises(OptionError, match=r"prior\.layers: expected 2 as in the run to resume"):
        run(made, out, configured("pixelcnn", "prior.layers=3"), resume=True)
    with pytest.raises(OptionError, match="classes: expected the one that the run began with"):
        run(made, out, configured("pixelcnn", "training.steps=15"), resume=True, classes=False)
    other = coded(seed=1)
    with pytest.raises(OptionError, match=r"codes: expected the one.*same data"):
        run(other, out, configured("pixelcnn", "training.steps=15"), resume=True)
    # else what is held out now had been learned from before
    made, other = coded(), coded(30, name="other", seed=7)
    with pytest.raises(OptionError, match=r"held_out: expected the one.*same data"):
        run(made, out, configured("pixelcnn", "training.steps=15"), resume=True,
            held_out=other.tokens)  # fmt: skip
    with pytest.raises(OutputError, match=r"--resume.*--overwrite"):
        run(made, out)
    (out / "notes.txt").write_text("mine")
    run(made, out, configured("pixelcnn", "training.steps=2"), overwrite=True)
    assert [p.name for p in list_checkpoints(out / "checkpoints")] == ["step-00000002"]
    assert (out / "notes.txt").read_text() == "mine"


@pytest.mark.slow
def test_learning_goes_below_the_neighbours_and_uses_the_class(
    tmp_path: Path, coded: Callable[..., Any]
) -> None:
    made = coded(400)
    options = ["training.steps=300", "held_out.every=100", "prior.hidden=16", "prior.dropout=0"]
    options += ["optimizer.learning_rate=0.01", "training.batch_size=32"]
    (figures,) = run(made, tmp_path / "prior", configured("pixelcnn", *options))["levels"]
    # by the law of the codes: a row begins anywhere, then nine in ten times follows the class
    follow, stray = 0.9 + 0.1 / 16, 0.1 / 16
    rest = -follow * math.log(follow) - 15 * stray * math.log(stray)
    law = (math.log(16) + 3 * rest) / 4
    assert law < figures["nats_per_token"] < law + 0.35
    assert figures["nats_per_token"] < figures["left"] < figures["order0"]
    assert figures["nats_per_token"] < figures["nats_per_token_without_condition"] - 0.05


@pytest.mark.slow
def test_every_level_gets_a_prior_and_one_can_be_chosen(
    tmp_path: Path, coded: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = coded(levels=2)
    result = run(made, tmp_path / "both")
    assert [figures["level"] for figures in result["levels"]] == [1, 2]
    total = sum(figures["bits_per_dim"] for figures in result["levels"])
    assert result["bits_per_dim"] == pytest.approx(total)
    assert (
        json.loads((tmp_path / "both" / "metrics.json").read_text())["levels"] == result["levels"]
    )
    assert load_generator(tmp_path / "both").sample(1, seed=0).images.shape == (1, 1, 16, 16)
    run(made, tmp_path / "each", level=2)
    with pytest.raises(OutputError, match="--resume"):
        run(made, tmp_path / "each", level=2)
    # what is missing is not to be had by training the same level again
    with pytest.raises(CheckpointError, match=r"level-1: expected the prior of level 1") as caught:
        load_generator(tmp_path / "each")
    assert "--level" not in str(caught.value) and str(caught.value).endswith("--resume")
    config = configured("pixelcnn", "held_out.share=0.2")
    with pytest.raises(OptionError, match=r"held_out: expected the one that the run began with"):
        run(made, tmp_path / "each", config, level=1)
    with pytest.raises(OptionError, match=r"data: expected the 96 signals of .* got 30"):
        run(coded(30, levels=2, name="other"), tmp_path / "each", level=1)
    assert not (tmp_path / "each" / "level-1").exists()
    assert len(run(made, tmp_path / "each", level=1)["levels"]) == 2
    for level in ("level-1", "level-2"):
        assert weights(tmp_path / "each" / level) == weights(tmp_path / "both" / level)
    with pytest.raises(OptionError, match=r"--level: expected a number in \[1, 2\].*got 3"):
        run(made, tmp_path / "new", level=3)
    assert not (tmp_path / "new").exists()
    # stopped in the second level, it goes on there
    with monkeypatch.context() as patch:
        stop_at(patch, 16, signal.SIGTERM, of_all=True)
        with pytest.raises(Interrupted, match="after step 5 of 12"):
            run(made, tmp_path / "cut")
    run(made, tmp_path / "cut", resume=True)
    for level in ("level-1", "level-2"):
        assert weights(tmp_path / "cut" / level) == weights(tmp_path / "both" / level)
    # replaced, and stopped in the first level: no other level of the old priors is left
    with monkeypatch.context() as patch:
        stop_at(patch, 2, signal.SIGTERM)
        with pytest.raises(Interrupted, match="after step 3 of 12"):
            run(made, tmp_path / "cut", overwrite=True)
    assert not (tmp_path / "cut/level-2/model.safetensors").exists()


@pytest.mark.slow
def test_held_out_tokens_of_another_file(tmp_path: Path, coded: Callable[..., Any]) -> None:
    other = coded(30, name="other", seed=7)
    made = coded()
    (figures,) = run(made, tmp_path / "prior", held_out=other.tokens)["levels"]
    assert (figures["signals"], figures["held_out_signals"]) == (96, 30)
    config = configured("pixelcnn", "held_out.most=10")
    (figures,) = run(made, tmp_path / "few", config, held_out=other.tokens)["levels"]
    assert figures["held_out_signals"] == 10
    names = ["class 0", "class 2", "class 1"]
    rewritten(other.tokens, label_names=names)
    with pytest.raises(DataError, match=r"class 1 to be 'class 1'.*got 'class 2'"):
        run(made, tmp_path / "bad", held_out=other.tokens)
    more = coded(30, name="more", classes=5)
    with pytest.raises(DataError, match=r"4\.png: expected a label below 3"):
        run(made, tmp_path / "bad", held_out=more.tokens)
    without_names(made.tokens)
    with pytest.raises(DataError, match=r"expected labels below 3.*got 4"):
        run(made, tmp_path / "bad", held_out=more.tokens)
    assert not (tmp_path / "bad").exists()


def without_names(path: Path) -> None:
    """Write a token file again without the names of its classes."""
    rewritten(path, label_names=None)


def rewritten(path: Path, **header: Any) -> None:
    """Write a token file again with another header."""
    file = read_tokens(path)
    header |= {"fingerprint": file.fingerprint, "levels": file.levels}
    write_tokens(path, list(file), **header, overwrite=True)


def test_captions_are_learned_and_their_trouble_told(
    tmp_path: Path, coded: Callable[..., Any]
) -> None:
    made = coded()
    words = ["zero", "one", "two"]

    def texts(record: TokenRecord) -> list[str]:
        if record.path == "5.png":
            return []
        long = " and so on" * 3 if record.path == "7.png" else ""
        return [f"a {words[record.label or 0]}{long}"]

    captions = captions_of(made, texts)
    config = configured("transformer", "captions.length=4")
    with pytest.warns(DataWarning) as caught:
        run(made, tmp_path / "prior", config, captions=captions, classes=False)
    told = sorted(str(w.message) for w in caught)
    assert told == [
        "captions: 1 of 95 are longer than 4 tokens and are cut; captions.length sets how many "
        "are read",
        "captions: 1 of 96 signals have none; they are learned without text",
    ]
    generator = load_generator(tmp_path / "prior")
    assert generator.conditioning.classes == 0
    assert generator.conditioning.text_length == 4
    assert generator.sample(1, text="a two", seed=0).images.shape == (1, 1, 16, 16)
    with pytest.raises(DataError, match="got none"):
        run(made, tmp_path / "bad", captions=captions_of(made, lambda r: " "))
    with pytest.raises(OptionError, match="expected a file with the column 'words', got none"):
        run(made, tmp_path / "bad", caption_column="words")
    assert not (tmp_path / "bad").exists()


def test_some_signals_without_a_label_are_learned_unconditionally(
    tmp_path: Path, coded: Callable[..., Any]
) -> None:
    made = coded()
    file = read_tokens(made.tokens)
    records = [
        TokenRecord(r.codes, r.path, None if i % 2 else r.label, r.height, r.width)
        for i, r in enumerate(file)
    ]
    header = {"fingerprint": file.fingerprint, "levels": file.levels, "overwrite": True}
    write_tokens(made.tokens, records, **header)
    run(made, tmp_path / "prior")
    assert load_generator(tmp_path / "prior").conditioning.classes == 3
    none = [TokenRecord(r.codes, r.path, None, r.height, r.width) for r in records]
    write_tokens(made.tokens, none, **header)
    run(made, tmp_path / "plain")
    assert load_generator(tmp_path / "plain").conditioning.classes == 0


def test_bad_settings_and_data_leave_nothing_behind(
    tmp_path: Path, coded: Callable[..., Any]
) -> None:
    made, out = coded(), tmp_path / "prior"
    for override, message in (
        ("prior.kernel=4", r"kernel: expected an odd number, got 4"),
        ("conditioning.classes=3", r"conditioning\.classes: expected nothing, got 3"),
        ("prior.codes=3", r"prior\.codes: expected nothing"),
        ("held_out.share=0.9", r"held_out\.share: expected a number > 0 and <= 0\.5"),
        ("training.accumulate=3", r"batch_size: expected a multiple of 3"),
        ("training.stages=[{train=['encoder'], steps=1}]", r"stages: expected none for a prior"),
        ("prior.layer=3", r"prior\.layer: unknown option.*did you mean 'layers'"),
    ):
        with pytest.raises(OptionError, match=message):
            run(made, out, configured("pixelcnn", override))
    with pytest.raises(OptionError, match=r"configuration of a prior, got digits"):
        run(made, out, load_config("digits"))
    tokenizer = load_tokenizer(made.run)
    with torch.no_grad():
        next(tokenizer.parameters()).add_(1)
    with pytest.raises(TokensError, match="got tokens of tokenizer"):
        train_prior(configured(), tokenizer, made.tokens, out, progress=False)
    with pytest.raises(TokensError, match="got nothing there"):
        train_prior(configured(), made.run, tmp_path / "no.parquet", out, progress=False)
    with pytest.raises(DataError, match=r"expected at least 2 signals.*got 1"):
        run(coded(1), out)
    assert not out.exists()


def test_a_folder_that_is_no_prior_is_never_touched(
    tmp_path: Path, coded: Callable[..., Any]
) -> None:
    made = coded()
    before = {p: p.read_bytes() for p in made.run.rglob("*") if p.is_file()}
    for options in ({}, {"overwrite": True}, {"resume": True}):
        with pytest.raises(OutputError, match="choose another --out"):
            run(made, made.run, **options)
    assert {p: p.read_bytes() for p in made.run.rglob("*") if p.is_file()} == before


def test_a_time_limit_ends_with_a_measurement(tmp_path: Path, coded: Callable[..., Any]) -> None:
    config = configured("pixelcnn", "training.steps=1000000", "training.max_minutes=0.01")
    config = load_config("pixelcnn", [*config.overrides, "held_out.every=1000000"])
    (figures,) = run(coded(), tmp_path / "prior", config)["levels"]
    assert 0 < figures["steps"] < 1_000_000
    assert "held_out_nats" in log(tmp_path / "prior")[-1]


def test_plain_lines_show_the_held_out_nats(
    tmp_path: Path, coded: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    run(coded(), tmp_path / "prior", progress=True)
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("step 12/12  loss ")
    assert "held out" in lines[-1] and "nats" in lines[-1]
