"""The forecast of memory counts discriminators, their optimizers and perceptual networks."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from processes import FORKED
from vocabula.training.config import RunConfig, config_from_sections
from vocabula.training.forecast import Forecast, forecast
from vocabula.training.looks.checks import look_settings
from vocabula.training.probe import measure_step
from vocabula.training.run import train
from vocabula.training.session import prepare
from vocabula.training.workloads import tokenizer_workload

GB = 10**9


def configured(sections: dict[str, Any], hidden: int, **training: Any) -> RunConfig:
    """A run whose discriminator has 18 hidden^2 weights and some more, from the first step on."""
    looks = {"start": 0, "warmup": 0, "ramp": 0}
    looks["discriminator"] = {"name": "patch", "hidden": hidden, "layers": 1}
    options = {**sections["training"], "batch_size": 2, "steps": 2, **training}
    return config_from_sections({**sections, "adversary": looks, "training": options})


def pictures(folder: Path) -> Path:
    """Two pictures of 16 x 16."""
    values = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 1), dtype=np.uint8)
    np.save(folder / "pictures.npy", values)
    return folder / "pictures.npy"


def outlook(config: RunConfig, data: Path) -> Forecast:
    options, accelerator = prepare(config)
    images = config.build("data")
    looks = look_settings(config)
    workload = tokenizer_workload(
        config, images, images.open(data), options, accelerator, looks=looks
    )
    found = forecast(workload, options, config.build("optimizer"), accelerator, command=str)
    assert found is not None
    return found


def test_what_is_kept_is_counted_by_hand(sections: dict[str, Any], tmp_path: Path) -> None:
    hidden = 96
    config = configured(sections, hidden)
    options, accelerator = prepare(config)
    images = config.build("data")
    source = images.open(pictures(tmp_path))
    looks = look_settings(config)
    workload = tokenizer_workload(config, images, source, options, accelerator, looks=looks)
    cost = measure_step(
        workload.make,
        workload.batch,
        workload.trial_sizes(),
        options=options,
        optimizer=config.build("optimizer"),
        device=torch.device("cpu"),
    )
    weights = 4 * (9 * 2 * hidden**2 + 9 * 2 * hidden)  # of the second layer and of the last one
    weights += 4 * (10 * hidden + 2 * hidden + 1)  # of the first one, with biases
    # Adam keeps two numbers for each; gradients and what spectral norm keeps come on top
    assert 3 * weights < cost.kept < 3 * weights + 100_000
    assert cost.saving == pytest.approx(2 * 2 * weights, rel=0.01)
    gradients = max(max(trial.series) for trial in cost.trials)
    assert gradients > weights


def measure(config: RunConfig, data: Path, out: Path) -> None:
    """Train in a process of its own, and note its peak."""
    train(config, data, out, progress=False)
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (out / "peak").write_text(str(peak))


def foresee(config: RunConfig, data: Path, out: Path) -> None:
    """Note the forecast of a process."""
    out.write_text(str(outlook(config, data).memory))


@pytest.mark.slow
def test_the_forecast_with_an_adversary_is_that_of_the_process(
    sections: dict[str, Any], tmp_path: Path
) -> None:
    data, run, seen = pictures(tmp_path), tmp_path / "run", tmp_path / "forecast"
    for work, out, checked in ((measure, run, False), (foresee, seen, True)):
        config = configured(sections, 768, memory_check=checked)
        process = FORKED.Process(target=work, args=(config, data, out))
        process.start()
        process.join()
        assert process.exitcode == 0
    peak, found = int((run / "peak").read_text()), int(seen.read_text())
    assert 0.75 * peak < found < peak + 0.6 * GB, (found / GB, peak / GB)
