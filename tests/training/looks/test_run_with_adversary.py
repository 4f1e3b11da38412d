"""Runs with an adversary: stopped and continued, what they keep, and what they refuse."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from processes import FORKED, run_ranks
from steps import stop_at
from vocabula.errors import Interrupted, OptionError
from vocabula.files.run_files import read_log
from vocabula.tokenizers import load
from vocabula.training.checkpoint import newest_checkpoint, newest_step
from vocabula.training.config import RunConfig, config_from_sections, load_config
from vocabula.training.overrides import apply_override, parse_override
from vocabula.training.run import train


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """32 pictures of 16 x 16."""
    values = np.random.default_rng(0).integers(0, 256, (32, 16, 16, 1), dtype=np.uint8)
    np.save(tmp_path / "pictures.npy", values)
    return tmp_path / "pictures.npy"


def configured(sections: dict[str, Any], *overrides: str) -> RunConfig:
    """A small run with an adversary, changed by overrides."""
    discriminator = {"name": "patch", "hidden": 2, "layers": 1}
    looks = {"start": 4, "warmup": 2, "ramp": 4, "discriminator": discriminator}
    tables: dict[str, Any] = {**sections, "perceptual": {"name": "features"}, "adversary": looks}
    tables = config_from_sections(tables).sections
    for text in overrides:
        tables = apply_override(tables, *parse_override(text), [])
    return config_from_sections(tables)


def players(run: Path) -> dict[str, dict[str, bytes]]:
    """Every tensor of the newest checkpoint, bit for bit, and the guard's state."""
    checkpoint = newest_checkpoint(run / "checkpoints", lambda _: None)
    assert checkpoint is not None
    found = {
        file: {name: value.numpy().tobytes() for name, value in tensors.items()}
        for file, tensors in checkpoint.tensors.items()
    }
    return found | {"state": {"": repr(checkpoint.state["adversary"]).encode()}}


def figures(run: Path) -> list[dict[str, Any]]:
    """The log without what depends on the clock."""
    clocked = ("seconds", "images_per_second")
    return [{k: v for k, v in r.items() if k not in clocked} for r in read_log(run / "log.jsonl")]


def test_a_run_stopped_among_adversarial_steps_continues_to_identical_bits(
    tmp_path: Path,
    sections: dict[str, Any],
    pictures: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = configured(
        sections, "training.accumulate=2", "training.average_decay=0.9", "adversary.crop=14"
    )
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    train(config, pictures, whole, progress=False)
    with monkeypatch.context() as patch:
        stop_at(patch, 8)  # the adversary counts from step 6 on
        with pytest.raises(Interrupted, match="after step 9 of 12"):
            train(config, pictures, cut, progress=False)
    train(config, pictures, cut, resume=True, progress=False)
    assert players(cut) == players(whole)
    assert {"adversary", "adversary_optimizer"} < players(cut).keys()
    assert figures(cut) == figures(whole)
    weight = [record.get("adversary", {}).get("weight") for record in figures(whole)]
    assert weight[0] is None and weight[1] == 0 and weight[3] > 0
    before = load(whole / "before-adversary").state_dict()
    saved = load_file(cut / "before-adversary" / "model.safetensors")
    assert all(value.equal(saved[name]) for name, value in before.items())
    last = load(whole).state_dict()
    assert any(not value.equal(last[name]) for name, value in before.items())
    train(config, pictures, cut, overwrite=True, progress=False)
    assert players(cut) == players(whole)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.steps=6", r"start and warmup to end before training\.steps=6, got 4 \+ 2"),
        (
            'training.stages=[{train = ["encoder"], steps = 5}]',
            r"frozen by .*use adversary\.start=5",
        ),
        (
            'training.stages=[{train = ["encoder"], steps = 12}]',
            r"until step 12; let it learn there",
        ),
        ("likelihood=categorical", "decoder gives the signal itself, got categorical"),
        ("adversary.discriminator.layers=2", r"at least the 32 elements .*got 16 x 16"),
        ("adversary.discriminator=spectrum", r"signals of 1 axes, got images with 2"),
        ("adversary.crop=13", r"crop: expected at least the 14 elements .*got 13; use 14"),
        ("perceptual=msssim", r"at least 176 for msssim, got 16 x 16"),
        ("perceptual=stlpips", r"sides of at least 64 for stlpips"),
    ],
)
def test_looks_that_do_not_fit_are_refused_before_anything_is_written(
    tmp_path: Path, sections: dict[str, Any], pictures: Path, override: str, message: str
) -> None:
    run = tmp_path / "run"
    with pytest.raises(OptionError, match=message) as caught:
        train(configured(sections, override), pictures, run, progress=False)
    assert "\n" not in str(caught.value)
    assert not run.exists()


def test_features_without_an_adversary_and_looks_of_a_prior_are_refused(
    tmp_path: Path, sections: dict[str, Any], pictures: Path
) -> None:
    tables = configured(sections).sections
    del tables["adversary"]
    with pytest.raises(OptionError, match="expected an adversary, whose discriminator features"):
        train(config_from_sections(tables), pictures, tmp_path / "run", progress=False)
    with pytest.raises(OptionError, match="adversary: expected the configuration of a tokenizer"):
        config_from_sections({"prior": {"name": "transformer"}, "adversary": {}})


def test_configurations_without_looks_are_as_they_were() -> None:
    assert load_config("photos").sections.keys().isdisjoint({"perceptual", "adversary"})
    config = load_config("photos", ["perceptual=msssim", "adversary.weight=0.5"])
    assert config.sections["adversary"] == {"weight": 0.5} | {
        k: v for k, v in config.sections["adversary"].items() if k == "name"
    }
    assert config.sections["perceptual"]["name"] == "msssim"


def learn(sections: dict[str, Any], pictures: Path, out: Path) -> None:
    """What each rank does."""
    train(configured(sections, "training.log_every=6"), pictures, out, progress=False)
    (out.parent / f"done-{os.environ['RANK']}").touch()


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(
    tmp_path: Path, sections: dict[str, Any], pictures: Path
) -> None:
    sections["optimizer"] = {"name": "sgd", "learning_rate": 0.05, "momentum": 0.9}
    sections["quantizer"] = {"name": "finite_scalar", "levels": [5, 5]}
    ended = run_ranks(learn, sections, pictures, tmp_path / "two")
    assert [process.code for process in ended] == [0, 0], ended
    config = configured(sections, "training.log_every=6")
    train(config, pictures, tmp_path / "one", progress=False)
    one, two = (newest_checkpoint(tmp_path / n / "checkpoints", print) for n in ("one", "two"))
    assert one is not None and two is not None
    for file in ("model", "adversary"):
        for name, value in one.tensors[file].items():
            if "usage_tracker" not in name and "noise" not in name:
                close = np.allclose(value.float(), two.tensors[file][name].float(), atol=2e-3)
                assert close, name


def begin(config: RunConfig, pictures: Path, run: Path) -> Any:
    """A process that begins or continues a run."""
    arguments = {"resume": True, "progress": False}
    process = FORKED.Process(target=train, args=(config, pictures, run), kwargs=arguments)
    process.start()
    return process


@pytest.mark.slow
def test_a_run_killed_among_adversarial_steps_resumes_to_identical_bits(
    tmp_path: Path, sections: dict[str, Any], pictures: Path
) -> None:
    """The adversary counts from step 6 of 24 on; killed when a later checkpoint appears."""
    sections["quantizer"]["sampling_temperature"] = 0.1  # random draws in every step
    config = configured(sections, "training.steps=24", "training.checkpoint_every=1")
    whole, run = begin(config, pictures, tmp_path / "whole"), tmp_path / "cut"
    process = begin(config, pictures, run)
    while process.is_alive() and newest_step(run / "checkpoints") < 9:
        time.sleep(0.002)
    process.kill()
    process.join()
    killed = newest_step(run / "checkpoints")
    assert 9 <= killed < 24
    process = begin(config, pictures, run)
    for each in (process, whole):
        each.join()
        assert each.exitcode == 0
    assert players(run) == players(tmp_path / "whole")
    assert figures(run) == figures(tmp_path / "whole")
