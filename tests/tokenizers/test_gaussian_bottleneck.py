"""The VAE bottleneck: KL by hand, sampling, free bits, collapse diagnostics."""

from __future__ import annotations

import math

import pytest
import torch

from vocabula.errors import ShapeError
from vocabula.tokenizers import GaussianBottleneck, PosteriorStatistics


def constant(mean: list[float], log_variance: list[float], **options: float) -> GaussianBottleneck:
    """A bottleneck whose posterior is the same whatever z is."""
    bottleneck = GaussianBottleneck(len(mean), **options)
    with torch.no_grad():
        bottleneck.project.weight.zero_()
        bottleneck.project.bias.copy_(torch.tensor(mean + log_variance))
    return bottleneck


def test_kl_by_hand() -> None:
    """N(1, 1): 1/2. N(0, 4): (4 - 1 - ln 4) / 2 = 0.80685. Their mean: 0.65343 nats."""
    bottleneck = constant([1.0, 0.0], [0.0, math.log(4)], kl_weight=0.1).eval()
    result = bottleneck(torch.randn(5, 3, 2))
    expected = (0.5 + (3 - math.log(4)) / 2) / 2
    assert result.losses["kl"].item() == pytest.approx(expected, rel=1e-6)
    assert result.loss.item() == pytest.approx(0.1 * expected, rel=1e-6)
    bits = bottleneck.kl_bits(torch.randn(5, 3, 2))
    assert bits.shape == (5, 3)
    assert bits.flatten().tolist() == pytest.approx([2 * expected / math.log(2)] * 15, rel=1e-6)


def test_free_bits_lift_each_dimension_to_the_floor() -> None:
    """KL (1/2, 0) nats against a floor of 1 bit = 0.6931 nats: both cost 0.6931."""
    bottleneck = constant([1.0, 0.0], [0.0, 0.0], kl_weight=1.0, free_bits=1.0)
    result = bottleneck(torch.randn(4, 2))
    assert result.loss.item() == pytest.approx(math.log(2))
    assert result.losses["kl"].item() == pytest.approx(0.25)


def test_training_samples_and_evaluation_averages() -> None:
    torch.manual_seed(0)
    bottleneck = constant([2.0], [math.log(0.25)])
    sampled = bottleneck(torch.zeros(20_000, 1)).values
    assert sampled.mean().item() == pytest.approx(2, abs=0.02)
    assert sampled.std().item() == pytest.approx(0.5, abs=0.02)
    bottleneck.eval()
    assert (bottleneck(torch.zeros(3, 1)).values == 2).all()


def test_samples_are_seeded() -> None:
    bottleneck = GaussianBottleneck(4).eval()
    z = torch.randn(2, 4)
    draw = [bottleneck.sample(z, generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2)]
    assert torch.equal(draw[0], draw[1])
    assert not torch.equal(draw[0], draw[2])


@pytest.mark.parametrize("batch", [(), (3,), (2, 5), (2, 4, 4), (0,), (2, 0)])
def test_any_batch_shape(batch: tuple[int, ...]) -> None:
    result = GaussianBottleneck(4)(torch.randn(*batch, 4))
    assert result.values.shape == (*batch, 4)
    assert result.codes.shape == (*batch, 0)
    assert result.codes.dtype == torch.int64
    assert result.loss.isfinite()
    result.loss.backward()


def test_mask_and_bad_rows_take_no_part_in_the_loss() -> None:
    bottleneck = GaussianBottleneck(3)
    z = torch.randn(4, 3)
    expected = bottleneck(z[:2]).losses["kl"]
    masked = bottleneck(z, torch.tensor([True, True, False, False])).losses["kl"]
    broken = bottleneck(torch.cat([z[:2], torch.full((1, 3), torch.nan)])).losses["kl"]
    torch.testing.assert_close(masked, expected)
    torch.testing.assert_close(broken, expected)
    nothing = bottleneck(z, torch.zeros(4, dtype=torch.bool))
    assert nothing.losses["kl"].item() == 0 and nothing.loss.item() == 0


def test_a_bad_row_leaves_the_gradient_finite() -> None:
    bottleneck = GaussianBottleneck(3)
    bottleneck(torch.tensor([[torch.nan, 0, 0], [1, 2, 3]])).loss.backward()
    assert bottleneck.project.weight.grad is not None
    assert bottleneck.project.weight.grad.isfinite().all()


def test_widths_are_checked() -> None:
    with pytest.raises(ShapeError, match=r"expected floating-point vectors \(\.\.\., 4\)"):
        GaussianBottleneck(4)(torch.zeros(2, 5))
    with pytest.raises(ShapeError, match="mask"):
        GaussianBottleneck(4)(torch.zeros(2, 4), torch.ones(3, dtype=torch.bool))


def test_active_units_count_dimensions_that_follow_the_data() -> None:
    """Means 100 + (-1, 1): variance 1, active; +-0.05: 0.0025, not (the threshold is 0.01)."""
    statistics = PosteriorStatistics(2)
    for sign in (-1.0, 1.0, -1.0, 1.0):
        statistics.add(torch.tensor([[100 + sign, 0.05 * sign]]), torch.zeros(1, 2))
    assert statistics.rows == 4
    assert statistics.mean_variance.tolist() == pytest.approx([1, 0.0025], rel=1e-6)
    assert statistics.active_units == 1
    # KL of N(mu, 1) is mu^2 / 2: (99^2 + 101^2) / 4 = 5000.5
    assert statistics.kl_per_dimension.tolist() == pytest.approx([5000.5, 0.00125], rel=1e-6)


def test_statistics_of_nothing_are_zero() -> None:
    statistics = GaussianBottleneck(3).statistics(torch.zeros(0, 3))
    assert statistics.active_units == 0
    assert statistics.kl_per_dimension.tolist() == [0, 0, 0]
