from __future__ import annotations

from pathlib import Path

import pytest

from vocabula.errors import OptionError
from vocabula.training.config import explain, load_config
from vocabula.training.overrides import parse_override
from vocabula.training.preset_files import preset_names
from vocabula.training.sections import section_names

PRESETS = [
    "audio-24k",
    "audio-44k",
    "cifar10",
    "cifar10-2level",
    "cifar10-fsq",
    "cifar10-gumbel",
    "cifar10-lfq",
    "cifar10-multiscale",
    "cifar10-simvq",
    "cifar10-vae",
    "digits",
    "image-256",
    "image-256-3level",
    "image-256-gan",
    "photos",
    "photos-2level",
    "photos-gan",
    "photos-rd",
    "speech-16k",
    "speech-2level-8k",
    "speech-8k",
    "speech-8k-gan",
    "speech-units-8k",
    "speech-voices-8k",
    "tones",
    "vectors",
    "vectors-vqvae",
]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a.b=0.5", 0.5),
        ("a.b=3e-4", 3e-4),
        ("a.b=true", True),
        ("a.b=[8, 8, 5]", [8, 8, 5]),
        ("a.b=ema", "ema"),
        ("a.b = 'quoted' ", "quoted"),
        ("a.b={name='ema', decay=0.9}", {"name": "ema", "decay": 0.9}),
        ("a.b=x=y", "x=y"),
        ("a.b=", ""),
    ],
)
def test_override_values_are_toml_or_plain_text(text: str, value: object) -> None:
    assert parse_override(text) == (("a", "b"), value)


@pytest.mark.parametrize("text", ["steps", "=3", "a..b=3", ""])
def test_an_override_without_option_or_value_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match=r"section\.option=value"):
        parse_override(text)


def test_every_preset_loads_with_every_section() -> None:
    assert preset_names() == PRESETS
    for name in PRESETS:
        config = load_config(name)
        assert tuple(config.sections) == section_names(config.sections)
        assert config.description


def test_cifar10_is_the_published_setting() -> None:
    values = load_config("cifar10").flat()
    published = {
        "encoder.hidden": 128,
        "encoder.residual_layers": 2,
        "encoder.residual_hidden": 32,
        "encoder.downsample": 4,
        "decoder.downsample": 4,
        "quantizer": "vector",
        "quantizer.dim": 64,
        "quantizer.codebook_size": 512,
        "quantizer.commitment_weight": 0.25,
        "quantizer.learning": "ema",
        "quantizer.learning.decay": 0.99,
        "optimizer": "adam",
        "optimizer.learning_rate": 3e-4,
        "schedule": "constant",
        "training.batch_size": 32,
        "training.steps": 10_000,
    }
    assert {key: values[key] for key in published} == published
    # the notebook's figure for CIFAR-10, on the scale of images / 255
    assert values["likelihood.variance"] == pytest.approx(0.06327407568454742)


def test_overrides_reach_nested_components() -> None:
    config = load_config("cifar10", ["quantizer.learning.decay=0.9", "training.steps=7"])
    assert config.flat()["quantizer.learning.decay"] == 0.9
    assert config.flat()["training.steps"] == 7
    # digits leaves the learning rule at its default, which is built on
    assert load_config("digits", ["quantizer.learning.decay=0.9"]).flat() == {
        **load_config("digits").flat(),
        "quantizer.learning.decay": 0.9,
    }


def test_swapping_a_nested_component_drops_what_it_does_not_have() -> None:
    config = load_config("cifar10", ["quantizer.learning=gradient"])
    assert config.flat()["quantizer.learning"] == "gradient"
    assert "quantizer.learning.decay" not in config.flat()


@pytest.mark.parametrize("option", ["quantizer", "quantizer.name"])
def test_swapping_the_quantizer_keeps_shared_options_only(option: str) -> None:
    config = load_config("cifar10", [f"{option}=gumbel"])
    assert config.sections["quantizer"] == {"name": "gumbel", "dim": 64, "codebook_size": 512}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("quantiser.dim=3", r"quantiser: unknown section.*did you mean 'quantizer'"),
        ("quantizer.dimm=3", r"quantizer\.dimm: unknown option.*did you mean 'dim'"),
        ("quantizer.dim=0", r"quantizer\.dim: expected an integer >= 1.*got 0"),
        ("quantizer=vectr", r"quantizer.*got 'vectr'; did you mean 'vector'"),
        ("quantizer.learning.deca=3", r"learning\.deca: unknown option.*did you mean 'decay'"),
        ("quantizer.learning.decay=1.5", r"learning\.decay: expected a number.*got 1\.5"),
        ("quantizer.learning=emma", r"learning.*got 'emma'.*did you mean 'ema'"),
        ("training.steps=many", r"training\.steps: expected an integer >= 1, got 'many'"),
        ("training.steps.x=1", r"training\.steps has no options of its own"),
        ("training.precision=fp8", r"training\.precision: expected one of 'no', 'bf16'"),
        ("optimizer=adm", r"optimizer.*did you mean 'adam'"),
        ("schedule.final=0.5", r"schedule\.final: unknown option"),
        ("encoder=3", r"encoder: expected a component's name, got 3"),
    ],
)
def test_wrong_overrides_name_option_value_and_nearest_name(override: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        load_config("cifar10", [override])


def test_an_unknown_preset_gets_the_nearest_name() -> None:
    with pytest.raises(OptionError, match=r"got 'cifar'; did you mean 'cifar10'"):
        load_config("cifar")


def test_a_file_extends_a_preset(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('extends = "digits"\n[training]\nsteps = 5\n[quantizer]\ndim = 8\n')
    config = load_config(path)
    assert config.sections["training"]["steps"] == 5
    assert config.sections["training"]["batch_size"] == 64
    assert config.sections["quantizer"] == {"name": "vector", "dim": 8, "codebook_size": 64}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = ", "expected a TOML file"),
        ("[trainning]\nsteps = 3", "did you mean 'training'"),
        ("[encoder]\nname = 'vqvae'", r"quantizer\.name.*got nothing"),
        ("extends = 'digits'\n[training]\nsteps = 0", r"training\.steps.*>= 1.*got 0"),
        ("extends = 'digitz'", "did you mean 'digits'"),
    ],
)
def test_wrong_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(OptionError, match=message):
        load_config(path)


def test_files_that_are_missing_or_extend_themselves_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    with pytest.raises(OptionError, match="expected a readable file, got nothing"):
        load_config(path)
    path.write_text(f"extends = '{path.as_posix()}'")
    with pytest.raises(OptionError, match="circle"):
        load_config(path)


def test_explained_options_carry_value_default_range_and_meaning() -> None:
    rows = {row.option: row for row in explain(load_config("cifar10", ["training.steps=7"]))}
    row = rows["training.steps"]
    assert (row.value, row.default, row.accepted) == (7, 10_000, "an integer >= 1")
    assert row.help
    assert rows["quantizer"].value == "vector"
    assert "lookup_free" in rows["quantizer"].accepted
    assert "encoder.in_channels" not in rows  # follows from the data
    assert all(row.help for row in rows.values())


def test_the_fingerprint_depends_on_values_alone() -> None:
    plain = load_config("digits")
    assert plain.fingerprint() == load_config("digits", ["training.seed=0"]).fingerprint()
    assert plain.fingerprint() != load_config("digits", ["training.seed=1"]).fingerprint()


@pytest.mark.parametrize("stages", ["1", "abc", "[1,2]"])
@pytest.mark.parametrize("preset", ["vectors", "photos"])
def test_stages_that_are_no_quantizers(preset: str, stages: str) -> None:
    with pytest.raises(OptionError, match=r"^quantizer\.stages"):
        load_config(preset, [f"quantizer.stages={stages}"])
