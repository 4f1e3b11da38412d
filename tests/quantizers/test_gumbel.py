"""Gumbel-softmax quantization against its formulas in float64."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import torch.nn.functional as F

from vocabula import registry
from vocabula.errors import OptionError
from vocabula.quantizers import (
    Annealing,
    FromData,
    GumbelQuantizer,
    Initialization,
    KMeans,
    Normal,
    ResidualQuantizer,
)


def with_logits(size: int = 3, **options: object) -> GumbelQuantizer:
    """A quantizer whose vectors are the logits themselves."""
    quantizer = GumbelQuantizer(size, size, **options).double()
    with torch.no_grad():
        quantizer.to_logits.weight.copy_(torch.eye(size))
        quantizer.to_logits.bias.zero_()
    return quantizer


def test_gradient_against_the_formula() -> None:
    quantizer = with_logits(4, temperature=0.7, kl_weight=0.0)
    z = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(6, 4, dtype=torch.float64)
    torch.manual_seed(3)
    result = quantizer(z)
    (result.values * weight).sum().backward()
    torch.manual_seed(3)
    noise = -torch.empty(6, 4, dtype=torch.float64).exponential_().log()
    p = torch.softmax((z.detach() + noise) / 0.7, -1)
    assert torch.equal(result.codes, (z + noise).argmax(-1))
    slope = weight @ quantizer.codebook.detach().T  # dL/dp
    expected = p * (slope - (p * slope).sum(-1, keepdim=True)) / 0.7
    torch.testing.assert_close(z.grad, expected)
    torch.testing.assert_close(quantizer.codebook.grad, p.T @ weight)


def test_training_draws_from_the_softmax() -> None:
    quantizer = with_logits()
    logits = torch.tensor([0.0, 1.0, -1.0]).double()
    codes = quantizer(logits.expand(40_000, 3)).codes
    shares = codes.bincount(minlength=3) / 40_000
    # standard error of a share is at most 0.0025
    torch.testing.assert_close(shares.double(), torch.softmax(logits, -1), atol=0.01, rtol=0)


def test_noise_given_the_codes_is_gumbel_noise() -> None:
    quantizer = with_logits()
    logits = torch.tensor([0.0, 1.0, -1.0]).double().expand(60_000, 3)
    codes = torch.distributions.Categorical(logits=logits).sample()
    scores = quantizer._scores(logits, codes)
    assert torch.equal(scores.argmax(-1), codes)
    noise = scores - logits
    # mean = Euler's constant, variance = pi^2 / 6, in each place
    torch.testing.assert_close(noise.mean(0), torch.full((3,), 0.5772).double(), atol=0.03, rtol=0)
    variance = torch.full((3,), math.pi**2 / 6).double()
    torch.testing.assert_close(noise.var(0), variance, atol=0.08, rtol=0)


@pytest.mark.parametrize(
    ("logits", "kl"),
    [
        ((0.0, 0.0), 0.0),
        ((math.log(3), 0.0), 0.75 * math.log(1.5) + 0.25 * math.log(0.5)),
        ((5000.0, 0.0), math.log(2)),
    ],
)
def test_kl_to_uniform(logits: tuple[float, float], kl: float) -> None:
    quantizer = with_logits(2, kl_weight=0.3)
    z = torch.tensor([logits, (7.0, -9.0)]).double()
    result = quantizer(z, torch.tensor([True, False]))
    torch.testing.assert_close(result.losses["kl"], torch.tensor(kl).double())
    torch.testing.assert_close(result.loss, 0.3 * result.losses["kl"])


def test_kl_gradient() -> None:
    quantizer = with_logits(4)
    z = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(quantizer(z).losses["kl"], z)
    q = torch.softmax(z.detach(), -1)
    kl = (q * (4 * q).log()).sum(-1, keepdim=True)
    torch.testing.assert_close(found, q * ((4 * q).log() - kl) / 6)


def test_evaluation_is_deterministic_and_ties_go_low() -> None:
    quantizer = with_logits().eval()
    z = torch.tensor([[1.0, 1.0, 0.0], [0.0, 2.0, 2.0], [0.0, 0.0, 0.1]]).double()
    for _ in range(3):
        assert quantizer(z).codes.tolist() == [0, 1, 2]
        assert quantizer.encode(z).tolist() == [0, 1, 2]
    quantizer.train()
    assert quantizer.encode(z).tolist() == [0, 1, 2]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("codebook_dim", [None, 3])
def test_values_are_decode_of_codes(codebook_dim: int | None, training: bool) -> None:
    quantizer = GumbelQuantizer(5, 9, codebook_dim=codebook_dim).train(training)
    result = quantizer(torch.randn(4, 6, 5))
    assert torch.equal(result.values, quantizer.decode(result.codes))


def test_soft_training_mixes_and_evaluation_does_not() -> None:
    quantizer = GumbelQuantizer(5, 9, hard=False, temperature=3.0)
    z = torch.randn(4, 5)
    result = quantizer(z)
    assert not torch.equal(result.values, quantizer.decode(result.codes))
    result = quantizer.eval()(z)
    assert torch.equal(result.values, quantizer.decode(result.codes))


@pytest.mark.parametrize(
    ("shape", "middle"),
    [("exponential", 0.25), ("linear", 0.53125), ("cosine", 0.53125)],
)
def test_annealing_from_1_to_a_sixteenth(shape: str, middle: float) -> None:
    annealing = Annealing(1.0, 0.0625, steps=100, shape=shape)
    found = [float(annealing.at(torch.tensor(step))) for step in (0, 50, 100, 10_000)]
    assert found == pytest.approx([1.0, middle, 0.0625, 0.0625])


def test_annealing_quarter_of_the_cosine() -> None:
    found = float(Annealing(2.0, 1.0, steps=4, shape="cosine").at(torch.tensor(1)))
    assert found == pytest.approx(1 + (1 + math.sqrt(0.5)) / 2)


def test_only_updates_after_training_count() -> None:
    quantizer = GumbelQuantizer(4, 8, temperature=Annealing(1.0, 0.5, 10), auto_update=False)
    z = torch.randn(3, 4)
    for _ in range(3):
        quantizer(z)  # micro-batches of one step
    quantizer.update()
    quantizer.update()  # nothing new since
    assert int(quantizer.updates) == 1
    quantizer.eval()(z)
    quantizer.update()
    assert int(quantizer.updates) == 1
    assert float(quantizer.current_temperature) == pytest.approx(0.5**0.1)
    quantizer.train().auto_update = True
    quantizer(z)
    assert int(quantizer.updates) == 2
    quantizer.freeze()
    quantizer(z)
    assert int(quantizer.updates) == 2


def test_temperature_is_used() -> None:
    quantizer = with_logits(temperature=Annealing(1.0, 0.1, 1), hard=False)
    z = torch.randn(5, 3).double()
    for temperature in (1.0, 0.1, 0.1):
        torch.manual_seed(1)
        values = quantizer(z).values
        torch.manual_seed(1)
        noisy = z - torch.empty_like(z).exponential_().log()
        expected = torch.softmax(noisy / temperature, -1) @ quantizer.codebook
        torch.testing.assert_close(values, expected)


def test_candidates_are_the_most_probable() -> None:
    quantizer = with_logits()
    z = torch.tensor([[0.0, 2.0, 1.0], [3.0, 3.0, 9.0]]).double()
    assert quantizer.candidates(z, 2).tolist() == [[1, 2], [2, 0]]
    assert quantizer.candidates(z, 7).shape == (2, 3)


@pytest.mark.slow
def test_it_learns_the_modes_of_its_data() -> None:
    quantizer = GumbelQuantizer(2, 4, temperature=Annealing(1.0, 0.2, 200))
    optimizer = torch.optim.Adam(quantizer.parameters(), 0.05)
    corners = torch.tensor([[1.0, 1.0], [1, -1], [-1, 1], [-1, -1]])
    z = 3 * corners.repeat(16, 1)
    for _ in range(300):
        result = quantizer(z)
        loss = F.mse_loss(result.values, z) + result.loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert F.mse_loss(quantizer.eval()(z).values, z) < 0.5 * z.var()


@pytest.mark.parametrize(
    "options",
    [{"temperature": 0.0}, {"temperature": {"start": 1.0, "end": 0.0, "steps": 3}}, {"shape": 1}],
)
def test_wrong_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(OptionError):
        GumbelQuantizer(4, 4, **options)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("initialization", "training"), [(Normal(), True), (KMeans(), True), (KMeans(), False)]
)
def test_compiles_whole(initialization: Initialization, training: bool) -> None:
    annealing = Annealing(1.0, 0.5, 10)
    quantizer = GumbelQuantizer(4, 6, temperature=annealing, initialization=initialization)
    quantizer.train(training)
    z = torch.randn(3, 5, 4, requires_grad=True)
    compiled = torch.compile(quantizer, fullgraph=True, backend="eager")
    result = compiled(z)
    (result.values.sum() + result.loss).backward()
    assert torch.equal(result.values, quantizer.decode(result.codes))
    assert int(quantizer.updates) == int(training)


def test_settings_make_an_equal_quantizer() -> None:
    quantizer = GumbelQuantizer(4, 6, temperature=Annealing(1.0, 0.5, 10), codebook_dim=3)
    quantizer(torch.randn(9, 4))
    again = registry.build("quantizer", registry.spec(quantizer))
    again.load_state_dict(quantizer.state_dict())
    assert again.current_temperature == quantizer.current_temperature
    z = torch.randn(9, 4)
    assert torch.equal(again.eval()(z).values, quantizer.eval()(z).values)


def strong_mean(rows: int = 600) -> torch.Tensor:
    """Eight clusters about far points; their mean is 20 times as long as their spread."""
    torch.manual_seed(0)
    return 20 + torch.randn(8, 6)[torch.arange(rows) % 8] + 0.05 * torch.randn(rows, 6)


@pytest.mark.parametrize("rule", [KMeans(), FromData()])
def test_a_start_on_the_data_uses_every_code(rule: Initialization) -> None:
    z = strong_mean()
    found = {}
    for name, initialization in {"random": Normal(), "data": rule}.items():
        quantizer = GumbelQuantizer(6, 8, initialization=initialization)
        quantizer(z)
        found[name] = quantizer.encode(z)
        nearest = torch.cdist(z.double(), quantizer.codebook.detach().double()).argmin(-1)
    assert len(found["random"].unique()) < 4
    assert len(found["data"].unique()) == 8
    assert torch.equal(found["data"], nearest)


def test_logits_are_the_posterior_of_equal_normal_distributions() -> None:
    z = strong_mean(64) - 20 + torch.randn(64, 6)
    quantizer = GumbelQuantizer(6, 8, initialization=KMeans())
    quantizer(z, torch.arange(64) < 40)  # the others count nowhere
    squares = torch.cdist(z.double(), quantizer.codebook.detach().double()).square()
    variance = squares[:40].min(1).values.mean() / 6
    expected = torch.softmax(-squares / (2 * variance), -1)
    torch.testing.assert_close(
        quantizer.to_logits(z).softmax(-1).double(), expected, atol=1e-4, rtol=1e-3
    )


def test_narrow_codewords_start_along_the_principal_directions() -> None:
    torch.manual_seed(0)
    plane = torch.linalg.qr(torch.randn(6, 2))[0]
    z = 5 + torch.randn(300, 2) @ plane.T  # two directions hold all that varies
    narrow = GumbelQuantizer(6, 16, codebook_dim=2, initialization=KMeans())
    whole = GumbelQuantizer(6, 16, initialization=KMeans())
    for quantizer in (narrow, whole):
        quantizer(z)
    assert torch.equal(narrow.encode(z), whole.encode(z))
    torch.testing.assert_close(narrow.eval()(z).values, whole.eval()(z).values)


def test_fits_follow_the_rule_and_an_earlier_graph_stays_valid() -> None:
    quantizer = GumbelQuantizer(6, 8, initialization=KMeans(refit_until=1), auto_update=False)
    first = quantizer(strong_mean())
    start = quantizer.codebook.detach().clone()
    quantizer(2 * strong_mean())  # a micro-batch of the same update
    assert torch.equal(quantizer.codebook, start)
    quantizer.update()
    quantizer(2 * strong_mean())
    assert not torch.allclose(quantizer.codebook, start)
    (first.values.sum() + first.loss).backward()
    quantizer.update()
    start = quantizer.codebook.detach().clone()
    quantizer(3 * strong_mean())
    assert torch.equal(quantizer.codebook, start)
    again = GumbelQuantizer(6, 8, initialization=KMeans(refit_until=1))
    again.load_state_dict(quantizer.state_dict())
    again(9 * strong_mean())
    assert torch.equal(again.codebook, start)


def test_equal_vectors_and_no_vectors_start_it_without_nan() -> None:
    quantizer = GumbelQuantizer(3, 4, initialization=KMeans())
    quantizer(torch.zeros(0, 3))
    assert int(quantizer.fits) == 0
    result = quantizer(torch.ones(5, 3))
    assert torch.equal(result.values, torch.ones(5, 3))
    assert result.loss.isfinite()


def test_residual_stages_that_start_on_the_data_each_lower_the_error() -> None:
    z = strong_mean()
    stages = [GumbelQuantizer(6, 4, initialization=KMeans()) for _ in range(4)]
    quantizer = ResidualQuantizer(stages)
    quantizer(z)
    codes = quantizer.eval().encode(z)
    with torch.no_grad():
        left = [quantizer.decode(codes[:, :n]) - z for n in range(1, 5)]
    errors = [float(part.square().mean()) for part in left]
    assert all(after < 0.8 * before for before, after in itertools.pairwise(errors)), errors
