from __future__ import annotations

import pytest

from vocabula.errors import OptionError
from vocabula.registry import build
from vocabula.training.settings import PARTS, Stage
from vocabula.training.stages import stage_at, trained_parts

STAGES = (Stage(train=("encoder", "quantizer"), steps=3), Stage(train=("decoder",), steps=2))


def test_steps_fall_into_their_stages() -> None:
    assert [stage_at(STAGES, s) for s in range(7)] == [0, 0, 0, 1, 1, 2, 2]
    assert stage_at((), 0) == 0


def test_after_the_last_stage_everything_learns() -> None:
    assert trained_parts(STAGES, 0) == ("encoder", "quantizer")
    assert trained_parts(STAGES, 2) == PARTS
    assert trained_parts((), 0) == PARTS


def test_an_unknown_part_is_refused_by_name() -> None:
    with pytest.raises(OptionError, match=r"stages\[0\]\.train.*'encoder'.*encodr"):
        build("training", {"stages": [{"train": ["encodr"], "steps": 3}]}, path="training")
