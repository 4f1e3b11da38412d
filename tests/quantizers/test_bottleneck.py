"""Discrete and continuous bottlenecks answer the same questions."""

from __future__ import annotations

import math

import torch

from vocabula.quantizers import ProductQuantizer, VectorQuantizer
from vocabula.tokenizers import GaussianBottleneck


def test_codes_cost_their_fixed_length_for_every_signal() -> None:
    z = torch.randn(3, 4, 5, 2)
    assert VectorQuantizer(2, 8).latent_bits(z) == 4 * 5 * 3
    assert (
        ProductQuantizer([VectorQuantizer(1, 16), VectorQuantizer(1, 16)]).latent_bits(z[:, 0, 0])
        == 2 * 4
    )


def test_a_continuous_latent_costs_its_divergence() -> None:
    bottleneck = GaussianBottleneck(2)
    with torch.no_grad():
        bottleneck.project.weight.zero_()
        bottleneck.project.bias.copy_(torch.tensor([2.0, 0.0, 0.0, 0.0]))  # mean (2, 0), variance 1
    bits = bottleneck.latent_bits(torch.randn(3, 4, 2))
    torch.testing.assert_close(bits, torch.full((3,), 4 * 2.0**2 / 2 / math.log(2)))


def test_evaluation_gives_codes_and_codewords_or_no_codes_and_the_mean() -> None:
    z = torch.tensor([[0.2, 0.9], [0.8, 0.1]])
    discrete, continuous = VectorQuantizer(2, 2), GaussianBottleneck(2)
    discrete.codebook = torch.eye(2)
    codes, values = discrete.train().evaluate(z)
    assert codes.tolist() == [1, 0]
    assert values.tolist() == [[0.0, 1.0], [1.0, 0.0]]
    codes, values = continuous.train().evaluate(z)
    assert codes.shape == (2, 0)
    torch.testing.assert_close(values, continuous.project(z)[:, :2])


def test_only_a_continuous_bottleneck_has_a_posterior_and_samples() -> None:
    z = torch.randn(4, 2)
    discrete, continuous = VectorQuantizer(2, 8), GaussianBottleneck(2)
    assert (discrete.discrete, discrete.posterior(z), discrete.sample(z)) == (True, None, None)
    assert not continuous.discrete
    assert (continuous.bits, continuous.books, continuous.codebook_sizes) == (0, 0, ())
    assert continuous.sample(z).shape == (4, 2)


def test_a_frozen_continuous_bottleneck_has_no_gradients() -> None:
    bottleneck = GaussianBottleneck(2)
    bottleneck.freeze()
    assert not any(p.requires_grad for p in bottleneck.parameters())
    bottleneck.freeze(False)
    assert all(p.requires_grad for p in bottleneck.parameters())
