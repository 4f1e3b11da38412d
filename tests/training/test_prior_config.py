"""Configurations of priors: their own sections, the same overrides, nothing that data decide."""

from __future__ import annotations

from pathlib import Path

import pytest

from vocabula.errors import OptionError
from vocabula.training.config import explain, load_config
from vocabula.training.preset_files import prior_preset_names

SECTIONS = (
    *("prior", "conditioning", "captions", "held_out", "context"),
    *("optimizer", "schedule", "training"),
)


def test_every_model_has_a_preset() -> None:
    assert prior_preset_names() == [
        "pixelcnn",
        "pixelsnail",
        "portable",
        "portable-photos",
        "transformer",
    ]
    for name in prior_preset_names():
        config = load_config(name)
        assert tuple(config.sections) == SECTIONS
        assert config.sections["prior"]["name"] == name.split("-")[0]
        assert config.description


def test_overrides_reach_every_section() -> None:
    overrides = ["prior.layers=4", "conditioning.dropout=0.2", "training.steps=7"]
    values = load_config("pixelcnn", [*overrides, "captions.length=12", "optimizer=sgd"]).flat()
    assert (values["prior.layers"], values["conditioning.dropout"]) == (4, 0.2)
    assert (values["training.steps"], values["captions.length"]) == (7, 12)
    assert values["optimizer"] == "sgd"


def test_another_model_keeps_the_options_that_both_have() -> None:
    config = load_config("pixelcnn", ["prior.hidden=32", "prior=pixelsnail"])
    assert config.sections["prior"] == {
        "name": "pixelsnail",
        "hidden": 32,
        "kernel": 3,
        "dropout": 0.1,
    }


def test_what_the_data_decide_is_neither_shown_nor_taken() -> None:
    options = {row.option for row in explain(load_config("transformer"))}
    assert "prior.hidden" in options and "conditioning.dropout" in options
    assert not {"prior.codes", "prior.conditioning", "conditioning.classes"} & options
    for option in ("prior.codes=[]", "conditioning.text_length=3", "conditioning.classes=1"):
        with pytest.raises(OptionError, match="follows from the tokens and captions: leave it out"):
            load_config("transformer", [option])
    with pytest.raises(OptionError, match=r"encoder: unknown section, expected one of prior"):
        load_config("transformer", ["encoder.hidden=3"])


def test_a_file_extends_a_model(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('extends = "transformer"\n[prior]\nhidden = 64\n[held_out]\nevery = 10\n')
    config = load_config(path)
    assert config.sections["prior"]["hidden"] == 64
    assert config.sections["prior"]["layers"] == 4
    assert config.sections["held_out"] == {"name": "held_out", "every": 10}
