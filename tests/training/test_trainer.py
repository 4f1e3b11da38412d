from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from vocabula.data import Batch
from vocabula.errors import DataError, OptionError, TrainingError
from vocabula.tokenizers import Tokenizer, build_tokenizer
from vocabula.training.optimizers import SGD, Adam
from vocabula.training.schedules import Constant, Cosine, Schedule
from vocabula.training.settings import Stage, TrainingOptions
from vocabula.training.trainer import Trainer


def images(batch: int = 8) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, (batch, 1, 8, 8), dtype=torch.uint8, generator=generator)


def make(sections: dict[str, Any], schedule: Schedule | None = None, **options: Any) -> Trainer:
    torch.manual_seed(0)
    options = {"steps": 10, "batch_size": 8, **options}
    return Trainer(
        build_tokenizer(sections, 1),
        options=TrainingOptions(**options),
        optimizer=Adam(learning_rate=1e-2),
        schedule=schedule or Constant(),
    )


def snapshot(trainer: Trainer) -> dict[str, Tensor]:
    return {k: v.clone() for k, v in trainer.tokenizer.state_dict().items()}


def changed_parts(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    different = {k for k in before if not before[k].equal(after[k])}
    return {k.partition(".")[0] for k in different}


def test_training_lowers_the_loss(sections: dict[str, Any]) -> None:
    trainer = make(sections, steps=60)
    losses = [float(trainer.train_step(images())["losses/reconstruction"]) for _ in range(60)]
    assert losses[-1] < 0.8 * losses[0]


def test_padding_trains_nothing(sections: dict[str, Any]) -> None:
    mask = torch.zeros(8, 8, 8, dtype=torch.bool)
    mask[:4, :5], mask[4:, :, :3] = True, True
    steps = []
    for fill in (0, 255):
        trainer = make(sections, accumulate=2)
        values = torch.where(mask[:, None], images(), fill)
        batch = Batch(values, {}, torch.arange(8), mask=mask)
        steps.append((trainer.train_step(batch), snapshot(trainer)))
    (figures, state), (others, other) = steps
    assert figures["mse"] > 0
    torch.testing.assert_close(figures["mse"], figures["losses/reconstruction"])  # none is clipped
    assert all(figures[name].equal(others[name]) for name in figures)
    assert changed_parts(state, other) == set()


def test_two_micro_batches_of_16_count_like_one_batch_of_32(sections: dict[str, Any]) -> None:
    # revival draws at random, and k-means fits anew to each of the first micro-batches
    sections["quantizer"] |= {"revival": None, "initialization": "data"}
    whole = make(sections, batch_size=32)
    halves = make(sections, batch_size=32, accumulate=2)
    batch = images(32)
    for trainer in (whole, halves):  # the codebook starts from the data, equal for both
        trainer.tokenizer.train()
        trainer.tokenizer.quantizer.auto_update = False
        trainer.tokenizer(batch)
        trainer.tokenizer.quantizer.update()
    before = snapshot(whole)
    assert changed_parts(before, snapshot(halves)) == set()
    other = 255 - batch
    whole.train_step(other)
    halves.train_step(other)
    one, two = snapshot(whole), snapshot(halves)
    masses = [k for k in one if k.startswith("quantizer.") and k.endswith(".mass")]
    assert masses
    for name in masses:
        assert not one[name].equal(before[name])
        assert one[name].equal(two[name])  # hits are integers: equal to the bit
    for name in (k.removesuffix("mass") + "weight" for k in masses):
        assert torch.allclose(one[name], two[name], atol=1e-6)


def test_gradients_of_micro_batches_add_up_to_those_of_the_batch(sections: dict[str, Any]) -> None:
    sections["quantizer"] = {"name": "finite_scalar", "levels": [5, 5]}
    grown = []
    for accumulate in (1, 4):
        torch.manual_seed(0)
        trainer = Trainer(
            build_tokenizer(sections, 1),
            options=TrainingOptions(steps=1, batch_size=8, accumulate=accumulate),
            optimizer=SGD(learning_rate=0.1, momentum=0.0),
            schedule=Constant(),
        )
        trainer.train_step(images())
        grown.append(snapshot(trainer))
    for name, value in grown[0].items():
        if name.startswith(("encoder", "decoder")):
            assert torch.allclose(value, grown[1][name], atol=1e-6)


def test_stages_freeze_what_they_do_not_train(sections: dict[str, Any]) -> None:
    stages = (
        Stage(train=("encoder", "quantizer"), steps=2),
        Stage(train=("decoder",), steps=2),
        Stage(train=("quantizer",), steps=1),
    )
    trainer = make(sections, stages=stages)
    seen = []
    for _ in range(6):
        before = snapshot(trainer)
        trainer.train_step(images())
        changed = changed_parts(before, snapshot(trainer))
        seen.append(changed - {"likelihood"})  # its noise figure is measured, not learned
    assert seen[:2] == [{"encoder", "quantizer"}] * 2
    assert seen[2:4] == [{"decoder"}] * 2
    assert seen[4] == {"quantizer"}
    assert seen[5] == {"encoder", "quantizer", "decoder"}


def test_the_schedule_scales_every_step(sections: dict[str, Any]) -> None:
    trainer = make(sections, schedule=Cosine(warmup=2), steps=4)
    rates = []
    for _ in range(4):
        trainer.train_step(images())
        rates.append(trainer.learning_rate)
    assert rates == pytest.approx([0.005, 0.01, 0.01, 0.005])


def test_long_gradients_are_clipped(sections: dict[str, Any]) -> None:
    torch.manual_seed(0)
    trainer = Trainer(
        build_tokenizer(sections, 1),
        options=TrainingOptions(steps=1, batch_size=8, clip_norm=0.01),
        optimizer=SGD(learning_rate=1.0, momentum=0.0),
        schedule=Constant(),
    )
    before = dict(trainer.tokenizer.named_parameters())
    before = {k: v.detach().clone() for k, v in before.items()}
    norm = trainer.train_step(images())["grad_norm"]
    moved = [p.detach() - before[k] for k, p in trainer.tokenizer.named_parameters()]
    assert norm > 0.01  # the norm before clipping is what is reported
    assert torch.cat([m.flatten() for m in moved]).norm().item() == pytest.approx(0.01, rel=1e-3)


def test_bf16_keeps_float32_weights_and_trains(sections: dict[str, Any]) -> None:
    trainer = make(sections, precision="bf16")
    figures = trainer.train_step(images())
    assert all(bool(torch.isfinite(v)) for v in figures.values())
    assert {p.dtype for p in trainer.tokenizer.parameters()} == {torch.float32}


def test_a_loss_that_is_not_finite_stops_before_the_step(sections: dict[str, Any]) -> None:
    trainer = make(sections)
    trainer.train_step(images())
    with torch.no_grad():
        next(trainer.tokenizer.decoder.parameters()).fill_(torch.inf)
    before = snapshot(trainer)
    with pytest.raises(TrainingError, match=r"step 2: expected a finite loss.*learning_rate="):
        trainer.train_step(images())
    assert trainer.step == 1
    assert changed_parts(before, snapshot(trainer)) <= {"quantizer", "likelihood"}


def test_images_that_are_not_finite_stop_before_the_step(sections: dict[str, Any]) -> None:
    trainer = make(sections)
    batch = images().float() / 255
    batch[1, 0, 2, 2] = torch.nan
    before = snapshot(trainer)
    with pytest.raises(DataError):
        trainer.train_step(batch)
    assert changed_parts(before, snapshot(trainer)) == set()


def test_a_batch_that_does_not_split_is_refused(sections: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=r"multiple of 3 .*got 8; use 9"):
        make(sections, accumulate=3)


def test_averaged_weights_differ_from_the_latest(sections: dict[str, Any]) -> None:
    trainer = make(sections, average_decay=0.9)
    for _ in range(3):
        trainer.train_step(images())
    assert trainer.average is not None
    latest = dict(trainer.tokenizer.named_parameters())
    assert any(not v.equal(latest[k]) for k, v in trainer.average.state().items())


def test_any_bottleneck_trains(sections: dict[str, Any]) -> None:
    bottlenecks: list[dict[str, Any]] = [
        {"name": "gaussian", "dim": 4},
        {"name": "gumbel", "dim": 4, "codebook_size": 16},
        {"name": "lookup_free", "dim": 4},
        {"name": "finite_scalar", "levels": [3, 3]},
        {
            "name": "residual",
            "stages": [{"name": "vector", "dim": 4, "codebook_size": 8} for _ in range(2)],
        },
    ]
    for quantizer in bottlenecks:
        trainer = make({**sections, "quantizer": quantizer})
        figures = trainer.train_step(images())
        assert bool(torch.isfinite(figures["loss"]))
        assert ("perplexity" in figures) == (quantizer["name"] != "gaussian")
        assert isinstance(trainer.tokenizer, Tokenizer)
