"""Signals in parts: the codes and values of the whole, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch
from tests.sounds import noise, tokenizer_of
from tests.tokenizers.test_independent import make
from torch import Tensor

from vocabula.data.long_signal import Parts
from vocabula.levels import levels_of
from vocabula.signals import Condition
from vocabula.tokenizers import SignalTokenizer, build_tokenizer, passing, tiles
from vocabula.tokenizers.passing import (
    codes_of_parts,
    decoded_parts,
    reconstructed_parts,
    takes_parts,
    windows,
)

KINDS = ["seanet-even", "seanet-odd", "frames-odd", "frames-causal", "independent", "dependent"]
LENGTH = 5003


def made(kind: str) -> SignalTokenizer:
    if kind in ("independent", "dependent"):
        torch.manual_seed(0)
        return make(independent=kind == "independent").eval()
    return tokenizer_of(kind)


def in_parts(x: Tensor, sizes: Sequence[int]) -> Parts:
    """A signal in parts of some lengths, the last of them again and again."""

    def read() -> Iterator[Tensor]:
        left, at = list(sizes), 0
        while at < x.shape[2]:
            size = left.pop(0) if len(left) > 1 else left[0]
            yield x[..., at : at + size]
            at += size

    return Parts(x.shape[2], read)


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "WHOLE_PIXELS", 0)
    monkeypatch.setattr(tiles, "TILE_PIXELS", 256)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sizes", [[LENGTH], [1, 2, 997]])
def test_parts_have_the_codes_and_the_wave_of_the_whole(kind: str, sizes: list[int]) -> None:
    tokenizer, x = made(kind), noise(1, LENGTH)
    assert takes_parts(tokenizer)
    with torch.inference_mode():
        levels = levels_of(tokenizer.encode(x))
        wave = tokenizer.decode(levels, size=(LENGTH,))
        shown = tokenizer.reconstruct(x)
    parts = in_parts(x, sizes)
    found = codes_of_parts(tokenizer, parts)
    assert [own.dtype for own in found] == [level.spec.dtype for level in tokenizer.levels]
    for own, codes in zip(found, levels, strict=True):
        np.testing.assert_array_equal(own, codes.numpy())

    def codes_at(places: Sequence[slice]) -> list[Tensor]:
        return [codes[:, place] for codes, place in zip(levels, places, strict=True)]

    heard = decoded_parts(tokenizer, codes_at, LENGTH)
    assert len(list(heard.read())) > 1
    if kind == "independent":  # the whole has tiles of the finest level, and rounds otherwise
        torch.testing.assert_close(heard.whole(), wave, rtol=0, atol=1e-6)
    else:
        assert torch.equal(heard.whole(), wave)
    assert torch.equal(reconstructed_parts(tokenizer, parts).whole(), shown)


def test_a_condition_holds_for_every_part() -> None:
    tokenizer, x = tokenizer_of("frames-odd", conditional=True), noise(1, LENGTH)
    for values in tokenizer.decoder.parameters():
        if not values.any():  # an attribute has no effect before training
            torch.nn.init.normal_(values)
    known = Condition({"speaker": torch.tensor([2])})
    with torch.inference_mode():
        wanted = tokenizer.reconstruct(x, condition=known)
    found = reconstructed_parts(tokenizer, in_parts(x, [300]), known).whole()
    assert torch.equal(found, wanted)
    other = Condition({"speaker": torch.tensor([1])})
    assert not torch.equal(reconstructed_parts(tokenizer, in_parts(x, [300]), other).whole(), found)


def test_few_samples_are_held_at_a_time() -> None:
    tokenizer = tokenizer_of("frames-causal")
    seen = [
        window.untyped_storage().nbytes() // 4
        for _, window in windows(tokenizer, in_parts(noise(1, 50000), [100]), 20)
    ]
    assert len(seen) > 100 and max(seen) < 600


def test_the_source_is_read_to_its_end() -> None:
    """Only there it shows whether it has more samples than it should."""
    ended = []

    def read() -> Iterator[Tensor]:
        yield noise(1, 1000)
        ended.append(True)

    list(windows(tokenizer_of("seanet-even"), Parts(1000, read), 0))
    assert ended


def test_networks_that_see_everything_take_no_parts() -> None:
    stage = {"name": "vector", "dim": 4, "codebook_size": 16}
    specs = {
        "signal": {"name": "audio", "sample_rate": 1000},
        "encoder": {"name": "mel", "bands": 6, "hop": 8, "window": 20, "normalized": True},
        "quantizer": stage,
        "decoder": {"name": "vocos", "hop": 8, "window": 20},
        "likelihood": {"name": "spectral", "windows": (8, 16)},
    }
    tokenizer = build_tokenizer(specs, 1)
    assert not takes_parts(tokenizer)
    assert takes_parts(tokenizer, encodes=False)
    assert passing.takes_parts(tokenizer_of("seanet-even"), decodes=False)
