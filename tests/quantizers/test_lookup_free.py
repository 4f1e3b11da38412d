"""Lookup-free and binary spherical quantization against hand arithmetic and float64."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from vocabula import registry
from vocabula.errors import CodeError, OptionError
from vocabula.quantizers import LookupFreeQuantizer


def reference_entropies(z: Tensor, magnitude: float, tau: float) -> tuple[Tensor, Tensor]:
    """Sample and batch entropy of z (N, bits) by listing all codewords."""
    bits = z.shape[1]
    corners = magnitude * torch.tensor(list(itertools.product([-1, 1], repeat=bits))).to(z)
    log_p = torch.log_softmax(2 * tau * z @ corners.T, -1)
    sample = -(log_p.exp() * log_p).sum(-1).mean()
    mean = log_p.exp().mean(0)
    return sample, -(mean * mean.log()).sum()


def test_index_of_a_hand_vector() -> None:
    result = LookupFreeQuantizer(4, scale=0.5)(torch.tensor([[0.3, -2.0, 5.0, 0.0]]))
    assert result.codes.tolist() == [0b1010]  # most significant first, 0 counts as negative
    assert result.values.tolist() == [[0.5, -0.5, 0.5, -0.5]]


def test_books_have_codes_of_their_own() -> None:
    quantizer = LookupFreeQuantizer(6, books=2)
    result = quantizer(torch.tensor([[1.0, 1, -1, -1, -1, 1]]))
    assert result.codes.tolist() == [[6, 1]]
    assert quantizer.codebook_sizes == (8, 8)
    assert quantizer.code_shape == (2,)


def test_spherical_codewords_have_the_norm_of_the_scale() -> None:
    quantizer = LookupFreeQuantizer(8, books=2, scale=3.0, spherical=True)
    values = quantizer(torch.randn(5, 8)).values
    torch.testing.assert_close(values.unflatten(-1, (2, 4)).norm(dim=-1), torch.full((5, 2), 3.0))


@pytest.mark.parametrize("spherical", [False, True])
@pytest.mark.parametrize("term", ["commitment", "entropy_sample", "entropy_batch"])
def test_losses_and_their_gradients(term: str, spherical: bool) -> None:
    quantizer = LookupFreeQuantizer(
        6, books=2, scale=0.7, inverse_temperature=1.3, spherical=spherical
    ).double()
    z = torch.randn(11, 6, dtype=torch.float64, requires_grad=True)
    inner = z.unflatten(-1, (2, 3))
    inner = inner / inner.norm(dim=-1, keepdim=True) if spherical else inner
    s = 0.7 / math.sqrt(3) if spherical else 0.7
    corners = torch.where(inner > 0, s, -s).detach()
    pairs = [reference_entropies(inner[:, book], s, 1.3) for book in range(2)]
    expected = {
        "commitment": (inner - corners).square().mean(),
        "entropy_sample": torch.stack([pair[0] for pair in pairs]),
        "entropy_batch": torch.stack([pair[1] for pair in pairs]),
    }[term]
    found = quantizer(z).losses[term]
    torch.testing.assert_close(found, expected)
    for got, want in zip(found.reshape(-1), expected.reshape(-1), strict=True):
        (gradient,) = torch.autograd.grad(got, z, retain_graph=True)
        (wanted,) = torch.autograd.grad(want, z, retain_graph=True)
        torch.testing.assert_close(gradient, wanted)


def test_loss_is_the_weighted_sum() -> None:
    quantizer = LookupFreeQuantizer(
        6, books=2, entropy_weight=0.3, diversity_gamma=1.7, commitment_weight=0.6
    ).double()
    result = quantizer(torch.randn(9, 6, dtype=torch.float64))
    terms = result.losses
    entropies = (terms["entropy_sample"] - 1.7 * terms["entropy_batch"]).sum()
    torch.testing.assert_close(result.loss, 0.6 * terms["commitment"] + 0.3 * entropies)
    assert "entropy_batch" not in LookupFreeQuantizer(6, entropy_weight=0)(torch.randn(2, 6)).losses


def test_entropies_at_2_to_the_18_codes() -> None:
    quantizer = LookupFreeQuantizer(18)
    terms = quantizer(torch.zeros(4, 18)).losses  # every code equally likely
    for name in ("entropy_sample", "entropy_batch"):
        torch.testing.assert_close(terms[name], torch.tensor([18 * math.log(2)]))
    z = torch.randn(64, 18, requires_grad=True)
    quantizer(z).losses["entropy_batch"].sum().backward()
    assert float(z.grad.abs().sum()) > 0


def test_every_code_of_2_to_the_18_survives_the_round_trip() -> None:
    quantizer = LookupFreeQuantizer(18).eval()
    codes = torch.arange(2**18)
    assert torch.equal(quantizer.encode(quantizer.decode(codes)), codes)


def test_codes_are_exact_up_to_62_bits() -> None:
    quantizer = LookupFreeQuantizer(62, entropy_weight=0)
    codes = torch.tensor([2**62 - 1, 2**53 + 1, 1, 0])
    assert torch.equal(quantizer(quantizer.decode(codes)).codes, codes)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"books": 2, "spherical": True},
        {"bits": 5, "books": 3},
        {"activation": "tanh", "scale": 0.1},
    ],
)
def test_values_are_decode_of_codes(options: dict[str, object], training: bool) -> None:
    quantizer = LookupFreeQuantizer(8, **options).train(training)
    z = torch.randn(3, 7, 8)
    result = quantizer(z)
    assert torch.equal(result.values, quantizer.decode(result.codes))
    assert torch.equal(result.codes, quantizer.encode(z))


def test_gradient_passes_straight_through() -> None:
    z = torch.randn(5, 8, requires_grad=True)
    weight = torch.randn(5, 8)
    (LookupFreeQuantizer(8)(z).values * weight).sum().backward()
    assert torch.equal(z.grad, weight)


def test_gradient_of_an_activation() -> None:
    z = torch.randn(5, 8, dtype=torch.float64, requires_grad=True)
    quantizer = LookupFreeQuantizer(8, activation=torch.tanh).double()
    quantizer(z).values.sum().backward()
    torch.testing.assert_close(z.grad, (1 / torch.cosh(z) ** 2).detach())


def test_spherical_gradient_is_bounded_at_the_origin() -> None:
    z = torch.zeros(2, 4, requires_grad=True)
    result = LookupFreeQuantizer(4, spherical=True)(z)
    (result.values.sum() + result.loss).backward()
    assert float(z.grad.abs().max()) <= 1e5


def test_masked_rows_do_not_count() -> None:
    quantizer = LookupFreeQuantizer(4, books=2).double()
    z = torch.randn(6, 4, dtype=torch.float64)
    z[0] = torch.nan
    mask = torch.tensor([True, True, False, True, True, True])
    expected, found = quantizer(z[[1, 3, 4, 5]]), quantizer(z, mask)
    torch.testing.assert_close(found.loss, expected.loss)
    for name, term in expected.losses.items():
        torch.testing.assert_close(found.losses[name], term)
    nothing = quantizer(z, torch.zeros(6, dtype=torch.bool))
    assert float(nothing.loss) == 0


@pytest.mark.parametrize(
    ("options", "word"),
    [({"books": 3}, "divisor"), ({"bits": 63}, "bits"), ({"bits": 30}, "entropy_weight=0")],
)
def test_wrong_sizes_are_refused(options: dict[str, int], word: str) -> None:
    with pytest.raises(OptionError, match=word):
        LookupFreeQuantizer(8, **options)


@pytest.mark.parametrize("code", [-1, 16])
def test_codes_out_of_range_are_refused(code: int) -> None:
    with pytest.raises(CodeError, match=str(code)):
        LookupFreeQuantizer(4).decode(torch.tensor([code]))


@pytest.mark.slow
def test_compiles_whole() -> None:
    quantizer = LookupFreeQuantizer(6, bits=4, books=2, spherical=True)
    z = torch.randn(3, 5, 6)
    compiled = torch.compile(quantizer, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(z).loss, quantizer(z).loss)


def test_settings_make_an_equal_quantizer() -> None:
    quantizer = LookupFreeQuantizer(6, bits=4, activation="tanh")
    again = registry.build("quantizer", registry.spec(quantizer))
    again.load_state_dict(quantizer.state_dict())
    z = torch.randn(9, 6)
    assert torch.equal(again(z).values, quantizer(z).values)
