from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vocabula import registry
from vocabula.errors import OptionError
from vocabula.functional import rotation
from vocabula.quantizers import (
    EMA,
    DiVeQ,
    Estimator,
    Gradient,
    IndexBackpropagation,
    Lookup,
    ResidualQuantizer,
    VectorQuantizer,
)


def with_book(book: Tensor, **options: object) -> VectorQuantizer:
    settings = {"learning": Gradient(), "revival": None} | options
    quantizer = VectorQuantizer(book.shape[1], book.shape[0], **settings)
    quantizer.codebook = book
    return quantizer


class Recorder(Estimator):
    """Keeps what it was given, and teaches the codebook the gradient of the values."""

    def values(self, lookup: Lookup) -> Tensor:
        self.seen = lookup
        return lookup.values


def test_an_estimator_gets_vectors_codes_codewords_and_codebook() -> None:
    recorder, book = Recorder(), torch.randn(6, 3)
    quantizer = with_book(book, estimator=recorder)
    z = torch.randn(10, 3, requires_grad=True)
    result = quantizer(z)
    seen = recorder.seen
    assert torch.equal(seen.z, z)
    assert torch.equal(seen.codes, result.codes)
    assert torch.equal(seen.codebook, book)
    assert torch.equal(seen.values, book[result.codes])
    assert (seen.distance, seen.learning) == ("euclidean", True)
    result.values.sum().backward()
    counts = torch.bincount(result.codes, minlength=6)
    assert torch.equal(quantizer.book.weight.grad, counts[:, None].expand(6, 3).float())
    quantizer.eval()(z)
    assert not recorder.seen.learning


def test_a_function_still_gets_vectors_and_constant_codewords() -> None:
    given = []

    def old(z: Tensor, values: Tensor) -> Tensor:
        given.append(values)
        return values + (z - z.detach())

    z = torch.randn(5, 3, requires_grad=True)
    with_book(torch.randn(6, 3), estimator=old)(z).values.sum().backward()
    assert torch.equal(z.grad, torch.ones(5, 3))
    assert not given[0].requires_grad


@pytest.mark.parametrize("estimator", [DiVeQ(), IndexBackpropagation(), Recorder()])
def test_an_estimator_that_teaches_needs_a_book_that_learns_by_gradient(estimator) -> None:
    with pytest.raises(OptionError, match=r"got EMA.*; use learning=Gradient\(\)") as error:
        VectorQuantizer(4, 8, estimator=estimator, learning=EMA())
    assert "\n" not in str(error.value)


def test_estimators_by_name() -> None:
    quantizer = VectorQuantizer(4, 8, estimator="diveq", learning="gradient")
    assert quantizer.estimator == DiVeQ()
    settings = {"name": "index_backpropagation", "temperature": 0.5}
    quantizer = VectorQuantizer(4, 8, estimator=settings, learning="gradient")
    assert registry.spec(quantizer)["estimator"] == settings
    assert registry.spec(VectorQuantizer(4, 8))["estimator"] == "straight_through"
    with pytest.raises(OptionError, match="noise_variance: expected a number >= 0, got -1"):
        DiVeQ(-1.0)
    with pytest.raises(OptionError, match="temperature: expected a number > 0, got 0"):
        IndexBackpropagation(0.0)


def test_diveq_alone_teaches_encoder_and_codebook() -> None:
    """The published setting: no loss of the quantizer's own, only the reconstruction."""
    torch.manual_seed(0)
    centers = torch.tensor([[-3.0, 0.0], [0.0, 3.0], [3.0, 0.0], [0.0, -3.0]])
    quantizer = with_book(
        0.3 * centers, estimator=DiVeQ(1e-3), commitment_weight=0.0, codebook_weight=0.0
    )
    optimizer = torch.optim.Adam(quantizer.parameters(), lr=0.05)
    for _ in range(200):
        z = centers.repeat(20, 1) + 0.1 * torch.randn(80, 2)
        optimizer.zero_grad()
        result = quantizer(z)
        assert result.loss == 0
        (result.values - z).square().mean().backward()
        optimizer.step()
    torch.testing.assert_close(quantizer.codebook, centers, atol=0.1, rtol=0)


def test_diveq_values_are_near_codewords_in_training_and_on_them_after() -> None:
    quantizer, z = with_book(torch.randn(6, 3), estimator=DiVeQ(0.01)), torch.randn(20, 3)
    result = quantizer(z)
    exact = quantizer.decode(result.codes)
    assert not torch.equal(result.values, exact)
    torch.testing.assert_close((result.values - z).norm(dim=-1), (exact - z).norm(dim=-1))
    for later in (quantizer.eval(), quantizer.train()):
        later.freeze()
        assert torch.equal(later(z).values, exact)


def test_residual_stages_with_diveq_sum_codewords_and_learn_from_the_reconstruction() -> None:
    stages = [with_book(torch.randn(6, 3), estimator=DiVeQ(0.01)) for _ in range(2)]
    quantizer, z = ResidualQuantizer(stages), torch.randn(20, 3)
    result = quantizer(z)
    assert torch.equal(result.values, quantizer.decode(result.codes))
    result.values.square().sum().backward()
    assert all(stage.book.weight.grad.abs().max() > 0 for stage in stages)


def test_index_backpropagation_moves_codewords_that_nothing_chose() -> None:
    for estimator, moved in ((IndexBackpropagation(), 6), ("straight_through", 0)):
        quantizer = with_book(torch.randn(6, 3), estimator=estimator)
        result = quantizer(quantizer.codebook[2:3].requires_grad_())
        result.values.square().sum().backward()
        grad = quantizer.book.weight.grad
        assert moved == (0 if grad is None else int((grad.norm(dim=-1) > 0).sum()))


def test_rotation_with_drawn_codes_has_a_bounded_gradient() -> None:
    """Drawn codes may be far and opposite: |e|/|z| has no bound, but the gain has."""
    torch.manual_seed(0)
    book = torch.randn(64, 8) * torch.logspace(-3, 3, 64)[:, None]
    quantizer = with_book(book, estimator="rotation", sampling_temperature=1e9)
    z = (torch.randn(500, 8) * torch.logspace(-6, 2, 500)[:, None]).requires_grad_()
    upstream = torch.randn(500, 8)
    result = quantizer(z)
    ratio = result.values.norm(dim=-1) / z.detach().norm(dim=-1)
    assert ratio.max() > 1e6  # what the published rotation would multiply by
    result.values.backward(upstream)
    assert (z.grad.norm(dim=-1) <= 4.001 * upstream.norm(dim=-1)).all()
    (plain,) = torch.autograd.grad(rotation(z, result.values.detach()), z, upstream)
    torch.testing.assert_close(z.grad, plain)


def test_rotation_with_drawn_codes_trains_without_divergence() -> None:
    torch.manual_seed(0)
    network = torch.nn.Linear(4, 4)
    quantizer = VectorQuantizer(4, 16, estimator="rotation", sampling_temperature=1.0)
    optimizer = torch.optim.Adam([*network.parameters(), *quantizer.parameters()], lr=1e-2)
    losses = []
    for _ in range(150):
        x = torch.randn(64, 4)
        result = quantizer(network(x))
        loss = (result.values - x).square().mean() + result.loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert max(losses[-20:]) < losses[0]
