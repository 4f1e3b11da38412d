"""Likelihoods are distributions over 256 values, and their bits are those of hand arithmetic."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from processes import spawn
from vocabula.errors import OptionError, ShapeError
from vocabula.tokenizers import Categorical, Gaussian, Likelihood, LogisticMixture

GRID = torch.arange(256, dtype=torch.float64) / 255


def total_probability(likelihood: Likelihood, parameters: Tensor) -> Tensor:
    """Sum over the 256 values of a one-channel, one-pixel image per row of parameters (N, P)."""
    repeated = parameters[:, None].expand(-1, 256, -1).reshape(-1, parameters.shape[1], 1, 1)
    x = GRID.repeat(len(parameters)).reshape(-1, 1, 1, 1)
    return likelihood.log_prob(repeated, x).reshape(-1, 256).exp().sum(1)


@pytest.mark.parametrize("variance", [1e-6, 1e-4, 0.01, 1 / 12, 25.0])
def test_gaussian_probabilities_sum_to_one(variance: float) -> None:
    likelihood = Gaussian().double()
    likelihood.noise_variance.fill_(variance)
    means = torch.linspace(-0.8, 0.8, 33, dtype=torch.float64)[:, None]
    total = total_probability(likelihood, means)
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-12)


@pytest.mark.parametrize("spread", [0.1, 1.0, 10.0])
def test_logistic_mixture_probabilities_sum_to_one(spread: float) -> None:
    torch.manual_seed(0)
    likelihood = LogisticMixture(3)
    total = total_probability(likelihood, spread * torch.randn(20, 9, dtype=torch.float64))
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-12)


def test_categorical_probabilities_sum_to_one() -> None:
    torch.manual_seed(0)
    total = total_probability(Categorical(), 5 * torch.randn(20, 256, dtype=torch.float64))
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-12)


def test_logistic_mixture_of_two_channels_sums_to_one_over_all_pairs() -> None:
    torch.manual_seed(0)
    likelihood = LogisticMixture(2)
    parameters = torch.randn(1, likelihood.parameter_channels(2), 1, 1, dtype=torch.float64)
    x = torch.cartesian_prod(GRID, GRID)[..., None, None]
    total = likelihood.log_prob(parameters.expand(len(x), -1, -1, -1), x).exp().sum()
    assert float(total) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("level", [60, 90, 100, 140, 160])
def test_gaussian_bits_are_the_integral_over_the_bin(level: int) -> None:
    """Mean 0.39, sigma 0.02, against the trapezoidal integral of the density over the bin."""
    likelihood = Gaussian().double()
    likelihood.noise_variance.fill_(0.0004)
    mean, sigma = 0.39, math.sqrt(float(likelihood.noise_variance))
    points = torch.linspace(level - 0.5, level + 0.5, 20_001, dtype=torch.float64) / 255
    density = (-(((points - mean) / sigma) ** 2) / 2).exp() / (sigma * math.sqrt(2 * math.pi))
    probability = float(torch.trapezoid(density, points))
    parameters = torch.full((1, 1, 1, 1), mean - 0.5, dtype=torch.float64)
    bits = likelihood.bits_per_dim(parameters, torch.full((1, 1, 1, 1), level / 255))
    assert float(bits) == pytest.approx(-math.log2(probability), rel=1e-7)


def test_gaussian_tails_fall_into_the_end_bins() -> None:
    """At mean 0.5 and sigma 1 the first bin has Phi((0.5/255 - 0.5) / 1) = Phi(-0.49804)."""
    likelihood = Gaussian()
    likelihood.noise_variance.fill_(1.0)
    ends = torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1)
    bits = likelihood.bits_per_dim(torch.zeros(2, 1, 1, 1), ends)
    first = 0.5 * math.erfc((0.5 - 0.5 / 255) / math.sqrt(2))
    assert bits.tolist() == pytest.approx([-math.log2(first)] * 2, rel=1e-9)


def test_gaussian_bits_far_in_the_tail_are_finite() -> None:
    likelihood = Gaussian()
    likelihood.noise_variance.fill_(0.0)
    x = torch.tensor([0.0, 0.5, 1.0])[:, None, None, None]
    assert likelihood.bits_per_dim(torch.full((3, 1, 1, 1), 0.5), x).isfinite().all()


def test_gaussian_loss_is_the_normalized_squared_error() -> None:
    """m = 0.5 + (0.1, 0.2) against 0.5: errors 0.01 and 0.04, mean 0.025, over 0.05."""
    likelihood = Gaussian(variance=0.05).eval()
    parameters = torch.tensor([0.1, 0.2]).reshape(1, 2, 1, 1)
    assert float(likelihood.loss(parameters, torch.full((1, 2, 1, 1), 0.5))) == pytest.approx(0.5)


def test_noise_variance_averages_the_training_error() -> None:
    likelihood = Gaussian(variance=0.05)
    x = torch.full((1, 1, 1, 1), 0.5)
    assert float(likelihood.noise_variance) == pytest.approx(1 / 12)
    for error in (0.1, 0.2, 0.3):
        likelihood.loss(torch.full((1, 1, 1, 1), error), x)
    assert float(likelihood.noise_variance) == pytest.approx((0.01 + 0.04 + 0.09) / 3)
    likelihood.eval().loss(torch.ones(1, 1, 1, 1), x)
    likelihood.train().loss(torch.full((1, 1, 1, 1), torch.nan), x)
    assert float(likelihood.noise_variance) == pytest.approx((0.01 + 0.04 + 0.09) / 3)


def _average_noise(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    likelihood = Gaussian()
    for error, counts in ((0.1 + 0.1 * rank, 2), (0.3, 2 * rank), (0.9, 0)):
        x = torch.full((counts, 1, 1, 1), 0.5)
        likelihood.loss(torch.full_like(x, error), x)
    assert float(likelihood.noise_variance) == pytest.approx((0.025 + 0.09) / 2)
    dist.destroy_process_group()


@pytest.mark.slow
def test_a_rank_without_a_signal_does_not_change_the_noise(tmp_path: Path) -> None:
    spawn(_average_noise, str(tmp_path))


def test_noise_variance_stays_float32() -> None:
    likelihood = Gaussian().bfloat16()
    assert likelihood.noise_variance.dtype == torch.float32


def test_noise_variance_follows_with_decay_099_after_a_hundred_batches() -> None:
    likelihood = Gaussian()
    x = torch.full((1, 1, 1, 1), 0.5)
    for _ in range(100):
        likelihood.loss(torch.zeros(1, 1, 1, 1), x)
    likelihood.loss(torch.full((1, 1, 1, 1), 0.5), x)
    assert float(likelihood.noise_variance) == pytest.approx(0.01 * 0.25)


def test_logistic_mixture_parameter_counts() -> None:
    """PixelCNN++: 10 per mixture for RGB, 3 for grey; C = 5: 1 + 10 + 10."""
    likelihood = LogisticMixture(10)
    assert [likelihood.parameter_channels(c) for c in (1, 3, 5)] == [30, 100, 210]


def test_one_logistic_is_the_difference_of_two_sigmoids() -> None:
    """Mean 0, log scale -2 on [-1, 1]; level 130 is v = 260/255 - 1."""
    likelihood = LogisticMixture(1)
    parameters = torch.tensor([0.3, 0.0, -2.0], dtype=torch.float64).reshape(1, 3, 1, 1)
    v, scale = 260 / 255 - 1, math.exp(-2)
    sigmoid = lambda t: 1 / (1 + math.exp(-t))  # noqa: E731
    p = sigmoid((v + 1 / 255) / scale) - sigmoid((v - 1 / 255) / scale)
    x = torch.full((1, 1, 1, 1), 130 / 255, dtype=torch.float64)
    assert float(likelihood.log_prob(parameters, x)) == pytest.approx(math.log(p), rel=1e-12)


def test_channels_follow_those_before_them() -> None:
    """With coefficient tanh(c) on channel 0, channel 1 is centred at tanh(c) v_0."""
    likelihood = LogisticMixture(1)
    c = math.atanh(0.5)
    # logits, means (2), log scales (2), coefficient (1, 0)
    values = [0.0, 0.41, 0.1, -7.0, -7.0, c]
    parameters = torch.tensor(values, dtype=torch.float64).reshape(1, 6, 1, 1)
    mean = likelihood.mean(parameters).flatten()
    assert mean.tolist() == pytest.approx([(0.41 + 1) / 2, (0.1 + 0.5 * 0.41 + 1) / 2])
    best = max(
        itertools.product(range(175, 182), range(160, 170)),
        key=lambda pair: float(
            likelihood.log_prob(
                parameters, torch.tensor(pair, dtype=torch.float64).reshape(1, 2, 1, 1) / 255
            )
        ),
    )
    assert best[0] == round(0.705 * 255)
    assert best[1] == round((0.1 + 0.5 * (2 * best[0] / 255 - 1) + 1) / 2 * 255)


@pytest.mark.parametrize("value", [-60.0, 60.0])
def test_logistic_mixture_is_stable_in_the_tails(value: float) -> None:
    likelihood = LogisticMixture(2)
    parameters = torch.full((1, 6, 1, 1), value, requires_grad=True)
    for level in (0.0, 0.5, 1.0):
        loss = likelihood.loss(parameters, torch.full((1, 1, 1, 1), level))
        (gradient,) = torch.autograd.grad(loss, parameters)
        assert loss.isfinite() and gradient.isfinite().all()


def test_logistic_mixture_gradient_agrees_with_differences() -> None:
    torch.manual_seed(0)
    likelihood = LogisticMixture(2)
    parameters = torch.randn(1, likelihood.parameter_channels(3), 2, 2, dtype=torch.float64)
    x = torch.randint(0, 256, (1, 3, 2, 2)) / 255
    assert torch.autograd.gradcheck(
        lambda p: likelihood.loss(p, x), parameters.requires_grad_(), atol=1e-7
    )


def test_logistic_mixture_names_a_wrong_number_of_parameters() -> None:
    with pytest.raises(ShapeError, match="expected 12 parameters per pixel for 2 channels, got 7"):
        LogisticMixture(2).mean(torch.zeros(1, 7, 1, 1))


def test_uniform_logits_cost_eight_bits() -> None:
    bits = Categorical().bits_per_dim(torch.zeros(2, 768, 3, 2), torch.rand(2, 3, 3, 2))
    assert bits.tolist() == pytest.approx([8.0, 8.0], rel=1e-6)


def test_categorical_channels_are_contiguous_blocks_of_256() -> None:
    parameters = torch.zeros(1, 512, 1, 1)
    parameters[0, 256 + 51] = 100
    mean = Categorical().mean(parameters).flatten().tolist()
    assert mean == pytest.approx([0.5, 0.2], abs=1e-6)
    x = torch.tensor([0.5, 0.2]).reshape(1, 2, 1, 1)
    loss = float(Categorical().loss(parameters, x))
    assert loss == pytest.approx(math.log(256) / 2, rel=1e-6)


@pytest.mark.parametrize("likelihood", [Gaussian(), LogisticMixture(2), Categorical()])
def test_empty_batches_cost_nothing(likelihood: Likelihood) -> None:
    parameters = torch.zeros(0, likelihood.parameter_channels(3), 2, 2)
    assert float(likelihood.loss(parameters, torch.zeros(0, 3, 2, 2))) == 0
    assert likelihood.bits_per_dim(parameters, torch.zeros(0, 3, 2, 2)).shape == (0,)


@pytest.mark.parametrize("likelihood", [Gaussian(), LogisticMixture(2), Categorical()])
def test_means_lie_in_the_unit_interval(likelihood: Likelihood) -> None:
    torch.manual_seed(0)
    mean = likelihood.mean(9 * torch.randn(2, likelihood.parameter_channels(3), 4, 4))
    assert mean.shape == (2, 3, 4, 4)
    assert mean.min() >= 0 and mean.max() <= 1


def test_variance_must_be_positive() -> None:
    with pytest.raises(OptionError, match="variance"):
        Gaussian(variance=0.0)
