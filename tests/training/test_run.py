from __future__ import annotations

import errno
import json
import os
import random
import shlex
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from processes import FORKED
from steps import before_step, stop_at
from vocabula.codec import load_statistics
from vocabula.errors import DataError, Interrupted, OptionError, OutputError, TrainingError
from vocabula.files.run_files import read_log
from vocabula.tokenizers import load
from vocabula.training.checkpoint import list_checkpoints, read_checkpoint
from vocabula.training.config import RunConfig, config_from_sections
from vocabula.training.run import train
from vocabula.training.trainer import Trainer

DIGITS = "sample:digits"


def configured(sections: dict[str, Any], **options: Any) -> RunConfig:
    return config_from_sections({**sections, "training": {**sections["training"], **options}})


def weights(run: Path) -> dict[str, bytes]:
    """The saved tensors, bit for bit."""
    return {k: v.numpy().tobytes() for k, v in load_file(run / "model.safetensors").items()}


def figures(run: Path) -> list[dict[str, Any]]:
    """The log without what depends on the clock."""
    clocked = ("seconds", "images_per_second")
    return [{k: v for k, v in r.items() if k not in clocked} for r in read_log(run / "log.jsonl")]


def tensor_files(run: Path) -> dict[str, bytes]:
    return {str(p.relative_to(run)): p.read_bytes() for p in run.rglob("*.safetensors")}


@pytest.mark.slow
def test_equal_runs_leave_equal_files(tmp_path: Path, sections: dict[str, Any]) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    config = configured(sections, steps=4, log_every=4, average_decay=0.9)
    for run in (one, two):
        train(config, DIGITS, run, progress=False)
    first, second = tensor_files(one), tensor_files(two)
    step = "checkpoints/step-00000004"
    names = [f"{step}/{name}" for name in ("average", "model", "optimizer")]
    assert first.keys() == {f"{name}.safetensors" for name in ("entropy", "model", *names)}
    assert [name for name in first if first[name] != second[name]] == []


@pytest.mark.slow
def test_a_run_leaves_a_tokenizer_a_log_and_checkpoints(
    tmp_path: Path, sections: dict[str, Any]
) -> None:
    run = tmp_path / "run"
    result = train(configured(sections), DIGITS, run, progress=False)
    records = read_log(run / "log.jsonl")
    assert [r["step"] for r in records] == [3, 6, 9, 12]
    wanted = {"loss", "losses", "mse", "psnr", "perplexity", "usage", "lr", "grad_norm"}
    assert wanted | {"images_per_second"} <= set(records[0])
    assert result["steps"] == 12
    assert result["psnr"] == records[-1]["psnr"]
    names = [p.name for p in list_checkpoints(run / "checkpoints")]
    assert names == ["step-00000012", "step-00000008"]
    tokenizer = load(run)
    saved = read_checkpoint(run / "checkpoints" / names[0]).tensors["model"]
    assert all(v.equal(saved[k]) for k, v in tokenizer.state_dict().items())
    assert {p.name for p in tmp_path.iterdir()} == {"run"}
    assert not [p for p in run.rglob("*") if p.name.startswith(".")]


def test_the_saved_tokenizer_has_the_averaged_weights(
    tmp_path: Path, sections: dict[str, Any]
) -> None:
    train(configured(sections, average_decay=0.9), DIGITS, tmp_path / "run", progress=False)
    saved = read_checkpoint(tmp_path / "run" / "checkpoints" / "step-00000012").tensors
    loaded = load(tmp_path / "run")
    for name, parameter in loaded.named_parameters():
        assert parameter.equal(saved["average"][name])
    assert any(not p.equal(saved["model"][n]) for n, p in loaded.named_parameters())


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"average_decay": 0.9, "channels_last": True, "precision": "bf16"},
        {"stages": [{"train": ["encoder", "quantizer"], "steps": 6}], "accumulate": 2},
    ],
    ids=["plain", "average", "stages"],
)
def test_ctrl_c_saves_and_resuming_gives_identical_bits(
    tmp_path: Path,
    sections: dict[str, Any],
    options: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = configured(sections, **options)
    train(config, DIGITS, tmp_path / "whole", progress=False)
    before = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        stop_at(patch, 6)
        with pytest.raises(Interrupted, match=r"after step 7 of 12.*resume=True"):
            train(config, DIGITS, tmp_path / "cut", progress=False)
    assert signal.getsignal(signal.SIGINT) is before
    assert load(tmp_path / "cut").stride == 2
    train(config, DIGITS, tmp_path / "cut", resume=True, progress=False)
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")
    assert figures(tmp_path / "cut") == figures(tmp_path / "whole")


def test_the_command_that_continues_is_exact(
    tmp_path: Path, sections: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = configured(sections).sections
    overrides = ("training.steps=12", "data.value_range=[0, 1]")
    config = RunConfig("digits", tables, overrides)
    stop_at(monkeypatch, 1, signal.SIGTERM)
    with pytest.raises(Interrupted) as caught:
        train(config, DIGITS, tmp_path / "a run", progress=False)
    command = str(caught.value).partition("continue with: ")[2]
    expected = ["vocabula", "train", DIGITS, "--preset", "digits", "--out"]
    assert shlex.split(command) == [*expected, str(tmp_path / "a run"), "--resume", *overrides]


def last_step(run: Path) -> int:
    found = list_checkpoints(run / "checkpoints")
    return int(found[0].name.removeprefix("step-")) if found else 0


@pytest.mark.slow
def test_a_killed_run_resumes_to_identical_bits(tmp_path: Path, sections: dict[str, Any]) -> None:
    sections["quantizer"]["sampling_temperature"] = 0.1  # random draws in every step
    config = configured(sections, steps=24, checkpoint_every=1, log_every=3)

    def start(run: Path) -> Any:
        arguments = {"resume": True, "progress": False}
        process = FORKED.Process(target=train, args=(config, DIGITS, run), kwargs=arguments)
        process.start()
        return process

    whole = start(tmp_path / "whole")
    moments, kills, run = random.Random(0), set(), tmp_path / "cut"
    for attempt in range(12):
        process = start(run)
        reached = last_step(run) + moments.randrange(6)
        while attempt and last_step(run) < reached and process.is_alive():
            time.sleep(0.004)
        process.join(moments.uniform(0, 0.04))  # a moment within a step or a save
        if not process.is_alive():
            break
        process.kill()
        process.join()
        kills.add(last_step(run))
    process = start(run)
    process.join()
    whole.join()
    assert (process.exitcode, whole.exitcode) == (0, 0)
    assert len(kills) >= 4  # steps at which it was killed
    assert weights(run) == weights(tmp_path / "whole")
    assert figures(run) == figures(tmp_path / "whole")


def test_a_damaged_newest_checkpoint_costs_only_its_steps(
    tmp_path: Path, sections: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    train(configured(sections), DIGITS, run, progress=False)
    before, log = weights(run), figures(run)
    (run / "checkpoints" / "step-00000012" / "model.safetensors").write_bytes(b"damage")
    train(configured(sections), DIGITS, run, resume=True, progress=False)
    assert "Passing over a damaged checkpoint" in capsys.readouterr().err
    assert weights(run) == before
    assert figures(run) == log


@pytest.mark.slow
def test_steps_can_be_extended_and_nothing_else_changed(
    tmp_path: Path, sections: dict[str, Any]
) -> None:
    run = tmp_path / "run"
    train(configured(sections, steps=6), DIGITS, run, progress=False)
    result = train(configured(sections, steps=9), DIGITS, run, resume=True, progress=False)
    assert result["steps"] == 9
    # What the error of a loss that is not finite advises can be changed too.
    sections["optimizer"]["learning_rate"] = 5e-4
    again = train(
        configured(sections, steps=10, clip_norm=1.0), DIGITS, run, resume=True, progress=False
    )
    assert again["steps"] == 10 and again["lr"] == 5e-4
    sections["optimizer"]["beta1"] = 0.8
    with pytest.raises(OptionError, match=r"beta1: expected 0\.9.*got 0\.8"):
        train(configured(sections), DIGITS, run, resume=True, progress=False)
    del sections["optimizer"]["beta1"]
    with pytest.raises(OptionError, match="expected the 1500 images of sample:digits"):
        train(configured(sections), f"{DIGITS}/test", run, resume=True, progress=False)


def test_an_earlier_run_is_kept_without_resume_or_overwrite(
    tmp_path: Path, sections: dict[str, Any]
) -> None:
    run = tmp_path / "run"
    train(configured(sections, steps=2), DIGITS, run, progress=False)
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    with pytest.raises(OutputError, match=r"--resume.*--overwrite"):
        train(configured(sections), DIGITS, run, progress=False)
    with pytest.raises(OptionError, match="got both"):
        train(configured(sections), DIGITS, run, resume=True, overwrite=True)
    assert {p: p.read_bytes() for p in run.rglob("*") if p.is_file()} == before
    (run / "notes.txt").write_text("mine")
    train(configured(sections, steps=3), DIGITS, run, overwrite=True, progress=False)
    assert [p.name for p in list_checkpoints(run / "checkpoints")] == ["step-00000003"]
    assert (run / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("options", [{}, {"overwrite": True}, {"resume": True}])
def test_a_folder_that_is_no_run_is_never_touched(
    tmp_path: Path, sections: dict[str, Any], options: dict[str, bool]
) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(OutputError, match="choose another --out"):
        train(configured(sections), DIGITS, tmp_path, progress=False, **options)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_bad_settings_and_data_leave_nothing_behind(
    tmp_path: Path, sections: dict[str, Any]
) -> None:
    run = tmp_path / "run"
    with pytest.raises(DataError):
        train(configured(sections), tmp_path / "missing", run, progress=False)
    with pytest.raises(OptionError, match="batch_size"):
        train(configured(sections, accumulate=3), DIGITS, run, progress=False)
    wrong = {**sections, "data": {"channels": 1, "crop": 99}}
    with pytest.raises(DataError, match="99"):
        train(configured(wrong), DIGITS, run, progress=False)
    wrong = {**sections, "encoder": {**sections["encoder"], "downsample": 4}}
    with pytest.raises(OptionError, match="stride"):
        train(configured(wrong), DIGITS, run, progress=False)
    assert not run.exists()


def test_images_that_are_not_numbers_stop_the_run(tmp_path: Path, sections: dict[str, Any]) -> None:
    images = np.random.default_rng(0).random((16, 8, 8, 1), dtype=np.float32)
    images[11, 3, 3, 0] = np.nan
    np.save(tmp_path / "images.npy", images)
    with pytest.raises(DataError, match=r"(?i)nan|finite"):
        train(configured(sections), tmp_path / "images.npy", tmp_path / "run", progress=False)


def test_a_loss_that_is_not_finite_keeps_the_last_good_checkpoint(
    tmp_path: Path, sections: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def poison(trainer: Trainer) -> None:
        next(trainer.tokenizer.decoder.parameters()).data.fill_(float("inf"))

    before_step(monkeypatch, 6, poison)
    with pytest.raises(TrainingError, match=r"step 7: .*try optimizer.*step-00000004"):
        train(configured(sections), DIGITS, tmp_path / "run", progress=False)
    (kept,) = list_checkpoints(tmp_path / "run" / "checkpoints")
    assert read_checkpoint(kept).step == 4


def test_a_full_disk_is_one_clear_error(
    tmp_path: Path, sections: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"

    def fill(_: Trainer) -> None:
        def full(path: Path, content: bytes) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr("vocabula.training.checkpoint.write_bytes", full)

    before_step(monkeypatch, 6, fill)
    with pytest.raises(OutputError, match=r"No space left.*earlier checkpoints are unharmed"):
        train(configured(sections), DIGITS, run, progress=False)
    assert [p.name for p in (run / "checkpoints").iterdir()] == ["step-00000004"]


def test_a_time_limit_ends_in_good_order(tmp_path: Path, sections: dict[str, Any]) -> None:
    run = tmp_path / "run"
    result = train(
        configured(sections, steps=10**6, max_minutes=0.3 / 60), DIGITS, run, progress=False
    )
    assert 0 < result["steps"] < 10**6
    assert load_file(run / "model.safetensors")
    assert json.loads((run / "run.json").read_text())["data"] == DIGITS


@pytest.mark.slow
def test_time_before_resuming_counts_and_the_schedule_ends_with_it(
    tmp_path: Path, sections: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    sections["schedule"] = {"name": "linear"}
    limited = configured(sections, steps=10**6, max_minutes=0.5 / 60)
    first = train(limited, DIGITS, run)
    assert "training.max_minutes=0.00833333 is over" in capsys.readouterr().err
    assert first["lr"] < 0.5 * 1e-3  # the configured rate, of which a millionth of the steps is 1
    again = train(limited, DIGITS, run, resume=True, progress=False)
    assert again["steps"] == first["steps"]
    longer = configured(sections, steps=10**6, max_minutes=1 / 60)
    assert train(longer, DIGITS, run, resume=True, progress=False)["steps"] > first["steps"]


@pytest.mark.slow
def test_codes_are_counted_at_the_end_also_after_an_interruption(
    tmp_path: Path, sections: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"

    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("vocabula.training.export.learn_statistics", stop)
        with pytest.raises(Interrupted, match=r"the model is saved.*resume=True"):
            train(configured(sections), DIGITS, run, progress=False)
    assert not (run / "entropy.safetensors").exists()
    before = weights(run)
    train(configured(sections), DIGITS, run, resume=True, progress=False)
    assert weights(run) == before
    statistics = load_statistics(run, load(run).fingerprint())
    assert statistics is not None and statistics.counts[0].sum() == 1500 * 16


def test_plain_lines_show_the_figures(
    tmp_path: Path, sections: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    train(configured(sections), DIGITS, tmp_path / "run")
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition("  ")[0] for line in lines] == [
        *("data:", "codes:", "model:", "steps:"),
        *("step 3/12", "step 6/12", "step 9/12", "step 12/12"),
    ]
    assert lines[-1].startswith("step 12/12  loss ")
    assert max(map(len, lines)) <= 80
    assert all(word in lines[-1] for word in ("PSNR", "dB", "perplexity", "usage", "left"))


@pytest.mark.slow
def test_tensorboard_events_are_written_on_request(
    tmp_path: Path, sections: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configured(sections, tensorboard=True)
    with monkeypatch.context() as patch:
        patch.setattr("importlib.util.find_spec", lambda _: None)
        with pytest.raises(OptionError, match=r"training\.tensorboard"):
            train(config, DIGITS, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()
    train(config, DIGITS, tmp_path / "run", progress=False)
    assert list((tmp_path / "run" / "tensorboard").glob("events*"))
