"""Exchanged attributes: whose they are, when, for how many signals, and what stays as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from sounds import noise, tokenizer_of
from steps import stop_at
from vocabula.data import Batch
from vocabula.errors import Interrupted, OptionError
from vocabula.signals import Condition
from vocabula.tokenizers import Tokenizer
from vocabula.training.config import config_from_sections, load_config
from vocabula.training.exchange import Exchange
from vocabula.training.optimizers import Adam
from vocabula.training.prior_run import train_prior
from vocabula.training.run import train
from vocabula.training.schedules import Constant
from vocabula.training.settings import TrainingOptions
from vocabula.training.trainer import Trainer


def speaking() -> Tokenizer:
    """A tokenizer at 1 kHz with weights that heed one of three speakers."""
    tokenizer = tokenizer_of("frames-odd", conditional=True)
    for module in tokenizer.decoder.modules():
        if isinstance(module, nn.Linear) and module.in_features == 8:
            nn.init.normal_(module.weight, std=0.3)
    return tokenizer


def told(*speakers: int) -> Condition:
    return Condition({"speaker": torch.tensor(speakers)})


def heard(share: float, batch: Batch, *, step: int = 99, steps: int = 40) -> Tensor | None:
    torch.manual_seed(0)
    options = TrainingOptions(steps=steps, batch_size=len(batch), exchange=share)
    exchange = Exchange(speaking(), options)
    return exchange.heard(batch, Condition(batch.attributes), step)


def of_speakers(x: Tensor, *speakers: int) -> Batch:
    return Batch(x, {"speaker": torch.tensor(speakers)}, torch.arange(len(x)))


def test_every_signal_is_heard_as_decoded_with_the_speaker_of_one_of_the_batch() -> None:
    tokenizer, x = speaking(), noise(3, 70)
    found = heard(1.0, of_speakers(x, 0, 1, 2))
    assert found is not None
    codes = tokenizer.encode(x)
    voices = [tokenizer.decode(codes, told(*[voice] * 3)) for voice in range(3)]
    apart = torch.stack([(found - voice).abs().amax((1, 2)) for voice in voices])
    assert sorted(apart.argmin(0).tolist()) == [0, 1, 2]  # each speaker for one of the signals
    assert (apart.sort(0).values[0] < 1e-5).all() and (apart.sort(0).values[1] > 1e-2).all()


def test_as_many_are_exchanged_as_asked_and_the_others_are_as_they_are() -> None:
    x = noise(1, 14).expand(4000, 1, 14)
    found = heard(0.3, of_speakers(x, *[0, 1] * 2000))
    assert found is not None
    same = (found == x).all(2).all(1)
    assert float(same.double().mean()) == pytest.approx(0.7, abs=5 * (0.21 / 4000) ** 0.5)


def test_nothing_is_exchanged_in_the_first_quarter() -> None:
    batch = of_speakers(noise(2, 70), 0, 1)
    assert heard(1.0, batch, step=9) is None
    assert heard(1.0, batch, step=10) is not None
    assert heard(1.0, batch, step=0, steps=1) is None


def test_a_padded_batch_is_exchanged_like_its_recordings() -> None:
    tokenizer, x = speaking(), noise(2, 70)
    lengths = torch.tensor([70, 31])
    mask = torch.arange(70) < lengths[:, None]
    x[1, :, 31:] = 7.0
    before = {name: value.clone() for name, value in tokenizer.state_dict().items()}
    found = tokenizer.exchanged(x, mask, told(2, 0))
    for row, (length, speaker) in enumerate(((70, 2), (31, 0))):
        alone = tokenizer.reconstruct(x[row : row + 1, :, :length], condition=told(speaker))
        torch.testing.assert_close(found[row : row + 1, :, :length], alone, atol=1e-5, rtol=0)
    assert not found[1, :, 31:].any()
    assert all(value.equal(before[name]) for name, value in tokenizer.state_dict().items())


def test_the_encoder_gets_what_is_heard_and_the_loss_compares_with_the_signal() -> None:
    tokenizer, x, other = speaking(), noise(2, 70), noise(2, 70, seed=5)
    result = tokenizer(x, None, told(0, 1), other)
    assert torch.equal(result.codes, tokenizer.encode(other))
    assert torch.equal(result.target, x)
    y = tokenizer.decode(tokenizer.encode(other), told(0, 1))
    wanted = tokenizer.likelihood.loss(y, x)
    torch.testing.assert_close(result.losses["reconstruction"], wanted)
    plain = tokenizer(x, None, told(0, 1))
    assert torch.equal(plain.codes, tokenizer.encode(x))


def test_a_step_learns_in_training_mode_and_its_gradient_is_that_of_what_is_heard() -> None:
    def gradients(exchange: float, step: int) -> dict[str, Tensor]:
        trainer = Trainer(
            speaking(),
            options=TrainingOptions(steps=4, batch_size=2, exchange=exchange),
            optimizer=Adam(),
            schedule=Constant(),
        )
        trainer.step = step
        torch.manual_seed(0)
        trainer.compute_gradients(of_speakers(noise(2, 70), 0, 1))
        assert all(module.training for module in trainer.tokenizer.modules())
        return {name: p.grad for name, p in trainer.model.named_parameters() if p.grad is not None}

    plain, early, late = gradients(0.0, 3), gradients(1.0, 0), gradients(1.0, 3)
    assert plain.keys() == late.keys()
    assert all(plain[name].equal(early[name]) for name in plain)
    assert not all(torch.allclose(plain[name], late[name]) for name in plain)


def test_a_resumed_run_is_identical_to_the_bit(
    tmp_path: Path, sections: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = {
        **sections,
        "decoder": {"name": "film", "hidden": 8, "downsample": 2, "given": ["class"]},
        "training": {**sections["training"], "exchange": 0.5},
    }
    config = config_from_sections(tables)
    train(config, "sample:digits", tmp_path / "whole", progress=False)
    plain = {**tables, "training": sections["training"]}
    train(config_from_sections(plain), "sample:digits", tmp_path / "plain", progress=False)
    with monkeypatch.context() as patch:
        stop_at(patch, 6)
        with pytest.raises(Interrupted):
            train(config, "sample:digits", tmp_path / "cut", progress=False)
    train(config, "sample:digits", tmp_path / "cut", resume=True, progress=False)
    saved = {
        run: load_file(tmp_path / run / "model.safetensors") for run in ("whole", "cut", "plain")
    }
    assert all(value.equal(saved["cut"][name]) for name, value in saved["whole"].items())
    assert not all(value.equal(saved["plain"][name]) for name, value in saved["whole"].items())


def test_it_is_refused_without_attributes_and_for_a_prior(
    tmp_path: Path, sections: dict[str, Any]
) -> None:
    options = TrainingOptions(exchange=0.5)
    with pytest.raises(OptionError, match=r"training\.exchange: expected a decoder that takes"):
        Exchange(tokenizer_of("frames-odd"), options)
    plain = config_from_sections(
        {**sections, "training": {**sections["training"], "exchange": 0.5}}
    )
    with pytest.raises(OptionError, match=r"training\.exchange: expected a decoder that takes"):
        train(plain, "sample:digits", tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()
    config = load_config("transformer", ["training.exchange=0.5"])
    with pytest.raises(OptionError, match=r"training\.exchange: expected 0 for a prior"):
        train_prior(config, "run", "tokens.parquet", "out")
