"""Exchanged attributes: the loss by hand, who learns from it, and when it is refused."""

from __future__ import annotations

import pytest
import torch

from sounds import noise
from vocabula.errors import OptionError
from vocabula.nn import MelEncoder, VocosDecoder, VocosFiLMDecoder
from vocabula.quantizers import ResidualQuantizer
from vocabula.signals import Audio, Condition
from vocabula.tokenizers import Spectral, Tokenizer
from vocabula.training.exchange import check_exchange, exchange_loss
from vocabula.training.settings import TrainingOptions


def tokenizer(voices: int = 2) -> Tokenizer:
    torch.manual_seed(0)
    return Tokenizer(
        MelEncoder(1, 4, hop=8, window=20, bands=6, hidden=8, blocks=1),
        ResidualQuantizer.repeat(2, dim=4, codebook_size=8),
        VocosFiLMDecoder(
            4, 1, attributes={"speaker": voices}, hop=8, window=16, hidden=8, blocks=1
        ),
        likelihood=Spectral(windows=(16,)),
        signal=Audio(8000),
    )


def test_the_loss_is_the_relative_distance_of_the_vectors_of_converted_signals() -> None:
    net = tokenizer().eval()
    x, voice = noise(2, 400), torch.tensor([0, 1])
    result = net(x, None, Condition({"speaker": voice}))
    (level,) = result.levels
    wanted = []
    for order in ([0, 1], [1, 0]):  # two signals: each keeps its voice or gets the other's
        y = net.decode(level.codes, Condition({"speaker": voice[order]}))
        again = net.vectors(y)
        apart = (again - level.values).square().sum() / level.values.square().sum()
        wanted.append(float(apart.detach()))
    torch.manual_seed(1)
    found = {
        round(float(exchange_loss(net, result, Condition({"speaker": voice})).detach()), 4)
        for _ in range(12)
    }
    assert found == {round(value, 4) for value in wanted}


def test_padding_does_not_count() -> None:
    net, x = tokenizer().eval(), noise(1, 400)
    mask = torch.arange(400)[None] < 160
    same = Condition({"speaker": torch.tensor([0])})
    padded = exchange_loss(net, net(x, mask, same), same)
    alone = exchange_loss(net, net(x[..., :160], None, same), same)
    torch.testing.assert_close(padded, alone, atol=1e-5, rtol=1e-4)


def test_the_decoder_alone_learns() -> None:
    net = tokenizer().train()
    known = Condition({"speaker": torch.tensor([0, 1])})
    exchange_loss(net, net(noise(2, 400), None, known), known).backward()
    assert all(p.grad is None for p in net.encoder.parameters())
    assert all(p.grad is None for p in net.quantizer.parameters())
    used = [p.grad for p in net.decoder.parameters() if p.grad is not None]
    assert used and all(torch.isfinite(g).all() for g in used)


def test_a_decoder_without_attributes_is_refused() -> None:
    plain = Tokenizer(
        MelEncoder(1, 4, hop=8, window=20, bands=6, hidden=8, blocks=1),
        ResidualQuantizer.repeat(2, dim=4, codebook_size=8),
        VocosDecoder(4, 1, hop=8, window=16, hidden=8, blocks=1),
        signal=Audio(8000),
    )
    check_exchange(plain, 0.0)
    check_exchange(tokenizer(), 0.5)
    with pytest.raises(OptionError, match=r"training\.exchange: expected a tokenizer of one level"):
        check_exchange(plain, 0.5)
    assert TrainingOptions().exchange == 0
