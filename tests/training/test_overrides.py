"""Overrides inside lists and levels, and swaps of a component for another."""

from __future__ import annotations

from typing import Any

import pytest

from vocabula.errors import OptionError
from vocabula.training import check_config, config_from_sections, load_config
from vocabula.training.config import RunConfig
from vocabula.training.overrides import parse_override

BOOK = '{name="vector",dim=16,codebook_size=8}'
PRODUCT = f'{{name="product",parts=[{BOOK},{BOOK}]}}'
NESTED = (
    f"quantizer={{name='residual',stages=[{PRODUCT},{{name='vector',dim=32,codebook_size=8}}]}}"
)


def sizes(config: RunConfig, section: str = "quantizer") -> list[Any]:
    table: Any = config.sections
    for key in section.split("."):
        table = table[key]
    return [stage.get("codebook_size") for stage in table["stages"]]


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("a.stages[0].b=1", ("a", "stages", "0", "b")),
        ("a.stages[ * ].b=1", ("a", "stages", "*", "b")),
        ("a.stages.*.b=[1]", ("a", "stages", "*", "b")),
        ("a.b[-1]=1", ("a", "b", "-1")),
    ],
)
def test_items_are_written_with_dots_or_brackets(text: str, keys: tuple[str, ...]) -> None:
    assert parse_override(text)[0] == keys


def test_overrides_reach_the_items_of_a_list() -> None:
    assert sizes(load_config("photos")) == [32, 32]
    assert sizes(load_config("photos", ["quantizer.stages.*.codebook_size=64"])) == [64, 64]
    assert sizes(load_config("photos", ["quantizer.stages.0.codebook_size=64"])) == [64, 32]
    assert sizes(load_config("photos", ["quantizer.stages[1].codebook_size=64"])) == [32, 64]
    both = ["quantizer.stages.*.codebook_size=64", "quantizer.stages.1.codebook_size=8"]
    assert sizes(load_config("photos", both)) == [64, 8]


def test_overrides_reach_components_and_lists_inside_items() -> None:
    config = load_config("photos", ["quantizer.stages.1.learning.decay=0.5"])
    first, second = config.sections["quantizer"]["stages"]
    assert "learning" not in first
    assert second["learning"]["decay"] == 0.5
    config = load_config("photos", [NESTED, "quantizer.stages.0.parts.*.codebook_size=4"])
    parts = config.sections["quantizer"]["stages"][0]["parts"]
    assert [part["codebook_size"] for part in parts] == [4, 4]


def test_an_item_is_swapped_for_another_component() -> None:
    config = load_config("photos", ["quantizer.stages.0=gumbel"])
    assert config.sections["quantizer"]["stages"][0] == {
        "name": "gumbel",
        "dim": 32,
        "codebook_size": 32,
    }
    config = load_config("photos", ["quantizer.stages.0.name=gumbel"])
    assert config.sections["quantizer"]["stages"][0]["name"] == "gumbel"


def test_overrides_reach_plain_items() -> None:
    config = load_config("cifar10-fsq", ["quantizer.levels.1=5"])
    assert config.sections["quantizer"]["levels"] == [8, 5, 8]
    config = load_config("cifar10-fsq", ["quantizer.levels.*=6"])
    assert config.sections["quantizer"]["levels"] == [6, 6, 6]


def test_a_list_is_built_on_after_it_was_set() -> None:
    stage = 'training.stages=[{train=["encoder"],steps=5}]'
    config = load_config("cifar10", [stage, "training.stages.*.steps=3"])
    assert config.sections["training"]["stages"] == [{"train": ["encoder"], "steps": 3}]


def test_an_item_that_stands_again_is_changed_where_it_stands_first() -> None:
    shared = f"quantizer={{name='residual',stages=[{BOOK},{{same_as=0}}]}}"
    config = load_config("photos", [shared, "quantizer.stages.*.codebook_size=4"])
    assert sizes(config) == [4, None]
    with pytest.raises(OptionError, match=r"same object as quantizer\.stages\.0"):
        load_config("photos", [shared, "quantizer.stages.1.codebook_size=4"])


def test_overrides_reach_every_level() -> None:
    options = ["levels.*.quantizer.stages.*.codebook_size=8"]
    config = load_config("photos-2level", options)
    assert sizes(config, "level1.quantizer") == sizes(config, "level2.quantizer") == [8, 8]


def test_overridden_lists_are_compared_as_what_they_are() -> None:
    options = ["quantizer.stages.*.codebook_size=64"]
    config = load_config("photos", options)
    again = config_from_sections(config.sections, config.preset)
    assert again.fingerprint() == config.fingerprint()
    assert load_config("photos", options).fingerprint() == config.fingerprint()
    assert config.fingerprint() != load_config("photos").fingerprint()


@pytest.mark.parametrize(
    ("preset", "override", "message"),
    [
        ("photos", "quantizer.stages.2.dim=8", r"stages\.2: expected a number from 0 to 1 or \*"),
        ("photos", "quantizer.stages.-1.dim=8", r"expected a number from 0 to 1 or \*, got -1"),
        ("photos", "quantizer.stages.x.dim=8", r"expected a number from 0 to 1 or \*, got x"),
        ("photos", "quantizer.stages.0.codebok_size=8", r"did you mean 'codebook_size'"),
        ("photos", "quantizer.stages.*.codebook_size=0", r"stages\[0\]\.codebook_size: .*got 0"),
        ("photos", "quantizer.stages.*.codebook_size=many", r"an integer >= 1, got 'many'"),
        ("photos", "quantizer.stages.*=4", r"stages\.0: expected a component's name, got 4"),
        ("photos", "quantizer.stages.0=vectr", r"did you mean 'vector'"),
        ("photos", "quantizer.repeat.*=2", r"quantizer\.repeat is no list"),
        (
            "photos",
            "quantizer.codebook_size=64",
            r"'residual', the quantizer here.*stages\.\*\.cod",
        ),
        ("cifar10", "quantizer.*.dim=8", r"quantizer\.\*: unknown option of 'vector'"),
        ("cifar10", "quantizer.learning.*.decay=8", r"quantizer\.learning is no list"),
        ("cifar10", "quantizer.learning.0=8", r"quantizer\.learning is no list"),
        ("cifar10", "training.stages.0.steps=8", r"training\.stages is empty"),
        (
            "cifar10-fsq",
            "quantizer.codebook_size=8",
            r"'finite_scalar', the quantizer here.*gumbel, v",
        ),
        ("cifar10-fsq", "quantizer.levels.3=8", r"levels\.3: expected a number from 0 to 2"),
        ("cifar10-fsq", "quantizer.levels.0=1", r"levels: expected a list"),
        ("cifar10-fsq", "quantizer.levels.0.x=1", r"quantizer\.levels\.0 is 8"),
        ("cifar10-fsq", "quantizer=vector", r"VectorQuantizer needs dim, codebook_size"),
        ("photos-2level", "quantizer.dim=8", r"write level1\.quantizer, or levels\.\*\.quantizer"),
        (
            "photos-2level",
            "levels.1.quantizer.dim=8",
            r"expected levels\.\* or a level, level1, le",
        ),
        ("photos", "levels.*.quantizer.dim=8", r"levels: unknown section"),
    ],
)
def test_wrong_places_and_options_say_what_there_is(
    preset: str, override: str, message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        check_config(load_config(preset, [override]))


@pytest.mark.parametrize("option", ["quantizer", "quantizer.name"])
def test_a_swap_takes_over_what_the_parts_agree_on_and_says_so(option: str) -> None:
    config = load_config("photos", [f"{option}=vector"])
    assert config.sections["quantizer"] == {"name": "vector", "dim": 32, "codebook_size": 32}
    assert config.notes == (
        "quantizer: vector in place of residual keeps dim, codebook_size and leaves out stages",
    )


def test_a_swap_adds_up_the_widths_of_a_product() -> None:
    config = load_config("photos", [f"quantizer={PRODUCT}", "quantizer=vector"])
    assert config.sections["quantizer"] == {"name": "vector", "dim": 32, "codebook_size": 8}
    config = load_config("photos", [NESTED, "quantizer=gaussian"])
    assert config.sections["quantizer"] == {"name": "gaussian", "dim": 32}


def test_a_swap_takes_no_option_that_the_parts_differ_in() -> None:
    options = ["quantizer.stages.0.codebook_size=64", "quantizer=vector"]
    with pytest.raises(OptionError, match=r"quantizer\.codebook_size: expected .* got nothing"):
        load_config("photos", options)
    config = load_config("photos", [*options, "quantizer.codebook_size=256"])
    assert config.sections["quantizer"]["codebook_size"] == 256


def test_a_swap_inside_a_level_takes_over_as_well() -> None:
    config = load_config("photos-2level", ["levels.*.quantizer=vector"])
    for level in ("level1", "level2"):
        book = config.sections[level]["quantizer"]
        assert book == {"name": "vector", "dim": 32, "codebook_size": 16}
    assert [note.partition(":")[0] for note in config.notes] == [
        "level1.quantizer",
        "level2.quantizer",
    ]


def test_what_swaps_nothing_has_no_note() -> None:
    assert load_config("photos", ["quantizer=residual", "training.steps=2"]).notes == ()
