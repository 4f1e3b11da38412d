"""Every loss term and its gradients, per book, against the formula in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from conformance.references import REFERENCES, weights_of
from conformance.rows import BY_NAME, ROWS, Row, data, prepare
from vocabula.quantizers import Quantizer, VectorQuantizer

by_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


def close(ours: Tensor, expected: Tensor, scale: Tensor, what: str) -> None:
    error = (ours.double() - expected).abs().max()
    assert error <= 1e-4 * scale + 1e-9, f"{what}: off by {error:.2e} at a scale of {scale:.2e}"


@by_row
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_terms_and_gradients(row: Row, training: bool) -> None:
    quantizer = prepare(row, training=training, auto_update=False)
    z = (0.3 * data(60)).requires_grad_()  # small, so that no soft assignment is saturated
    result = quantizer(z)
    weights, x = weights_of(quantizer), z.detach().double().requires_grad_()
    expected = REFERENCES[type(quantizer)](quantizer, weights, x, result.codes)
    assert set(result.losses) == set(expected)
    ours = {"z": z, **dict(quantizer.named_parameters())}
    theirs = {"z": x, **{name: weights[name] for name in ours if name != "z"}}
    for name, term in result.losses.items():
        for book, (a, b) in enumerate(
            zip(term.reshape(-1), expected[name].reshape(-1), strict=True)
        ):
            close(a, b, b.abs(), f"{name} of book {book}")
            compare_gradients(a, b, ours, theirs, f"{name} of book {book}")


def compare_gradients(
    ours: Tensor,
    expected: Tensor,
    inputs: dict[str, Tensor],
    references: dict[str, Tensor],
    what: str,
) -> None:
    if not expected.requires_grad:
        return
    have = gradients(ours, list(inputs.values()))
    want = gradients(expected, list(references.values()))
    for name, a, b in zip(inputs, have, want, strict=True):
        close(a, b, b.abs().max(), f"gradient of {what} to {name}")


def gradients(of: Tensor, to: list[Tensor]) -> list[Tensor]:
    if not of.requires_grad:
        return [torch.zeros_like(t) for t in to]
    found = torch.autograd.grad(of, to, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(t) if g is None else g for g, t in zip(found, to, strict=True)]


@by_row
def test_the_loss_is_the_weighted_sum(row: Row) -> None:
    quantizer = prepare(row, training=False)
    result = quantizer(data(60))
    expected = weighted(quantizer, result.losses)
    torch.testing.assert_close(result.loss, expected, rtol=1e-5, atol=1e-7)


def weighted(quantizer: Quantizer, losses: dict[str, Tensor]) -> Tensor:
    """The sum with the weights of the docstrings, for whole and for composite quantizers."""
    parts = getattr(quantizer, "parts", [quantizer])
    shares = [w / quantizer.dim for w in getattr(quantizer, "widths", [])] or [1.0] * len(parts)
    total, book = torch.zeros(()), 0
    for part, share in zip(parts, shares, strict=True):
        own = range(book, book + part.books)
        for full, term in losses.items():
            name = full.rpartition(".")[-1]  # of a scale
            value = term if term.ndim == 0 else term[list(own)].sum()
            total = total + share * weight(part, name) * value
        book += part.books
    return total


def weight(part: Quantizer, name: str) -> float:
    signs = {"entropy_sample": 1.0, "entropy_batch": -getattr(part, "diversity_gamma", 0.0)}
    if name in signs:
        return part.entropy_weight * signs[name]
    if name in ("assignment_entropy", "usage_kl"):
        return part.diversity_weight
    return getattr(part, f"{name}_weight", 0.0)


def test_every_book_has_a_gradient_of_its_own() -> None:
    """The defect: only the first stage of a residual quantizer pulled at the encoder."""
    for name in ("residual", "residual, lookup free", "product", "lookup free, several books"):
        quantizer = prepare(BY_NAME[name])
        z = data(60).requires_grad_()
        terms = quantizer(z).losses
        term = terms["commitment"] if terms["commitment"].ndim else terms["entropy_sample"]
        for book in range(quantizer.books):
            (gradient,) = torch.autograd.grad(term[book], z, retain_graph=True)
            assert gradient.abs().max() > 1e-5, (name, book)


@by_row
def test_values_send_a_gradient_to_the_input(row: Row) -> None:
    z = (0.5 * data(60)).requires_grad_()
    quantizer = prepare(row)
    quantizer(z).values.backward(data(60, seed=1))
    assert (z.grad.norm(dim=-1) > 0).all()
    for name, parameter in quantizer.named_parameters():
        # What stands between the codewords and the values learns from the reconstruction.
        if "project" in name or name in ("codebook", "to_logits.weight"):
            assert parameter.grad.abs().max() > 0, name


def test_codes_are_nearest_in_float64() -> None:
    for row in ROWS:
        quantizer = prepare(row, training=False)
        if isinstance(quantizer, VectorQuantizer):
            z = data(300)
            inner = quantizer._inner(z).double()
            costs = (inner[:, None] - quantizer.codebook.double()).square().sum(-1)
            if quantizer.rate is not None:
                share = quantizer.rate.share.double() + 2.0**-20
                costs = costs - quantizer.rate.rule.weight * (share / share.sum()).log2()
            assert torch.equal(quantizer.encode(z), costs.argmin(-1)), row.name
