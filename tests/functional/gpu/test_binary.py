"""Against float64: every codeword's probability, by its definition, and autograd through it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vocabula.functional.gpu import binary
from vocabula.functional.gpu.binary import binary_joint, binary_joint_backward


def listed(logits: Tensor, mask: Tensor) -> Tensor:
    """Sum the probabilities of the listed codewords: (books, 2^bits)."""
    bits = logits.shape[-1]
    codes = torch.arange(2**bits)[:, None] >> torch.arange(bits - 1, -1, -1) & 1
    each = torch.where(codes.bool(), torch.sigmoid(logits)[..., None, :], 0.0)
    each = each + torch.where(codes.bool(), 0.0, torch.sigmoid(-logits)[..., None, :])
    return torch.where(mask[:, None, None], each.prod(-1), 0.0).sum(0)


def inputs(bits: int, rows: int, books: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(bits)
    logits = 4 * torch.randn(rows, books, bits, generator=generator)
    mask = torch.rand(rows, generator=generator) < 0.7
    shape = (books, 2 ** (bits // 2), 2 ** (bits - bits // 2))
    return logits, mask, torch.randn(shape, generator=generator)


@pytest.mark.parametrize(("bits", "rows", "books"), [(1, 20, 2), (2, 5, 1), (5, 70, 3), (9, 40, 2)])
def test_forward_and_backward(bits: int, rows: int, books: int, device: torch.device) -> None:
    logits, mask, grad = inputs(bits, rows, books)
    exact = logits.double().requires_grad_()
    expected = listed(exact, mask)
    (expected_gradient,) = torch.autograd.grad(expected, exact, grad.double().flatten(1))
    logits[~mask] = torch.nan
    joint = binary_joint(logits.to(device), mask.to(device))
    assert joint.shape == grad.shape
    torch.testing.assert_close(
        joint.cpu().double().flatten(1), expected.detach(), rtol=1e-5, atol=1e-30
    )
    found = binary_joint_backward(grad.to(device), logits.to(device), mask.to(device))
    torch.testing.assert_close(found.cpu().double(), expected_gradient, rtol=1e-4, atol=1e-6)


def test_halves_of_several_tiles(device: torch.device) -> None:
    # 2^7 columns by 2^7: two tiles by two; below are one by two.
    logits, mask, grad = inputs(14, 3, 1)
    joint = binary_joint(logits.to(device), mask.to(device)).cpu().double()
    exact = logits.double().requires_grad_()
    expected = listed(exact, mask)
    torch.testing.assert_close(joint.flatten(1), expected.detach(), rtol=1e-5, atol=1e-30)
    found = binary_joint_backward(grad.to(device), logits.to(device), mask.to(device))
    (gradient,) = torch.autograd.grad(expected, exact, grad.double().flatten(1))
    torch.testing.assert_close(found.cpu().double(), gradient, rtol=1e-4, atol=1e-6)


def test_rows_in_several_parts(device: torch.device) -> None:
    # 600 rows make three parts.
    logits, mask, _ = inputs(3, 600, 1)
    joint = binary_joint(logits.to(device), mask.to(device)).cpu().double()
    expected = listed(logits.double(), mask).reshape(joint.shape)
    torch.testing.assert_close(joint, expected, rtol=1e-5, atol=1e-30)


def test_saturated_logits_keep_small_probabilities(device: torch.device) -> None:
    # p(1) = 1 / (1 + e^50) = 1.9287e-22 of one bit at -50; at -1000 it is 0 in float32.
    logits = torch.tensor([[[-50.0], [-1000.0]]], device=device)
    joint = binary_joint(logits, torch.ones(1, dtype=torch.bool, device=device))
    torch.testing.assert_close(joint[0, 0].cpu(), torch.tensor([1.0, 1.9287498e-22]))
    assert joint[1, 0].tolist() == [1.0, 0.0]


@pytest.mark.parametrize("precision", ["highest", "high"])
def test_tiles_of_either_precision(
    precision: str, device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits, mask, grad = inputs(13, 9, 1)  # a tile by two
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: precision)
    assert binary._precision() == ("ieee" if precision == "highest" else "tf32")
    joint = binary_joint(logits.to(device), mask.to(device)).cpu().double()
    exact = logits.double().requires_grad_()
    expected = listed(exact, mask)
    torch.testing.assert_close(joint.flatten(1), expected.detach(), rtol=2e-3, atol=1e-30)
    found = binary_joint_backward(grad.to(device), logits.to(device), mask.to(device))
    (gradient,) = torch.autograd.grad(expected, exact, grad.double().flatten(1))
    error = (found.cpu() - gradient).norm() / gradient.norm()
    assert error < 2e-3


def test_no_rows(device: torch.device) -> None:
    logits = torch.zeros(0, 2, 3, device=device)
    mask = torch.zeros(0, dtype=torch.bool, device=device)
    joint = binary_joint(logits, mask)
    assert joint.shape == (2, 2, 4) and not joint.any()
    assert binary_joint_backward(joint, logits, mask).shape == (0, 2, 3)
