from __future__ import annotations

import pytest
import torch

from vocabula.errors import OptionError, ShapeError
from vocabula.levels import is_level, level_name, level_names, levels_of, only


def test_levels_are_counted_from_one_and_sorted_as_numbers() -> None:
    assert [level_name(i) for i in range(3)] == ["level1", "level2", "level3"]
    names = [f"level{i}" for i in (10, 9, 8, 7, 6, 5, 4, 3, 2, 1)]
    assert level_names([*names, "data", "levels", "level01", "level0"]) == names[::-1]
    assert level_names(["encoder", "data"]) == []
    assert is_level("level2") and not is_level("level") and not is_level("level2.quantizer")


def test_a_missing_level_is_named() -> None:
    with pytest.raises(OptionError, match="without gaps, got level1, level3"):
        level_names(["level3", "level1"])


def test_one_tensor_is_the_only_level() -> None:
    one, other = torch.zeros(2, 3), torch.ones(1)
    assert levels_of(one) == (one,)
    assert levels_of([one, other]) == (one, other)
    assert only((one,), "codes") is one
    with pytest.raises(ShapeError, match="codes: expected a single level, got 2 levels"):
        only((one, other), "codes")
