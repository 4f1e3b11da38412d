"""Time and memory of a run, known before it begins."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from vocabula.errors import OptionError
from vocabula.training import forecast as forecasts
from vocabula.training.config import RunConfig, config_from_sections
from vocabula.training.forecast import Forecast, forecast
from vocabula.training.live_memory import LiveMemory
from vocabula.training.probe import StepCost, _Trial
from vocabula.training.quantities import duration, gigabytes
from vocabula.training.run import train
from vocabula.training.session import prepare
from vocabula.training.workloads import known_attributes, signal_of, tokenizer_workload

DIGITS = "sample:digits"
GB = 10**9


def configured(sections: dict[str, Any], **options: Any) -> RunConfig:
    options = {"memory_check": True, **options}
    return config_from_sections({**sections, "training": {**sections["training"], **options}})


def outlook(config: RunConfig, **options: Any) -> Forecast:
    training, accelerator = prepare(config)
    images = config.build("data")
    workload = tokenizer_workload(config, images, images.open(DIGITS), training, accelerator)
    found = forecast(
        workload,
        training,
        config.build("optimizer"),
        accelerator,
        command=lambda *more: " ".join(["COMMAND", *more]),
        **options,
    )
    assert found is not None
    return found


def test_moments_are_extrapolated_each_by_itself() -> None:
    # Activations grow with the work, gradients do not: at 1 and 2 the latter are the peak.
    trials = (_Trial(1, 0.1, [10, 100]), _Trial(2, 0.3, [20, 100]))
    cost = StepCost(parameters=0, base=0, kept=0, saving=0, trials=trials)
    assert cost.peak(5) == int(1.2 * 100)
    assert cost.peak(50) == int(1.2 * 500)
    assert cost.seconds(4) == pytest.approx(0.6)  # 0.15 for each unit of work and no more


def test_noise_in_two_short_times_does_not_make_a_long_one() -> None:
    trials = (_Trial(100, 0.010, [1]), _Trial(101, 0.030, [1]))
    cost = StepCost(parameters=0, base=0, kept=0, saving=0, trials=trials)
    assert cost.seconds(1010) == pytest.approx(0.3)  # not 0.030 + 0.020 x 909


def test_a_checkpoint_may_take_more_than_a_step() -> None:
    cost = StepCost(0, base=1, kept=2, saving=10**9, trials=(_Trial(1, 0.1, [10]),))
    assert cost.total(1) > 10**9


def test_extrapolated_memory_is_that_of_the_whole_batch(
    sections: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configured(sections, batch_size=512)
    whole = outlook(config)
    monkeypatch.setattr("vocabula.training.probe.LONGEST", 0.0)  # the whole batch is never tried
    monkeypatch.setattr("vocabula.training.probe._worthwhile", lambda trials, *_: len(trials) < 2)
    found = outlook(config)
    assert found.memory == pytest.approx(whole.memory, rel=0.1)
    assert found.parameters == whole.parameters


@pytest.mark.slow
def test_more_than_there_is_is_refused_with_what_fits(
    sections: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def room(items: int) -> int:
        config = configured(sections, batch_size=items)
        return outlook(config).memory

    sections["data"] |= {"crop": 8}
    sections["encoder"]["hidden"] = sections["decoder"]["hidden"] = 64
    monkeypatch.setattr("vocabula.training.probe.resident_memory", lambda: 10**8)
    small, large = room(1024), room(4096)
    assert large > small
    monkeypatch.setattr(forecasts, "_SPARE", 1.0)
    monkeypatch.setattr(forecasts, "resident_memory", lambda: 0)
    monkeypatch.setattr(forecasts, "free_memory", lambda _: (small + large) // 2)
    with pytest.raises(OptionError, match=r"^memory: expected at most .* GB") as caught:
        outlook(configured(sections, batch_size=4096))
    text = str(caught.value)
    setting = text.partition("COMMAND ")[2].split()[0]
    assert setting in ("training.accumulate=2", "training.accumulate=4"), text
    parts = int(setting.partition("=")[2])
    assert outlook(configured(sections, batch_size=4096, accumulate=parts)).memory < large
    assert "training.memory_check=false" in text
    unchecked = configured(sections, batch_size=4096, memory_check=False)
    training, accelerator = prepare(unchecked)
    workload: Any = None
    optimizer = unchecked.build("optimizer")
    assert forecast(workload, training, optimizer, accelerator, command=str) is None


def test_where_one_item_is_too_much_a_smaller_crop_is_named(
    sections: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = (_Trial(32 * 32, 0.1, [32 * 32 * 10**4]), _Trial(64 * 64, 0.4, [64 * 64 * 10**4]))
    cost = StepCost(parameters=10, base=0, kept=0, saving=0, trials=trials)
    monkeypatch.setattr(forecasts, "measure_step", lambda *_, **__: cost)
    monkeypatch.setattr(forecasts, "resident_memory", lambda: 0)
    monkeypatch.setattr(forecasts, "free_memory", lambda _: GB // 2)
    config = configured(sections, batch_size=8)
    training, accelerator = prepare(config)
    workload = forecasts.Workload(make=Any, batch=Any, size=(8, 256, 256))  # type: ignore[arg-type]
    call: dict[str, Any] = {"command": lambda *more: " ".join(more)}
    # 450 MB less 50 for libraries, at 12 kB a pixel: 176 x 176 fit, 192 x 192 do not
    with pytest.raises(OptionError, match=r"data\.crop=176 training\.accumulate=8"):
        forecast(workload, training, config.build("optimizer"), accelerator, **call)
    with pytest.raises(OptionError, match="smaller networks"):  # a resumed run keeps its crop
        forecast(workload, training, config.build("optimizer"), accelerator, resumed=True, **call)


def test_a_model_that_cannot_even_be_made_is_refused_unharmed(
    sections: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vocabula.training.probe.free_memory", lambda _: 1000)
    with pytest.raises(OptionError, match=r"smallest step; .*memory_check=false"):
        train(configured(sections), DIGITS, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_measuring_leaves_the_run_as_it_was(sections: dict[str, Any], tmp_path: Path) -> None:
    sections["quantizer"]["sampling_temperature"] = 0.1  # random draws in every step
    train(configured(sections), DIGITS, tmp_path / "measured", progress=False)
    train(configured(sections, memory_check=False), DIGITS, tmp_path / "not", progress=False)
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("measured", "not"))
    assert one.keys() == other.keys()
    assert all(value.equal(other[name]) for name, value in one.items())


@pytest.mark.slow
def test_the_forecast_of_a_small_run_is_that_of_the_process(sections: dict[str, Any]) -> None:
    import psutil

    sections["encoder"]["hidden"] = sections["decoder"]["hidden"] = 32
    config = configured(sections, batch_size=1024)
    found = outlook(config)
    gc.collect()
    held = psutil.Process().memory_info().rss
    assert 0.75 * held < found.memory < held + 0.6 * GB
    assert found.seconds > 0


def test_numbers_in_words() -> None:
    assert [gigabytes(n) for n in (7.44e9, 3.1e8, 5e6, 10)] == ["7.4 GB", "0.3 GB", "5 MB", "1 MB"]
    words = [duration(s) for s in (0.2, 90, 600, 3 * 3600, 5 * 86400)]
    assert words == ["1 s", "90 s", "10 min", "3 h", "5 days"]


def test_the_count_ends_with_the_block() -> None:
    with LiveMemory() as memory:
        torch.zeros(4)
    torch.zeros(4)
    assert len(memory.series) == 1


def test_trials_are_no_smaller_than_what_the_steps_take() -> None:
    plain, needing = (
        forecasts.Workload(make=Any, batch=Any, size=(8, 64, 96), least=least)  # type: ignore[arg-type]
        for least in (1, 44)
    )
    assert plain.trial_sizes() == [(1, 32, 32), (1, 64, 64), (8, 64, 96)]
    assert needing.trial_sizes() == [(1, 48, 48), (1, 64, 96), (8, 64, 96)]


def test_trials_of_recordings_are_fewer_of_the_same_length() -> None:
    workload = forecasts.Workload(make=Any, batch=Any, size=(100, 4800))  # type: ignore[arg-type]
    assert workload.trial_sizes() == [(2, 4800), (13, 4800), (100, 4800)]


def test_where_recordings_are_too_many_the_line_speaks_of_no_crop(
    sections: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = (_Trial(48000, 0.1, [4 * 10**8]), _Trial(96000, 0.2, [8 * 10**8]))
    cost = StepCost(parameters=10, base=0, kept=0, saving=0, trials=trials)
    monkeypatch.setattr(forecasts, "measure_step", lambda *_, **__: cost)
    monkeypatch.setattr(forecasts, "resident_memory", lambda: 0)
    config = configured(sections, batch_size=8)
    training, accelerator = prepare(config)
    workload = forecasts.Workload(
        make=Any,  # type: ignore[arg-type]
        batch=Any,
        size=(8, 48000),
        unit="recordings",
        smaller="use a smaller data.segment",
    )
    call: dict[str, Any] = {"command": lambda *more: " ".join(more)}
    for room, advice in (
        (3, "run again with training.accumulate=2: "),
        (0.1, "use a smaller data"),
    ):
        monkeypatch.setattr(forecasts, "free_memory", lambda _, room=room: int(room * GB))
        with pytest.raises(OptionError, match=f"8 recordings at a time; {advice}"):
            forecast(workload, training, config.build("optimizer"), accelerator, **call)


def test_a_trial_step_exchanges_voices(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = {"name": "vector", "dim": 8, "codebook_size": 16}
    parts = {"hop": 50, "hidden": 8, "blocks": 1}
    config = config_from_sections(
        {
            "signal": {"name": "audio", "sample_rate": 8000},
            "data": {"name": "audio", "segment": 0.1},
            "encoder": {"name": "mel", "window": 100, "bands": 20, **parts},
            "quantizer": stage,
            "decoder": {"name": "vocos_film", "window": 100, "given": ["timbre"], **parts},
            "likelihood": {"name": "spectral", "windows": [64]},
            "training": {"steps": 40, "batch_size": 4, "exchange": 0.5},
        }
    )
    training, accelerator = prepare(config)
    reading = config.build("data").for_signal(signal_of(config, 1))
    source = reading.open("sample:tones")
    known = known_attributes(config, source)
    workload = tokenizer_workload(config, reading, source, training, accelerator, known)
    trainer = workload.make(training, accelerator)
    seen: list[int] = []
    exchanged = trainer.tokenizer.exchanged

    def counted(values: torch.Tensor, *others: Any) -> torch.Tensor:
        seen.append(len(values))
        return exchanged(values, *others)

    monkeypatch.setattr(trainer.tokenizer, "exchanged", counted)
    trainer.compute_gradients(workload.batch((3, 800)))
    assert seen == [3]
