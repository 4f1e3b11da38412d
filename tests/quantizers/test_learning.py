from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from vocabula.functional import code_sums
from vocabula.quantizers import EMA, Gradient, LinearReparametrization, Normal, VectorQuantizer


def column(*values: float) -> Tensor:
    return torch.tensor(values)[:, None]


def averaged(decay: float, book: Tensor, eps: float = 1e-6, **options: object) -> VectorQuantizer:
    quantizer = VectorQuantizer(
        book.shape[1], book.shape[0], learning=EMA(decay=decay, eps=eps), revival=None, **options
    )
    quantizer.codebook = book
    return quantizer


def test_moving_averages_by_hand_over_four_steps() -> None:
    quantizer = averaged(0.5, column(0.0, 10.0))
    # N and m start at (1, 1) and (0, 10).
    quantizer(column(1.0, 3.0, 12.0))  # n = (2, 1), s = (4, 12)
    assert quantizer.book.mass.tolist() == [1.5, 1.0]
    assert quantizer.codebook.flatten().tolist() == pytest.approx([2 / 1.5, 11.0], rel=1e-5)
    quantizer(column(2.0, 9.0, 13.0))  # n = (1, 2), s = (2, 22)
    assert quantizer.book.mass.tolist() == [1.25, 1.5]
    assert quantizer.codebook.flatten().tolist() == pytest.approx([1.6, 11.0], rel=1e-5)
    quantizer(column(0.0))  # n = (1, 0): the second codeword stays where it is
    assert quantizer.book.mass.tolist() == [1.125, 0.75]
    assert quantizer.codebook.flatten().tolist() == pytest.approx([1 / 1.125, 11.0], rel=1e-5)
    quantizer(column(2.0, 14.0))  # m_2 shrank with N_2 to 8.25
    assert quantizer.book.mass.tolist() == [1.0625, 0.875]
    expected = [1.5 / 1.0625, (4.125 + 7.0) / 0.875]
    assert quantizer.codebook.flatten().tolist() == pytest.approx(expected, rel=1e-5)


def test_laplace_smoothing_by_hand() -> None:
    book = EMA(decay=0.5, eps=0.5).codebook(column(1.0, 2.0))
    book.assign(column(1.0, 2.0), torch.tensor([3, 1]))
    # N~ = (3.5, 1.5) / 5 * 4 = (2.8, 1.2), so m = (2.8, 2.4).
    book.accumulate(code_sums(column(5.0, 5.0), torch.tensor([0, 1]), 2))
    book.update(torch.tensor([1.0, 1.0]))
    assert book.mass.tolist() == [2.0, 1.0]
    # N~ = (2.5, 1.5) / 4 * 3 = (1.875, 1.125); m = (1.4 + 2.5, 1.2 + 2.5).
    assert book.vectors().flatten().tolist() == pytest.approx([3.9 / 1.875, 3.7 / 1.125])


def test_agrees_with_the_textbook_recursion_when_every_codeword_is_hit() -> None:
    g, eps, size = 0.9, 1e-2, 6
    start = torch.randn(size, 3)
    book = EMA(decay=g, eps=eps).codebook(start)
    mass = torch.ones(size).double()
    total = mass.sum()
    m = start.double() * ((mass + eps) / (total + size * eps) * total)[:, None]
    for _ in range(30):
        codes = torch.cat([torch.arange(size), torch.randint(size, (40,))])
        z = torch.randn(len(codes), 3)
        one_hot = torch.eye(size).double()[codes]
        mass = g * mass + (1 - g) * one_hot.sum(0)
        m = g * m + (1 - g) * one_hot.T @ z.double()
        book.accumulate(code_sums(z, codes, len(book.mass)))
        book.update(one_hot.sum(0).float())
    expected = m / ((mass + eps) / (mass.sum() + size * eps) * mass.sum())[:, None]
    assert torch.allclose(book.vectors().double(), expected, rtol=1e-5, atol=1e-6)


def test_an_unused_codeword_never_moves() -> None:
    quantizer = averaged(0.8, torch.tensor([[0.0, 0.0], [3.0, 4.0]]) * 100)
    for _ in range(500):
        quantizer(torch.randn(10, 2))
    assert quantizer.codebook[1].tolist() == [300.0, 400.0]
    quantizer(torch.tensor([[301.0, 401.0]] * 10))  # and comes along at once when it is used
    assert quantizer.codebook[1].tolist() == pytest.approx([301.0, 401.0], rel=1e-4)


def test_converges_to_the_mean_of_its_vectors() -> None:
    quantizer = averaged(0.9, column(-1.0, 1.0))
    z = torch.cat([column(-7.0, -5.0), column(2.0, 4.0, 6.0)])
    for _ in range(200):
        quantizer(z)
    assert quantizer.codebook.flatten().tolist() == pytest.approx([-6.0, 4.0], rel=1e-4)


def test_masked_vectors_do_not_teach() -> None:
    masked, kept = (averaged(0.9, torch.eye(4)[:, :2]) for _ in "ab")
    z, mask = torch.randn(20, 2), torch.arange(20) % 3 > 0
    masked(z, mask)
    kept(z[mask])
    assert torch.allclose(masked.codebook, kept.codebook)
    assert torch.equal(masked.book.mass, kept.book.mass)


def test_gradient_accumulation_equals_the_joined_batch() -> None:
    book, z = torch.randn(6, 3), torch.randn(40, 3)
    parts, joined = (averaged(0.9, book, auto_update=False) for _ in "ab")
    for part in z.split([7, 0, 20, 13]):
        parts(part)
        assert torch.equal(parts.codebook, book)  # nothing moves before the update
    parts.update()
    joined(z)
    joined.update()
    assert torch.allclose(parts.codebook, joined.codebook, rtol=1e-5)
    assert torch.allclose(parts.book.mass, joined.book.mass)
    once = parts.codebook.clone()
    parts.update()  # nothing is pending any more
    assert torch.equal(parts.codebook, once)


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("auto_update", [False, True])
def test_activation_checkpointing_counts_once(reentrant: bool, auto_update: bool) -> None:
    book, z = torch.randn(6, 3), torch.randn(40, 3)
    plain, saved = (averaged(0.9, book, auto_update=auto_update) for _ in "ab")
    gradients = []
    for quantizer in (plain, saved):
        x = z.clone().requires_grad_()

        def block(x: Tensor, quantizer: VectorQuantizer = quantizer) -> tuple[Tensor, Tensor]:
            result = quantizer(x)
            return result.values, result.loss

        run = quantizer is saved
        values, loss = checkpoint(block, x, use_reentrant=reentrant) if run else block(x)
        (values.square().sum() + loss).backward()
        quantizer.update()
        gradients.append(x.grad)
    assert torch.equal(plain.codebook, saved.codebook)
    assert torch.equal(plain.book.mass, saved.book.mass)
    assert plain.usage_report().vectors.tolist() == saved.usage_report().vectors.tolist() == [40]
    if not auto_update:  # else the recomputation meets a codebook that has moved on
        assert torch.allclose(gradients[0], gradients[1])


def test_state_is_float32_in_a_half_precision_module() -> None:
    quantizer = VectorQuantizer(2, 2, learning=EMA(decay=0.99), revival=None).bfloat16()
    quantizer.codebook = torch.tensor([[256.0, 0.0], [-256.0, 0.0]])
    assert quantizer.book.weight.dtype == quantizer.book.mass.dtype == torch.float32
    for _ in range(300):
        quantizer(torch.tensor([[258.0, 0.0]], dtype=torch.bfloat16))
    # 256 + 0.02 rounds to 256 in bfloat16, and would never leave it.
    assert quantizer.codebook[0, 0].item() == pytest.approx(258.0, abs=0.2)


def test_gradient_moves_used_codewords_only() -> None:
    quantizer = VectorQuantizer(2, 3, learning=Gradient(), revival=None)
    quantizer.codebook = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    quantizer(torch.tensor([[1.0, 0.0], [0.0, 9.0]])).losses["codebook"].backward()
    # d/de mean((z - e)^2) = 2 (e - z) / 4
    assert quantizer.book.weight.grad.tolist() == [[-0.5, 0.0], [0.0, 0.0], [0.0, 0.5]]


def test_linear_map_moves_every_codeword() -> None:
    quantizer = VectorQuantizer(
        2, 3, learning=LinearReparametrization(), initialization=Normal(), revival=None
    )
    basis = torch.tensor([[1.0, 0.0], [0.0, 2.0], [5.0, 5.0]])
    quantizer.codebook = basis
    assert [name for name, _ in quantizer.named_parameters()] == ["book.weight"]
    z = torch.tensor([[1.5, 0.0]])
    quantizer(z).losses["codebook"].backward()
    # e = c W, so dL/dW = c^T dL/de with dL/de = 2 (e - z) / 2 = (-0.5, 0).
    assert quantizer.book.weight.grad.tolist() == [[-0.5, 0.0], [0.0, 0.0]]
    with torch.no_grad():
        quantizer.book.weight -= quantizer.book.weight.grad
    assert quantizer.codebook.tolist() == [[1.5, 0.0], [0.0, 2.0], [7.5, 5.0]]


def test_a_revived_codeword_of_a_linear_map_lands_on_its_vector() -> None:
    book = LinearReparametrization().codebook(torch.randn(4, 3))
    with torch.no_grad():
        book.weight.copy_(torch.randn(3, 3))
    before, target = book.vectors().detach(), torch.randn(4, 3)
    where = torch.tensor([False, True, False, True])
    book.replace(where, target, torch.tensor(1.0))
    assert torch.allclose(book.vectors()[where], target[where], atol=1e-4)
    assert torch.equal(book.vectors()[~where], before[~where])
    with torch.no_grad():
        book.weight.zero_()  # no row of the basis leads to the target now: leave it
    kept = book.basis.clone()
    book.replace(where, target, torch.tensor(1.0))
    assert torch.equal(book.basis, kept)


@pytest.mark.parametrize("learning", [EMA(), Gradient(), LinearReparametrization()], ids=repr)
def test_backward_may_follow_the_update(learning: object) -> None:
    quantizer = VectorQuantizer(
        3, 5, learning=learning, distance="cosine", diversity_weight=0.1, auto_update=False
    )
    z = torch.randn(30, 3, requires_grad=True)
    result = quantizer(z)
    quantizer.update()
    (result.values.sum() + result.loss).backward()
    assert z.grad.isfinite().all()


def test_float64_module_computes_in_float64() -> None:
    quantizer = VectorQuantizer(3, 5, learning=Gradient(), initialization=Normal()).double()
    z = torch.randn(7, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: quantizer(x).losses["commitment"], (z,))
