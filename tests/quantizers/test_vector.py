from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vocabula.errors import CodeError, OptionError, ShapeError
from vocabula.quantizers import EMA, Gradient, LinearReparametrization, Normal, VectorQuantizer
from vocabula.types import Quantized


def with_book(book: list[list[float]] | Tensor, **options: object) -> VectorQuantizer:
    """A gradient-learned quantizer that holds `book`; nothing moves unless an optimizer does."""
    rows = torch.as_tensor(book)
    quantizer = VectorQuantizer(
        rows.shape[1], rows.shape[0], **{"learning": Gradient(), "revival": None} | options
    )
    quantizer.codebook = rows
    return quantizer


def test_by_hand() -> None:
    quantizer = with_book([[0.0], [1.0], [4.0]], commitment_weight=0.5, codebook_weight=2.0)
    z = torch.tensor([[0.2], [3.0], [0.9]], requires_grad=True)
    result = quantizer(z)
    assert isinstance(result, Quantized)
    assert result.codes.tolist() == [0, 2, 1]
    assert result.values.tolist() == [[0.0], [4.0], [1.0]]
    mean = (0.04 + 1.0 + 0.01) / 3
    assert result.losses["commitment"].item() == pytest.approx(mean)
    assert result.losses["codebook"].item() == pytest.approx(mean)
    assert result.loss.item() == pytest.approx(2.5 * mean)
    result.loss.backward()
    # d commitment / dz = 2 (z - e) / 3, half of it; the codebook term moves the codewords only.
    assert z.grad.flatten().tolist() == pytest.approx([0.2 / 3, -1 / 3, -0.1 / 3], rel=1e-4)
    expected = [-0.4 * 2 / 3, 0.1 * 2 * 2 / 3, 1.0 * 2 * 2 / 3]
    assert quantizer.book.weight.grad.flatten().tolist() == pytest.approx(expected, rel=1e-4)


def test_default_weights_are_those_of_the_paper() -> None:
    result = with_book([[0.0], [1.0]])(torch.tensor([[0.5 - 0.25]]))
    assert result.loss.item() == pytest.approx(1.25 * 0.0625)


def test_ties_take_the_lowest_index() -> None:
    quantizer = with_book([[1.0], [-1.0], [1.0]])
    assert quantizer.encode(torch.tensor([[0.0], [2.0]])).tolist() == [0, 0]


def test_moving_averages_have_no_codebook_loss() -> None:
    result = VectorQuantizer(4, 8)(torch.randn(10, 4))
    assert set(result.losses) == {"commitment"}
    assert result.loss.item() == pytest.approx(0.25 * result.losses["commitment"].item())


def test_cosine_works_on_the_unit_sphere() -> None:
    quantizer = with_book([[3.0, 0.0], [0.0, 0.1]], distance="cosine")
    result = quantizer(torch.tensor([[0.6, 0.8], [50.0, 0.0]]))
    assert result.codes.tolist() == [1, 0]
    assert result.values.tolist() == [[0.0, 1.0], [1.0, 0.0]]
    # |z - e|^2 = 2 - 2 cos: 0.4 and 0, over two vectors of width 2.
    assert result.losses["commitment"].item() == pytest.approx(0.1)


def test_a_narrow_codebook_is_projected_to_and_from() -> None:
    quantizer = VectorQuantizer(8, 16, codebook_dim=3)
    result = quantizer(torch.randn(20, 8))
    assert quantizer.codebook.shape == (16, 3)
    assert result.values.shape == (20, 8)
    codewords = F.linear(quantizer.codebook, quantizer.project_out.weight)
    assert torch.linalg.matrix_rank(codewords - codewords[0]) <= 3


def test_the_gradient_passes_straight_through() -> None:
    z = torch.randn(5, 3, requires_grad=True)
    gradient = torch.randn(5, 3)
    with_book(torch.randn(7, 3))(z).values.backward(gradient)
    assert torch.equal(z.grad, gradient)


def test_rotation_turns_the_gradient_with_the_vector() -> None:
    quantizer = with_book([[0.0, 2.0], [-9.0, -9.0]], estimator="rotation")
    z = torch.tensor([[1.0, 0.0]], requires_grad=True)
    result = quantizer(z)
    assert result.values.tolist() == [[0.0, 2.0]]
    result.values.backward(torch.tensor([[0.0, 1.0]]))
    assert z.grad.flatten().tolist() == pytest.approx([2.0, 0.0], abs=1e-6)


def test_an_estimator_may_be_a_function() -> None:
    def halved(z: Tensor, values: Tensor) -> Tensor:
        return values + 0.5 * (z - z.detach())

    z = torch.randn(5, 3, requires_grad=True)
    with_book(torch.randn(7, 3), estimator=halved)(z).values.sum().backward()
    assert torch.equal(z.grad, torch.full_like(z, 0.5))


def test_stochastic_codes_follow_the_softmax_in_training_only() -> None:
    quantizer = with_book([[0.0], [1.0]], sampling_temperature=2.0)
    z = torch.full((20_000, 1), 0.25)
    p = 1 / (1 + math.exp(-(0.75**2 - 0.25**2) / 2.0))
    assert (quantizer(z).codes == 0).double().mean().item() == pytest.approx(p, abs=0.015)
    assert not quantizer.encode(z).any()
    assert not quantizer.eval()(z).codes.any()


def test_diversity_by_hand() -> None:
    quantizer = with_book([[-1.0], [1.0]], diversity_weight=0.5)
    z = torch.tensor([[-2.0], [-2.0], [2.0], [0.0]])
    losses = quantizer(z).losses
    temperature = 1.0  # the mean squared error: every vector is at distance 1
    p = torch.tensor([[-1.0, -9.0], [-1.0, -9.0], [-9.0, -1.0], [-1.0, -1.0]]).double()
    p = (p / temperature).softmax(-1)
    sample = -(p * p.log()).sum(-1).mean()
    kl = math.log(2) + (p.mean(0) * p.mean(0).log()).sum()
    assert losses["assignment_entropy"].item() == pytest.approx(sample.item(), rel=1e-5)
    assert losses["usage_kl"].item() == pytest.approx(kl.item(), rel=1e-4)
    expected = 1.25 * losses["commitment"] + 0.5 * (sample + kl)
    assert quantizer(z).loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_diversity_does_not_depend_on_the_scale_of_the_data() -> None:
    book, z = torch.randn(8, 3), torch.randn(50, 3)
    terms = []
    for scale in (0.01, 1.0, 100.0):
        losses = with_book(scale * book, diversity_weight=1.0)(scale * z).losses
        terms.append([losses["assignment_entropy"].item(), losses["usage_kl"].item()])
    assert terms[0] == pytest.approx(terms[1], rel=1e-3)
    assert terms[2] == pytest.approx(terms[1], rel=1e-3)


def test_orthogonality_by_hand() -> None:
    # Unit rows (1, 0), (1, 0), (0, 1): two entries of E E^T - I are 1, of nine.
    quantizer = with_book([[2.0, 0.0], [5.0, 0.0], [0.0, 3.0]], orthogonality_weight=9.0)
    result = quantizer(torch.tensor([[2.0, 0.0]]))
    assert result.losses["orthogonality"].item() == pytest.approx(2 / 9)
    assert result.loss.item() == pytest.approx(2.0)
    assert with_book(torch.eye(4), orthogonality_weight=1.0)(torch.eye(4)).loss.item() == 0


def test_training_with_orthogonality_moves_codewords_apart() -> None:
    quantizer = with_book(torch.ones(4, 4) + 0.1 * torch.randn(4, 4), orthogonality_weight=1.0)
    optimizer = torch.optim.Adam([quantizer.book.weight], lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        quantizer(torch.zeros(1, 4)).losses["orthogonality"].backward()
        optimizer.step()
    unit = F.normalize(quantizer.codebook, dim=-1)
    assert (unit @ unit.T - torch.eye(4)).abs().max() < 0.05


@pytest.mark.parametrize("learning", [EMA(), Gradient(), LinearReparametrization()], ids=repr)
def test_a_codebook_set_by_hand_survives_the_next_step(learning: object) -> None:
    quantizer = VectorQuantizer(3, 5, learning=learning, initialization=Normal())
    for _ in range(3):
        quantizer(torch.randn(50, 3))
    book = 10 * torch.randn(5, 3)
    quantizer.codebook = book
    assert torch.equal(quantizer.codebook, book)
    quantizer(book)  # every codeword gets itself, and the averages have nowhere to go
    assert torch.allclose(quantizer.codebook, book, rtol=1e-4)


def test_the_codebook_has_no_gradient_and_a_fixed_shape() -> None:
    quantizer = with_book(torch.randn(5, 3))
    assert not quantizer.codebook.requires_grad
    with pytest.raises(ShapeError, match=r"expected shape \(5, 3\), got \(3, 5\)"):
        quantizer.codebook = torch.randn(3, 5)


@pytest.mark.parametrize("learning", [EMA(), Gradient(), LinearReparametrization()], ids=repr)
def test_frozen_learns_nothing_until_thawed(learning: object) -> None:
    quantizer = VectorQuantizer(3, 5, learning=learning, initialization=Normal(), codebook_dim=2)
    quantizer.freeze()
    before = {name: t.clone() for name, t in quantizer.state_dict().items()}
    z = torch.randn(50, 3, requires_grad=True)
    for _ in range(10):
        quantizer(z).loss.backward()
    quantizer.update()
    assert not any(p.requires_grad for p in quantizer.parameters())
    assert all(torch.equal(t, before[name]) for name, t in quantizer.state_dict().items())
    quantizer.freeze(False)
    quantizer(z).loss.backward()
    assert all(p.grad is not None for n, p in quantizer.named_parameters() if "project_in" in n)
    changed = [n for n, t in quantizer.state_dict().items() if not torch.equal(t, before[n])]
    assert any("usage_tracker" in name for name in changed)


def test_rows_that_are_not_finite_count_for_nothing() -> None:
    quantizer = with_book(torch.randn(5, 3))
    z = torch.randn(6, 3)
    expected = quantizer(z[2:]).loss
    z[0], z[1, 1] = torch.nan, torch.inf
    z.requires_grad_()
    result = quantizer(z)
    assert torch.allclose(result.loss, expected)
    assert result.values.isfinite().all()
    result.loss.backward()
    assert z.grad.isfinite().all()


@pytest.mark.parametrize("codes", [[-1], [5], [0, 7]])
def test_codes_out_of_range(codes: list[int]) -> None:
    with pytest.raises(CodeError, match=r"expected codes in \[0, 4\]"):
        with_book(torch.randn(5, 3)).decode(torch.tensor(codes))


@pytest.mark.parametrize("codes", [torch.zeros(2), torch.zeros(2).bool()])
def test_codes_are_integers(codes: Tensor) -> None:
    with pytest.raises(CodeError, match="expected integer codes"):
        with_book(torch.randn(5, 3)).decode(codes)


@pytest.mark.parametrize(
    ("z", "mask", "words"),
    [
        (torch.zeros(4, 2), None, "expected width 3"),
        (torch.zeros(4, 3).long(), None, "expected floating-point vectors"),
        (torch.tensor(1.0), None, "got shape"),
        (torch.zeros(4, 3), torch.ones(3).bool(), r"expected a mask of shape \(4,\), got \(3,\)"),
    ],
)
def test_wrong_input_is_named(z: Tensor, mask: Tensor | None, words: str) -> None:
    with pytest.raises(ShapeError, match=words):
        with_book(torch.randn(5, 3))(z, mask)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dim": 0}, "dim: expected an integer >= 1, got 0"),
        ({"codebook_size": 0}, "codebook_size: expected an integer >= 1, got 0"),
        ({"distance": "cosin"}, "did you mean 'cosine'"),
        ({"estimator": "rotaton"}, "did you mean 'rotation'"),
        ({"learning": "emma"}, "did you mean 'ema'"),
        ({"commitment_weight": -1.0}, "expected a number >= 0, got -1.0"),
        ({"comitment_weight": 1.0}, "did you mean 'commitment_weight'"),
        ({"orthogonality_weight": 1.0}, r"use learning=Gradient\(\)"),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        VectorQuantizer(**{"dim": 4, "codebook_size": 8} | options)


def test_beside_vector_quantize_pytorch() -> None:
    import vector_quantize_pytorch as theirs_module

    book, z = torch.randn(64, 16), torch.randn(4, 50, 16)
    theirs = theirs_module.VectorQuantize(
        dim=16, codebook_size=64, commitment_weight=0.25, decay=0.9
    ).eval()
    theirs._codebook.embed.data.copy_(book[None])
    values, codes, _ = theirs(z)
    quantizer = with_book(book, learning=EMA(decay=0.9)).eval()
    ours = quantizer(z)
    assert torch.equal(ours.codes, codes)
    assert torch.allclose(ours.values, values, atol=1e-6)
    assert torch.allclose(ours.losses["commitment"], F.mse_loss(z, book[codes]))


def test_frozen_codes_are_not_drawn() -> None:
    quantizer = VectorQuantizer(4, 8, initialization="normal", sampling_temperature=1.0)
    quantizer.freeze()
    z = torch.randn(200, 4)
    assert torch.equal(quantizer(z).codes, quantizer.encode(z))


def test_codes_of_any_integer_type_decode() -> None:
    quantizer = VectorQuantizer(4, 8, initialization="normal")
    codes = torch.tensor([0, 7, 3])
    for dtype in (torch.uint8, torch.uint16, torch.int32):
        assert torch.equal(quantizer.decode(codes.to(dtype)), quantizer.decode(codes))
    with pytest.raises(CodeError, match="got 8"):
        quantizer.decode(torch.tensor([8], dtype=torch.uint16))
