"""Training a tokenizer of several levels: the same configuration, trainer, log and checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from steps import stop_at
from vocabula import load, open_source
from vocabula.errors import Interrupted, OptionError
from vocabula.evaluation import evaluate
from vocabula.files.run_files import read_log
from vocabula.reports.curves import training_curves
from vocabula.tokenizers import HierarchicalTokenizer, build_tokenizer
from vocabula.training import load_config, train
from vocabula.training.config import RunConfig, config_from_sections, explain
from vocabula.training.optimizers import Adam
from vocabula.training.schedules import Constant
from vocabula.training.settings import Stage, TrainingOptions
from vocabula.training.stages import set_trained_parts
from vocabula.training.trainer import Trainer

DIGITS = "sample:digits"
NET = {"name": "vqvae", "hidden": 4, "residual_layers": 1, "residual_hidden": 4, "downsample": 2}
CLOCKED = ("seconds", "images_per_second")


@pytest.fixture
def levels(sections: dict[str, Any]) -> dict[str, Any]:
    """Two levels so small that a step takes milliseconds; the coarse one has two books."""
    book = {"name": "vector", "dim": 4, "codebook_size": 8}
    coarse, fine = {"name": "residual", "stages": [book, book]}, {**book, "codebook_size": 16}
    kept = ("data", "optimizer", "training")
    return {
        "level1": {"encoder": dict(NET), "quantizer": coarse, "decoder": dict(NET)},
        "level2": {"encoder": dict(NET), "quantizer": fine, "decoder": dict(NET)},
        **{section: sections[section] for section in kept},
    }


def configured(levels: dict[str, Any], **options: Any) -> RunConfig:
    return config_from_sections({**levels, "training": {**levels["training"], **options}})


def trainer(levels: dict[str, Any], **options: Any) -> Trainer:
    torch.manual_seed(0)
    return Trainer(
        build_tokenizer(levels, 1),
        options=TrainingOptions(**{"steps": 10, "batch_size": 8, **options}),
        optimizer=Adam(learning_rate=1e-2),
        schedule=Constant(),
    )


def images(batch: int = 8) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, (batch, 1, 8, 8), dtype=torch.uint8, generator=generator)


# ---------------------------------------------------------------- configuration


def test_sections_of_levels_take_the_place_of_the_networks(levels: dict[str, Any]) -> None:
    config = configured(levels)
    assert list(config.sections) == [
        "level1", "level2", "likelihood", "data", "optimizer", "schedule", "training",
    ]  # fmt: skip
    rows = {row.option: row for row in explain(config)}
    assert rows["level2.quantizer.codebook_size"].value == 16
    assert rows["level1.encoder.downsample"].value == 2
    assert "level1.encoder.in_channels" not in rows  # follows from the finer level
    assert all(row.help for row in rows.values())


def test_overrides_reach_into_a_level() -> None:
    config = load_config(
        "cifar10-2level",
        ["level2.quantizer.codebook_size=64", "level1.quantizer.learning.decay=0.9"],
    )
    assert config.flat()["level2.quantizer.codebook_size"] == 64
    assert config.flat()["level1.quantizer.codebook_size"] == 16
    assert config.flat()["level1.quantizer.learning.decay"] == 0.9


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("quantizer.dim=8", "quantizer: unknown section, expected one of level1, level2, like"),
        ("level3.quantizer.dim=8", "level3: unknown section"),
        ("level2.quantizr.dim=8", r"level2\.quantizr: unknown option.*'quantizer'"),
        ("level2.quantizer.codebook_size=0", r"level2\.quantizer\.codebook_size: .*got 0"),
        ("level1.encoder.downsampel=2", r"level1\.encoder\.downsampel: unknown.*'downsample'"),
        ("level1.encoder=vqvea", r"level1\.encoder: .*did you mean 'vqvae'"),
        ("level1.size=3", r"level1\.size: unknown option"),
    ],
)
def test_wrong_overrides_name_level_and_option(override: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        load_config("cifar10-2level", [override])


def test_a_file_extends_a_hierarchy_or_turns_a_flat_preset_into_one(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('extends = "cifar10-2level"\n[level2.quantizer]\ncodebook_size = 64\n')
    config = load_config(path)
    assert config.flat()["level2.quantizer.codebook_size"] == 64
    assert config.sections["level2"]["encoder"]["downsample"] == 4
    assert config.sections["training"]["steps"] == 10_000
    parts = "".join(
        f'[level{i}.{part}]\nname = "{name}"\n{more}'
        for i in (1, 2)
        for part, name, more in (
            ("encoder", "vqvae", ""),
            ("quantizer", "vector", "dim = 4\ncodebook_size = 8\n"),
            ("decoder", "vqvae", ""),
        )
    )
    path.write_text(f'extends = "digits"\n{parts}')
    config = load_config(path)
    assert "encoder" not in config.sections and config.sections["data"]["channels"] == 1
    for wrong, message in (
        ('extends = "cifar10-2level"\n[encoder]\nhidden = 8\n', "encoder: unknown section"),
        (f'extends = "digits"\n{parts}[level4]\n', "got level1, level2, level4"),
        (parts.replace("[level1.quantizer]", "[level1.data]"), r"level1\.data: unknown option"),
        ('[level1]\n[level2]\nencoder = "vqvae"\n', r"level1\.encoder: .*got nothing"),
    ):
        path.write_text(wrong)
        with pytest.raises(OptionError, match=message):
            load_config(path)


def test_the_printed_preset_reads_back(tmp_path: Path) -> None:
    from vocabula.cli.toml import to_toml

    for preset in ("photos-2level", "cifar10-2level", "image-256-3level"):
        config = load_config(preset)
        path = tmp_path / f"{preset}.toml"
        printed = to_toml(config.flat(), config.description)
        path.write_text(printed)
        again = load_config(path)
        assert to_toml(again.flat(), again.description) == printed


@pytest.mark.parametrize(
    ("preset", "flat"), [("cifar10-2level", "cifar10"), ("photos-2level", "photos")]
)
def test_two_levels_cost_the_bits_of_the_flat_preset(preset: str, flat: str) -> None:
    one, two = (build_tokenizer(load_config(name).sections, 3) for name in (flat, preset))
    assert two.bits_per_unit == pytest.approx(one.bits_per_unit)
    assert two.grids(64, 64)[-1] == one.grids(64, 64)[0]


def test_image_256_has_three_levels() -> None:
    sections = load_config("image-256-3level").sections
    with torch.device("meta"):
        tokenizer = build_tokenizer(sections, 3)
    assert tokenizer.grids(256, 256) == ((8, 8), (16, 16), (32, 32))


# --------------------------------------------------------------------- training


@pytest.mark.slow
def test_training_lowers_the_loss_and_counts_each_level(levels: dict[str, Any]) -> None:
    learner = trainer(levels, steps=60)
    figures = [learner.train_step(images()) for _ in range(60)]
    assert figures[-1]["losses/reconstruction"] < 0.8 * figures[0]["losses/reconstruction"]
    last = figures[-1]
    # three books: the mean over all is not the mean of the levels' means
    expected = (2 * last["level1.perplexity"] + last["level2.perplexity"]) / 3
    torch.testing.assert_close(last["perplexity"], expected)
    coarse, fine = learner.usage_reports()
    assert coarse is not None and len(coarse.usage) == 2
    assert fine is not None and len(fine.usage) == 1


def test_learning_is_applied_once_a_step_at_every_level(levels: dict[str, Any]) -> None:
    learner = trainer(levels, batch_size=8, accumulate=2)
    quantizers = [level.quantizer for level in learner.tokenizer.levels]
    calls = {0: 0, 1: 0}
    for i, quantizer in enumerate(quantizers):
        original = quantizer.update

        def counting(i: int = i, original: Any = original) -> None:
            calls[i] += 1
            original()

        quantizer.update = counting  # type: ignore[method-assign]
    learner.train_step(images())
    assert calls == {0: 1, 1: 1}


def test_stages_freeze_the_part_of_every_level(levels: dict[str, Any]) -> None:
    tokenizer = build_tokenizer(levels, 1)
    assert isinstance(tokenizer, HierarchicalTokenizer)
    set_trained_parts(tokenizer, ("quantizer", "decoder"))
    learning = {name.split(".")[2] for name, p in tokenizer.named_parameters() if p.requires_grad}
    assert learning == {"decoder"}  # the books learn by averages, without gradients
    assert not any(level.quantizer.frozen for level in tokenizer.levels)
    set_trained_parts(tokenizer, ("encoder",))
    assert all(level.quantizer.frozen for level in tokenizer.levels)
    learner = trainer(levels, stages=(Stage(train=("encoder",), steps=2),))
    before = {k: v.clone() for k, v in learner.tokenizer.state_dict().items()}
    learner.train_step(images())
    assert learner.usage_reports() == [None, None]
    after = learner.tokenizer.state_dict()
    changed = {k.split(".")[2] for k in before if not before[k].equal(after[k]) and "hier" in k}
    assert changed == {"encoder", "join"}


@pytest.mark.slow
def test_a_run_on_real_images(tmp_path: Path, levels: dict[str, Any]) -> None:
    run = tmp_path / "run"
    config = configured(levels, steps=60, log_every=10, checkpoint_every=60)
    train(config, DIGITS, run, progress=False)
    records = read_log(run / "log.jsonl")
    assert records[-1]["losses"]["reconstruction"] < records[0]["losses"]["reconstruction"]
    for name in ("level1", "level2"):
        wanted = ("perplexity", "usage", "window_perplexity", "dead", "largest_share")
        assert {f"{name}.{key}" for key in wanted} <= set(records[-1])
        assert f"{name}.commitment" in records[-1]["losses"]
    tokenizer = load(run)
    assert isinstance(tokenizer, HierarchicalTokenizer)
    result = evaluate(tokenizer, open_source(f"{DIGITS}/test", channels=1), limit=50)
    assert [level.name for level in result.levels] == ["level 1", "level 2"]
    # by hand, 8 x 8 pixels: 2 x 2 codes of 3 + 3 bits and 4 x 4 codes of 4
    assert [level.code_bits for level in result.levels] == [24 / 64, 64 / 64]
    usage = next(c for c in training_curves(run / "log.jsonl") if c.title.startswith("Usage"))
    assert "usage, level 1" in usage.svg and "usage, level 2" in usage.svg


@pytest.mark.slow
def test_a_resumed_run_ends_in_the_same_bits(tmp_path: Path, levels: dict[str, Any]) -> None:
    config = configured(levels)
    train(config, DIGITS, tmp_path / "whole", progress=False)

    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, 6)
        with pytest.raises(Interrupted):
            train(config, DIGITS, tmp_path / "parts", progress=False)
    train(config, DIGITS, tmp_path / "parts", resume=True, progress=False)
    whole, parts = (load_file(tmp_path / n / "model.safetensors") for n in ("whole", "parts"))
    assert all(whole[name].equal(parts[name]) for name in whole)
    logs = [read_log(tmp_path / n / "log.jsonl") for n in ("whole", "parts")]
    plain = [[{k: v for k, v in r.items() if k not in CLOCKED} for r in log] for log in logs]
    assert plain[0] == plain[1]
    changed = {**levels, "level2": {**levels["level2"]}}
    changed["level2"]["quantizer"] = {**levels["level2"]["quantizer"], "codebook_size": 32}
    with pytest.raises(OptionError, match=r"level2\.quantizer\.codebook_size: expected 16"):
        train(configured(changed), DIGITS, tmp_path / "parts", resume=True, progress=False)


@pytest.mark.slow
def test_the_watch_speaks_of_the_level_that_collapses(
    tmp_path: Path, levels: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from vocabula.quantizers import collapse

    seen: list[tuple[str, int]] = []

    def observe(self: Any, step: int, report: Any, losses: Any) -> list[str]:
        seen.append((self.prefix, len(report.usage)))
        return [self._speak("usage", "collapsed", step)] if self.prefix == "level2." else []

    monkeypatch.setattr(collapse.CollapseWatch, "observe", observe)
    train(configured(levels, steps=3), DIGITS, tmp_path / "run", progress=False)
    assert seen == [("level1.", 2), ("level2.", 1)]
    assert read_log(tmp_path / "run" / "log.jsonl")[-1]["warnings"] == ["level2: collapsed"]
