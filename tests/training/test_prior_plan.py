"""What `train_prior` says before it starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from vocabula.training import load_config, train_prior

TINY = {
    "pixelcnn": ["prior.hidden=8", "prior.layers=2"],
    "pixelsnail": ["prior.hidden=8", "prior.blocks=1", "prior.residuals=1", "prior.heads=2"],
    "transformer": ["prior.hidden=16", "prior.layers=1", "prior.heads=2"],
    "portable": ["prior.hidden=8", "prior.layers=1"],
}
STEPS = ["training.steps=3", "training.batch_size=8", "training.threads=1"]


@pytest.mark.slow
@pytest.mark.parametrize("model", sorted(TINY))
def test_what_a_run_will_do_is_said_first_and_changes_nothing(
    tmp_path: Path, coded: Callable[..., Any], model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made = coded(40)
    runs = {"measured": "true", "not": "false"}
    for name, check in runs.items():
        options = [*TINY[model], *STEPS, f"training.memory_check={check}"]
        config, measured = load_config(model, options), name == "measured"
        train_prior(config, made.run, made.tokens, tmp_path / name, progress=measured)
    lines = capsys.readouterr().err.splitlines()
    said = [line for line in lines if not line.startswith(("measuring", "warning"))]
    begins = [line.partition(":")[0] for line in said[:5]]
    assert begins == ["data", "codes", "model", "steps", "expect"]
    assert "38 signals" in said[0] and "2 held out" in said[0]
    assert "4 x 4 of 1 book of 16" in said[1]
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in runs)
    assert one.keys() == other.keys()
    assert all(value.equal(other[name]) for name, value in one.items())
