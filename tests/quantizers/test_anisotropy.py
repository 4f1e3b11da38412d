"""Codebooks stay in use on vectors with a strong mean or unequal scales, or the cause is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vocabula.benchmark import anisotropic as made
from vocabula.quantizers import (
    CollapseWatch,
    FiniteScalarQuantizer,
    Gradient,
    GumbelQuantizer,
    KMeans,
    LookupFreeQuantizer,
    MLPTransform,
    NetworkReparametrization,
    Normal,
    ProductQuantizer,
    Quantizer,
    ResidualQuantizer,
    VectorQuantizer,
)
from vocabula.quantizers.anisotropy import VectorSample, ratios

DIM, SIZE, BATCH, STEPS = 64, 64, 128, 200


def cone() -> Tensor:
    return torch.from_numpy(made.unit_cone(4096, DIM, 0))


def frames() -> Tensor:
    return torch.from_numpy(made.speech_frames(128, 32, DIM, 0)).flatten(0, 1)


def items() -> Tensor:
    return torch.from_numpy(made.items(4096, DIM, 500, 0))


def usages(quantizer: Quantizer, x: Tensor) -> list[float]:
    """The use of each book over all vectors, after training on batches of neighbours."""
    draws = torch.Generator().manual_seed(0)
    parameters = list(quantizer.parameters())
    optimizer = torch.optim.Adam(parameters, lr=3e-4) if parameters else None
    pieces = x.unflatten(0, (-1, 32))
    for _ in range(STEPS):
        z = pieces[torch.randint(len(pieces), (BATCH // 32,), generator=draws)]
        found = quantizer.train()(z)
        if optimizer is not None:
            optimizer.zero_grad()
            found.loss.backward()
            optimizer.step()
    codes = quantizer.eval().encode(x).reshape(len(x), -1)
    sizes = quantizer.codebook_sizes
    return [len(c.unique()) / k for c, k in zip(codes.unbind(-1), sizes, strict=True)]


def vector(**options: Any) -> VectorQuantizer:
    return VectorQuantizer(DIM, SIZE, **options)


MLP = NetworkReparametrization(MLPTransform(DIM))
CASES: dict[str, tuple[Callable[[], Tensor], Callable[[], Quantizer]]] = {
    "cone, moving averages": (cone, vector),
    "cone, cosine": (cone, lambda: vector(distance="cosine")),
    "cone, gradient": (cone, lambda: vector(learning=Gradient())),
    "cone, perceptron": (cone, lambda: vector(learning=MLP)),
    "cone, residual": (cone, lambda: ResidualQuantizer([vector(), vector()])),
    "items, moving averages": (items, vector),
    "items, product": (items, lambda: ProductQuantizer([VectorQuantizer(32, SIZE) for _ in "ab"])),
    "frames, moving averages": (frames, vector),
    "frames, Gumbel": (frames, lambda: GumbelQuantizer(DIM, SIZE, initialization=KMeans())),
}


@pytest.mark.parametrize(("data", "make"), CASES.values(), ids=CASES)
def test_codebooks_that_start_on_the_data_stay_in_use(
    data: Callable[[], Tensor], make: Callable[[], Quantizer]
) -> None:
    torch.manual_seed(0)
    assert min(usages(make(), data())) >= 0.95


# ------------------------------------------------------------- ratios


def test_ratios_by_hand() -> None:
    # Mean (4, 0, 0); deviations 1, 2 and 20; a component that does not vary has no scale.
    x = torch.tensor([[3.0, -2, 20, 0], [5, 2, 20, 0], [3, 2, -20, 0], [5, -2, -20, 0]])
    mean, scale = ratios(x)
    assert mean == pytest.approx(4 / 405**0.5)
    assert scale == pytest.approx(20 / 2)
    assert ratios(torch.ones(4, 2)) is None


def test_the_sample_takes_valid_rows_of_every_sixteenth_pass() -> None:
    sample = VectorSample()
    assert sample.ratios() is None
    broken = torch.tensor([[3.0], [5.0], [1e6]])
    sample.take(broken, torch.tensor([True, True, False]))
    assert sample.ratios() == (4.0, 1.0)
    for _ in range(15):
        sample.take(10 * broken, None)
    assert sample.ratios() == (4.0, 1.0)
    sample.take(torch.tensor([[1.0], [3.0]]), None)
    assert sample.ratios() == (2.0, 1.0)


def test_masked_rows_and_evaluation_are_no_part_of_the_report() -> None:
    quantizer, z = VectorQuantizer(1, 2), torch.tensor([[3.0], [5.0], [99.0]])
    quantizer.eval()(z)
    assert quantizer.usage_report().mean_ratio is None
    quantizer.train()(z, torch.tensor([True, True, False]))
    assert quantizer.usage_report().mean_ratio == 4.0


# ------------------------------------------------------------- causes


def observed(quantizer: Quantizer, x: Tensor) -> str:
    """What the watch says of a batch."""
    watch = CollapseWatch(quantizer=quantizer, warmup=0)
    found = quantizer.train()(x)
    return " ".join(watch.observe(0, quantizer.usage_report(), found.losses))


@pytest.mark.parametrize(
    "make",
    [lambda: FiniteScalarQuantizer([8, 6, 5], dim=DIM), lambda: LookupFreeQuantizer(DIM, bits=8)],
    ids=["finite scalar", "lookup-free"],
)
def test_a_strong_mean_is_named_and_centring_mends_it(make: Callable[[], Quantizer]) -> None:
    torch.manual_seed(0)
    quantizer, x = make(), items()
    text = observed(quantizer, x)
    ratio = (x.mean(0).norm() / (x - x.mean(0)).square().sum(1).mean().sqrt()).item()
    assert ratio == pytest.approx(10, rel=0.1)
    assert f"The vectors' mean is {ratio:.0f}" in text
    assert "scaling=standard" in text
    torch.manual_seed(0)
    other = observed(make(), (x - x.mean(0)) / x.std(0))
    assert "mean is" not in other and "component varies" not in other


@pytest.mark.parametrize("data", [cone, frames, items])
def test_what_keeps_finite_scalar_codes_alike_is_named_with_two_remedies(
    data: Callable[[], Tensor],
) -> None:
    torch.manual_seed(0)
    text = observed(FiniteScalarQuantizer([8, 6, 5], dim=DIM), data())
    assert "The vectors' mean is" in text
    assert "scaling=standard" in text
    assert "nn.BatchNorm1d(len(levels), affine=False)" in text


def test_the_remedies_for_finite_scalar_codes_raise_their_use() -> None:
    torch.manual_seed(0)
    levels, x = [8, 6, 5], items()
    raw, plain = FiniteScalarQuantizer(levels, dim=DIM), FiniteScalarQuantizer(levels)
    project = nn.Sequential(nn.Linear(DIM, 3), nn.BatchNorm1d(3, affine=False))
    used = [
        len(codes.unique()) / 240
        for codes in (
            raw.encode(x),
            raw.encode((x - x.mean(0)) / x.std(0)),
            plain.encode(project(x)),
        )
    ]
    assert used[0] < 0.05
    assert used[0] < used[1] < used[2]
    assert used[2] > 0.9


def test_a_random_gumbel_start_is_told_the_start_on_the_data() -> None:
    torch.manual_seed(0)
    x = items()
    random = GumbelQuantizer(DIM, SIZE)
    with torch.no_grad():
        random.to_logits.weight.mul_(20)  # codes that are drawn seldom differ then
    assert "GumbelQuantizer(initialization=KMeans())" in observed(random, x)


def test_unequal_scales_are_named() -> None:
    torch.manual_seed(0)
    x = torch.randn(512, DIM)
    x[:, 0] *= 1000
    quantizer = VectorQuantizer(DIM, SIZE, initialization=Normal(), revival=None)
    text = observed(quantizer, x)
    assert "The largest component varies" in text
    assert "mean is" not in text


def test_a_healthy_codebook_gets_no_advice_for_a_strong_mean() -> None:
    quantizer = VectorQuantizer(DIM, SIZE)
    assert observed(quantizer, items()) == ""
    assert quantizer.usage_report().mean_ratio > 5


def test_a_composite_reports_the_vectors_that_it_got() -> None:
    quantizer = ResidualQuantizer([vector(), vector()])
    quantizer(items())
    report = quantizer.usage_report()
    assert report.mean_ratio > 5
    assert report.usage.shape == (2,)
