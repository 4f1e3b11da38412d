"""Bernoulli bits: by hand, and beside vector-quantize-pytorch's BinaryMapper."""

from __future__ import annotations

import math

import pytest
import torch
from vector_quantize_pytorch.binary_mapper import BinaryMapper

from vocabula.errors import OptionError
from vocabula.quantizers import BernoulliQuantizer

BITS = 3
REVERSED = [int(f"{code:03b}"[::-1], 2) for code in range(2**BITS)]
"""Their first bit is the least significant one."""


def one_hot(**options: float) -> BernoulliQuantizer:
    """A quantizer of D = 8 whose codewords are the unit vectors, and logits the first three."""
    quantizer = BernoulliQuantizer(8, bits=BITS, **options)
    with torch.no_grad():
        quantizer.codebook.copy_(torch.eye(8))
        quantizer.to_bits.weight.copy_(torch.eye(8)[:BITS])
        quantizer.to_bits.bias.zero_()
    return quantizer


def test_by_hand() -> None:
    quantizer = one_hot(free_bits=0.0).eval()
    logits = torch.tensor([math.log(3), 0.0, -math.log(3)])  # 3/4, 1/2, 1/4
    z = torch.zeros(1, 8)
    z[0, :3] = logits
    assert quantizer.encode(z).tolist() == [0b100]
    found = quantizer.candidates(z, 8)
    assert set(found[0, :2].tolist()) == {0b100, 0b110}
    # -log(3/4 * 1/2 * 3/4), and of 001: -log(1/4 * 1/2 * 1/4)
    distances = quantizer.distances(z, torch.tensor([[0b100, 0b001]]))
    torch.testing.assert_close(distances, -torch.tensor([[9 / 32, 1 / 32]]).log())
    # 1 bit of the middle is free; H(3/4) = 0.562335 nats
    kl = quantizer(z).losses["kl"].item()
    assert kl == pytest.approx(2 * (math.log(2) - 0.562335), abs=1e-5)


@pytest.mark.parametrize("free_bits", [0.0, 0.5, 2.0])
def test_beside_binary_mapper(free_bits: float) -> None:
    ours = one_hot(free_bits=free_bits)
    theirs = BinaryMapper(bits=BITS, kl_loss_threshold=free_bits * math.log(2))
    z = torch.randn(64, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    logits = z.detach()[:, :BITS].clone().requires_grad_()
    result, (hot, loss) = ours(z), theirs(logits)
    torch.testing.assert_close(result.loss, loss)
    weights = torch.randn(8, generator=torch.Generator().manual_seed(1))
    (result.values @ weights).sum().backward(retain_graph=True)
    (hot @ weights[torch.tensor(REVERSED)]).sum().backward(retain_graph=True)
    torch.testing.assert_close(z.grad[:, :BITS], logits.grad)
    result.loss.backward()
    loss.backward()
    torch.testing.assert_close(z.grad[:, :BITS], logits.grad)


def test_bits_are_drawn_with_their_probabilities() -> None:
    quantizer = one_hot()
    z = torch.zeros(20_000, 8)
    z[:, 0], z[:, 1] = math.log(4), -math.log(4)
    torch.manual_seed(0)
    codes = quantizer(z).codes
    expected = torch.tensor([0.8, 0.2, 0.5])
    bits = (codes[:, None] >> torch.tensor([2, 1, 0])) & 1
    # five standard deviations
    torch.testing.assert_close(bits.float().mean(0), expected, rtol=0, atol=0.018)


@pytest.mark.parametrize("bits", [0, 17])
def test_bits_out_of_range(bits: int) -> None:
    with pytest.raises(OptionError, match="bits: expected"):
        BernoulliQuantizer(8, bits=bits)
