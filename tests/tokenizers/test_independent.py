"""Levels over one axis: independent ones as in Jukebox, dependent ones as in VQ-VAE-2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from vocabula.errors import CodeError, OptionError
from vocabula.tokenizers import (
    HierarchicalTokenizer,
    IndependentTokenizer,
    SignalTokenizer,
    build_tokenizer,
    load,
    save,
)
from vocabula.training.config import load_config

RATES = {"level1": [4, 4], "level2": [4]}


def settings(*, independent: bool, ratios: dict[str, list[int]] = RATES) -> dict[str, Any]:
    levels = {
        name: {
            **({"name": "independent"} if independent else {}),
            "encoder": {"name": "seanet", "ratios": own, "hidden": 4},
            "quantizer": {"name": "vector", "dim": 8, "codebook_size": 16},
            "decoder": {"name": "seanet", "ratios": own, "hidden": 4},
        }
        for name, own in ratios.items()
    }
    audio = {"name": "audio", "sample_rate": 8000}
    return {"signal": audio, "likelihood": {"name": "spectral", "windows": [64]}, **levels}


def make(*, independent: bool) -> SignalTokenizer:
    torch.manual_seed(0)
    return build_tokenizer(settings(independent=independent), channels=1)


def noise(*shape: int) -> Tensor:
    torch.manual_seed(1)
    return torch.rand(*shape) * 2 - 1


def test_the_loss_is_the_sum_of_the_levels_alone() -> None:
    tokenizer, x = make(independent=True).eval(), noise(2, 1, 320)
    assert isinstance(tokenizer, IndependentTokenizer)
    found = tokenizer(x)
    alone = [tokenizer.level(i)(x) for i in range(2)]
    torch.testing.assert_close(found.loss, alone[0].loss + alone[1].loss)
    torch.testing.assert_close(
        found.losses["level1.reconstruction"], alone[0].losses["reconstruction"]
    )
    torch.testing.assert_close(found.losses["reconstruction"], alone[1].losses["reconstruction"])
    found.loss.backward()
    assert all(p.grad is not None for p in tokenizer.parameters() if p.requires_grad)


@pytest.mark.parametrize("independent", [True, False])
def test_levels_of_a_padded_batch_are_those_of_each_recording(
    tmp_path: Path, *, independent: bool
) -> None:
    tokenizer = make(independent=independent).eval()
    lengths = (300, 37)
    mask = torch.arange(300) < torch.tensor(lengths)[:, None]
    x = noise(2, 1, 300)
    codes = tokenizer.encode(x, mask)
    for row, length in enumerate(lengths):
        alone = tokenizer.encode(x[row : row + 1, :, :length])
        for whole, own in zip(codes, alone, strict=True):
            assert torch.equal(whole[row, : own.shape[1]], own[0])
        shown = tokenizer.decode(alone, size=(length,))
        both = tokenizer.decode(codes, mask=mask)
        torch.testing.assert_close(both[row, :, :length], shown[0], atol=1e-5, rtol=0)
    save(tokenizer, tmp_path / "saved")
    again = load(tmp_path / "saved")
    assert (type(again), again.fingerprint()) == (type(tokenizer), tokenizer.fingerprint())


def test_decoding_takes_the_finest_level_that_is_given() -> None:
    tokenizer, x = make(independent=True).eval(), noise(1, 1, 100)
    assert isinstance(tokenizer, IndependentTokenizer)
    coarse, fine = tokenizer.encode(x)
    assert (coarse.shape[1], fine.shape[1]) == (7, 28)
    size = (100,)
    shown = tokenizer.level(0).decode(coarse, size=size)
    assert torch.equal(tokenizer.decode((coarse,), size=size), shown)
    finest = tokenizer.level(1).decode(fine[:, :25], size=size)
    assert torch.equal(tokenizer.decode((coarse, fine), size=size), finest)
    with pytest.raises(CodeError, match="at most 2 levels"):
        tokenizer.decode((coarse, fine, fine))
    with pytest.raises(OptionError, match="expected a size of 7 codes"):
        tokenizer.decode((coarse, fine), size=(90,))


@pytest.mark.parametrize(
    ("ratios", "words"),
    [
        ({"level1": [4], "level2": [4, 4]}, "level2: expected a stride that divides"),
        ({"level1": [3, 3], "level2": [2]}, "level2: expected a stride that divides"),
    ],
)
def test_strides_that_do_not_fit_are_refused(ratios: dict[str, list[int]], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        build_tokenizer(settings(independent=True, ratios=ratios), channels=1)


def test_mixed_levels_are_refused() -> None:
    mixed = settings(independent=True)
    del mixed["level2"]["name"]
    with pytest.raises(OptionError, match="for all levels or for none"):
        build_tokenizer(mixed, channels=1)


def test_the_preset_has_two_rates() -> None:
    tokenizer = build_tokenizer(load_config("speech-2level-8k").sections, channels=1)
    assert tokenizer.strides == (128,)
    assert [8000 * level.bits_per_element for level in tokenizer.levels] == [500, 2000]
    assert tokenizer.grids(1) == ((1,), (4,))


def test_a_dependent_hierarchy_has_one_axis() -> None:
    tokenizer = make(independent=False)
    assert isinstance(tokenizer, HierarchicalTokenizer)
    assert (tokenizer.strides, tokenizer.grids(65)) == ((64,), ((2,), (32,)))
    tokenizer(noise(2, 1, 320)).loss.backward()
