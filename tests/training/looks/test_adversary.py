"""An adversary beside a tokenizer: whose gradients go where, time, skipped steps, checkpoints."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from vocabula.data import Batch
from vocabula.errors import CheckpointError, TrainingError
from vocabula.nn.discriminators import PatchSettings
from vocabula.nn.perceptual import FeatureMatching, MultiScaleSSIM, Perceptual
from vocabula.tokenizers import build_tokenizer
from vocabula.training.looks import Adversary, AdversaryOptions, Looks, LookSettings
from vocabula.training.looks.losses import generator_loss
from vocabula.training.optimizers import SGD
from vocabula.training.schedules import Constant
from vocabula.training.settings import TrainingOptions
from vocabula.training.trainer import Trainer

SMALL = PatchSettings(hidden=2, layers=1)


def values() -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, (4, 1, 16, 16), dtype=torch.uint8, generator=generator)


def make(
    sections: dict[str, Any],
    perceptual: Perceptual | None = None,
    *,
    accumulate: int = 1,
    precision: Any = "no",
    quantizer: dict[str, Any] | None = None,
    **options: Any,
) -> Trainer:
    torch.manual_seed(0)
    sections["quantizer"] = quantizer or {"name": "finite_scalar", "levels": [5, 5]}
    options = {"start": 0, "warmup": 0, "ramp": 0, "discriminator": SMALL, **options}
    return Trainer(
        build_tokenizer(sections, 1),
        options=TrainingOptions(
            steps=100, batch_size=4, accumulate=accumulate, precision=precision
        ),
        optimizer=SGD(learning_rate=1.0, momentum=0.0),
        schedule=Constant(),
        looks=LookSettings(perceptual, AdversaryOptions(**options)),
    )


def parts(trainer: Trainer) -> tuple[Looks, Adversary]:
    assert trainer.looks is not None and trainer.looks.adversary is not None
    return trainer.looks, trainer.looks.adversary


def decoder_gradients(trainer: Trainer, batch: Batch | Tensor | None = None) -> list[Tensor]:
    trainer.compute_gradients(values() if batch is None else batch)
    return [p.grad.clone() for p in trainer.tokenizer.decoder.parameters() if p.grad is not None]


def discriminator_gradients(trainer: Trainer) -> list[Tensor | None]:
    return [p.grad for p in parts(trainer)[1].players.parameters()]


def test_the_generator_s_pass_leaves_no_gradient_in_the_discriminator(
    sections: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make(sections, FeatureMatching(), accumulate=2)
    monkeypatch.setattr(Adversary, "_learn", lambda *_: {})  # the discriminator's own loss
    trainer.compute_gradients(values())
    assert all(gradient is None for gradient in discriminator_gradients(trainer))
    monkeypatch.undo()
    trainer.compute_gradients(values())
    assert all(gradient is not None for gradient in discriminator_gradients(trainer))


def test_the_discriminator_s_loss_leaves_no_gradient_in_the_tokenizer(
    sections: dict[str, Any],
) -> None:
    plain, other = make(sections, start=50), make(sections, warmup=10)
    for one, two in zip(decoder_gradients(plain), decoder_gradients(other), strict=True):
        assert one.equal(two)
    assert all(g is None for g in discriminator_gradients(plain))
    assert any(g is not None and g.any() for g in discriminator_gradients(other))


@pytest.mark.parametrize("adaptive", [False, True])
def test_the_decoder_gets_the_weighted_gradient_of_the_generator_s_loss(
    sections: dict[str, Any], adaptive: bool
) -> None:
    options = {"weight": 0.5, "adaptive": adaptive, "most": 1e6}
    found = decoder_gradients(make(sections, **options))
    trainer = make(sections, **options)
    _, adversary = parts(trainer)
    plain = decoder_gradients(make(sections, start=50))
    tokenizer = trainer.tokenizer.train()
    result = tokenizer(values())
    assert result.parameters is not None
    # straight through discriminator and decoder, without the detour
    loss = generator_loss("hinge", adversary.judge(result.output))
    scale = 0.5
    if adaptive:
        own = torch.autograd.grad(result.loss, result.parameters, retain_graph=True)[0]
        theirs = torch.autograd.grad(loss, result.output, retain_graph=True)[0]
        scale *= float(own.norm() / theirs.norm())
    direct = torch.autograd.grad(loss, list(tokenizer.decoder.parameters()))
    assert any(bool(gradient.any()) for gradient in direct)
    for one, two, three in zip(found, plain, direct, strict=True):
        torch.testing.assert_close(one - two, scale * three, rtol=1e-3, atol=1e-6)


def test_a_perceptual_term_is_added_with_its_weight(sections: dict[str, Any]) -> None:
    distance = MultiScaleSSIM(weight=0.3, scales=1)
    found = decoder_gradients(make(sections, distance, start=50))
    trainer = make(sections, start=50)
    plain = decoder_gradients(make(sections, start=50))
    result = trainer.tokenizer.train()(values())
    direct = torch.autograd.grad(
        0.3 * distance(result.output, result.target), list(trainer.tokenizer.decoder.parameters())
    )
    for one, two, three in zip(found, plain, direct, strict=True):
        torch.testing.assert_close(one - two, three, rtol=1e-4, atol=1e-6)


def test_micro_batches_give_the_gradients_of_the_batch(sections: dict[str, Any]) -> None:
    one, two = (make(sections, accumulate=n, adaptive=False) for n in (1, 4))
    for a, b in zip(decoder_gradients(one), decoder_gradients(two), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
    pairs = zip(discriminator_gradients(one), discriminator_gradients(two), strict=True)
    for a, b in pairs:
        # each pass takes one power iteration, so that the normalized weights differ a little
        torch.testing.assert_close(a, b, rtol=0.1, atol=1e-3)


def test_it_learns_alone_and_then_rises(sections: dict[str, Any]) -> None:
    trainer = make(sections, start=2, warmup=2, ramp=4)
    looks, adversary = parts(trainer)
    weights = []
    for step in range(10):
        before = [p.clone() for p in adversary.players.parameters()]
        trainer.step = step
        trainer.train_step(values())
        weights.append(looks._weight)
        pairs = zip(before, adversary.players.parameters(), strict=True)
        moved = any(not a.equal(b) for a, b in pairs)
        assert moved == (step >= 2)
    assert weights == [0, 0, 0, 0, 0.25, 0.5, 0.75, 1, 1, 1]


def test_its_beginning_stays_where_it_was_when_steps_are_added(sections: dict[str, Any]) -> None:
    trainer = make(sections, start=0.02)
    _, adversary = parts(trainer)
    assert (adversary.begins(100), adversary.begins(500)) == (2, 10)
    for _ in range(3):
        trainer.train_step(values())
    assert adversary.begins(500) == 2


def test_a_cut_at_another_place_is_judged_in_every_step(sections: dict[str, Any]) -> None:
    _, adversary = parts(make(sections, crop=14))
    target, places = values().float() / 255, set()
    for _ in range(60):
        before = copy.deepcopy(adversary.players.state_dict())  # a pass is a power iteration
        output = target.flip(0).requires_grad_()
        pull, figures = adversary.play(output, target, None, weight=1.0, share=1.0)
        assert pull.adversary is not None
        inside = pull.adversary.abs().sum((0, 1)) > 0
        rows, columns = (inside.any(axis).nonzero().flatten() for axis in (1, 0))
        assert (len(rows), len(columns)) == (14, 14)
        top, left = int(rows[0]), int(columns[0])
        places.add((top, left))
        adversary.players.load_state_dict(before)
        alone = adversary.judge(output[..., top : top + 14, left : left + 14])[0].logits
        torch.testing.assert_close(alone.mean(), figures["adversary/fake"])
    assert places == {(top, left) for top in range(3) for left in range(3)}


def test_a_cut_larger_than_the_signals_leaves_them_whole(sections: dict[str, Any]) -> None:
    found = [decoder_gradients(make(sections, FeatureMatching(), crop=n)) for n in (0, 64)]
    assert all(one.equal(two) for one, two in zip(*found, strict=True))


def test_padding_teaches_neither_player_anything(sections: dict[str, Any]) -> None:
    mask = torch.zeros(4, 16, 16, dtype=torch.bool)
    mask[:2, :12], mask[2:, :, :10] = True, True
    found = []
    for fill in (0, 255):
        trainer = make(sections, crop=15)
        filled = torch.where(mask[:, None], values(), fill)
        batch = Batch(filled, {}, torch.arange(4), mask=mask)
        found.append((decoder_gradients(trainer, batch), discriminator_gradients(trainer)))
    for one, two in zip(*found, strict=True):
        assert all(a.equal(b) for a, b in zip(one, two, strict=True))  # type: ignore[union-attr, arg-type]


def test_bfloat16_networks_have_float32_losses_and_gradients(sections: dict[str, Any]) -> None:
    trainer = make(sections, FeatureMatching(), precision="bf16")
    figures = trainer.train_step(values())
    names = ("discriminator", "generator", "features", "weight")
    assert all(figures[f"adversary/{name}"].dtype == torch.float32 for name in names)
    assert parts(trainer)[1].players.balance.averages.dtype == torch.float32


def state(trainer: Trainer) -> dict[str, Tensor]:
    found = {**trainer.tokenizer.state_dict(), **parts(trainer)[1].players.state_dict()}
    return {name: value.clone() for name, value in found.items()}


@pytest.mark.parametrize("player", ["tokenizer", "discriminator"])
def test_a_value_that_is_not_finite_costs_its_step_alone(
    sections: dict[str, Any], player: str
) -> None:
    trainer = make(sections)
    looks, adversary = parts(trainer)
    trainer.train_step(values())
    net = trainer.tokenizer.decoder if player == "tokenizer" else adversary.players.discriminator
    victim = next(net.parameters())
    hook = victim.register_hook(lambda gradient: gradient * math.nan)
    before = state(trainer)
    for _ in range(2):
        trainer.train_step(values())
    hook.remove()
    changed = {name for name, value in state(trainer).items() if not value.equal(before[name])}
    measured = ("likelihood", "balance")  # and power iterations, which follow the weights
    counted = {n for n in changed if "usage_tracker" in n or n[-2:] in ("_u", "_v")}
    assert {n for n in changed - counted if not n.startswith(measured)} == set()
    assert (trainer.step, looks.skipped) == (3, 2)
    assert looks.warnings({}) == ["Step 2 was left out: a value was not finite (1 so far)."]
    trainer.train_step(values())
    assert not state(trainer)["likelihood.noise_variance"].isnan()
    assert any(not value.equal(before[n]) for n, value in state(trainer).items())
    victim.register_hook(lambda gradient: gradient * math.nan)
    with pytest.raises(TrainingError, match=r"step 14: .*10 steps in a row.*adversary\.weight"):
        for _ in range(11):
            trainer.train_step(values())


BOOK = {"name": "vector", "dim": 4, "codebook_size": 16, "initialization": "normal"}


@pytest.mark.parametrize(
    "quantizer",
    [
        BOOK,
        {"name": "gumbel", "dim": 4, "codebook_size": 16},
        {"name": "residual", "stages": [BOOK] * 2},
    ],
    ids=lambda quantizer: quantizer["name"],
)
def test_a_step_left_out_is_not_learned_by_codebooks(
    sections: dict[str, Any], quantizer: dict[str, Any]
) -> None:
    trainer = make(sections, quantizer=quantizer)
    trainer.train_step(values())
    hook = next(trainer.tokenizer.encoder.parameters()).register_hook(lambda g: g * math.nan)
    before = {
        name: value.clone() for name, value in trainer.tokenizer.quantizer.state_dict().items()
    }
    trainer.train_step(values().flip(0))
    hook.remove()
    assert parts(trainer)[0].skipped == 1
    now = trainer.tokenizer.quantizer.state_dict()
    assert now.keys() == before.keys()  # nothing waits
    counts = ("usage_tracker", "fits")  # how many vectors and passes were seen
    changed = {name for name, value in now.items() if not value.equal(before[name])}
    assert {name for name in changed if not any(word in name for word in counts)} == set()


def test_a_checkpoint_continues_both_players(sections: dict[str, Any]) -> None:
    whole, cut = (make(sections, FeatureMatching(), warmup=1, ramp=3) for _ in range(2))
    for _ in range(3):
        whole.train_step(values())
    checkpoint = copy.deepcopy(whole.checkpoint({}))
    assert parts(whole)[1].begun == 0
    cut.load_checkpoint(checkpoint)
    for _ in range(2):
        whole.train_step(values())
        cut.train_step(values())
    one, two = whole.checkpoint({}), cut.checkpoint({})
    for name, tensors in one.tensors.items():
        assert all(value.equal(two.tensors[name][key]) for key, value in tensors.items()), name
    assert one.state["adversary"] == two.state["adversary"]
    del checkpoint.tensors["adversary"]
    with pytest.raises(CheckpointError, match="without an adversary"):
        cut.load_checkpoint(checkpoint)
