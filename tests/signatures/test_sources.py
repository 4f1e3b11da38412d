"""Components read from their sources have the options of the real ones, and import nothing."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from vocabula import registry
from vocabula.errors import OptionError
from vocabula.signatures import argument_help, describe, hints, kind_of, parameters

DECLARED = registry.SOURCES.declared
ALL = [(kind, name) for kind, found in sorted(DECLARED.items()) for name in sorted(found)]


def _options(cls: type) -> list[tuple[Any, ...]]:
    """What is known of a class's options; a default component as its settings."""
    described, found = argument_help(cls), []
    for p in parameters(cls):
        default = p.default
        if hasattr(default, "component_kind"):
            default = registry.spec(default)
        words = describe(hints(cls).get(p.name, Any), registry.names)
        kind = kind_of(hints(cls).get(p.name, Any))
        found.append((p.name, p.kind, words, repr(default), kind, described.get(p.name, "")))
    return found


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_declared_options_are_those_of_the_real_class(kind: str, name: str) -> None:
    declared = DECLARED[kind][name]
    real = registry.lookup(kind, name)
    assert declared.cls is not real
    assert (declared.module, declared.cls.__name__) == (real.__module__, real.__name__)
    assert _options(declared.cls) == _options(real)
    assert _kind(declared.cls) == _kind(real)


def _kind(cls: type) -> str | None:
    return getattr(cls, "component_kind", None)


def test_every_component_of_the_package_is_declared() -> None:
    for kind, name in ALL:  # imports all
        registry.lookup(kind, name)
    ours = {
        (kind, name)
        for kind, found in registry._COMPONENTS.items()
        for name, cls in found.items()
        if cls.__module__.startswith("vocabula.")
    }
    assert ours == set(ALL)


WRONG = [
    ("quantizer", {"name": "vector", "dim": 0, "codebook_size": 4}),
    ("quantizer", {"name": "vector", "dim": 4}),
    ("quantizer", {"name": "vector", "dim": 4, "codebook_size": 4, "distance": "cosin"}),
    ("quantizer", {"name": "vector", "dim": 4, "codebook_size": 4, "learning": {"name": "ena"}}),
    ("quantizer", {"name": "vector", "dim": 4, "codebook_size": 4, "learning": 3}),
    ("quantizer", {"name": "residual", "stages": [{"name": "vector", "dim": 2}]}),
    ("quantizer", {"name": "finite_scalar", "levels": [8, 1]}),
    ("encoder", {"name": "vqgan", "multipliers": []}),
    ("training", {"steps": 1.5}),
    ("training", {"stages": [{"train": ["encodr"], "steps": 2}]}),
    ("optimizer", {"name": "adam", "beta1": 1.0}),
    ("data", {"cache": "auto", "value_range": [0.0]}),
]


REFUSE = """
import sys
from vocabula import registry
from vocabula.errors import OptionError
for kind, settings in {wrong}:
    try:
        registry.check(kind, settings)
        print("nothing")
    except OptionError as error:
        print(error)
    assert "torch" not in sys.modules
"""


@pytest.fixture(scope="module")
def refused_before() -> list[str]:
    """What a process that imports no component says of each of `WRONG`, a line each."""
    code = REFUSE.replace("{wrong}", repr(WRONG))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.parametrize("place", range(len(WRONG)))
def test_checks_refuse_alike_before_and_after_the_import(
    place: int, refused_before: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, settings = WRONG[place]
    for declared in ALL:
        registry.lookup(*declared)
    ours = {name: registry.lookup(kind, name) for name in DECLARED[kind]}  # and no other test's
    monkeypatch.setitem(registry._COMPONENTS, kind, ours)
    with pytest.raises(OptionError) as refused:
        registry.check(kind, settings)
    assert len(refused_before) == len(WRONG)
    assert refused_before[place] == str(refused.value)


def test_a_component_of_a_user_is_listed_and_found_beside_the_declared_ones() -> None:
    @registry.component("schedule", "test stairs")
    class Stairs:
        """A schedule.

        Args:
            height: of a stair.
        """

        def __init__(self, height: int = 2) -> None:
            self.height = height

    try:
        assert {"cosine", "test stairs"} <= set(registry.names("schedule"))
        assert registry.lookup("schedule", "test stairs") is Stairs
        assert registry.signature("schedule", "test stairs") is Stairs
        assert [o.help for o in registry.options("schedule", "test stairs")] == ["of a stair."]
    finally:
        del registry._COMPONENTS["schedule"]["test stairs"]


def test_a_class_that_was_imported_stands_for_its_declaration() -> None:
    real = registry.lookup("quantizer", "vector")
    assert registry.signature("quantizer", "vector") is real
