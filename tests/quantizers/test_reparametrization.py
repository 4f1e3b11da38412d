from __future__ import annotations

import io

import pytest
import torch
from torch import Tensor, nn

from vocabula.errors import OptionError
from vocabula.quantizers import (
    AttentionTransform,
    LinearReparametrization,
    LinearTransform,
    MLPTransform,
    NetworkReparametrization,
    Normal,
    VectorQuantizer,
)
from vocabula.quantizers.learning import Codebook

NETWORKS = [
    lambda: LinearTransform(3),
    lambda: LinearTransform(3, basis_dim=2),
    lambda: MLPTransform(3, hidden=5),
    lambda: MLPTransform(3, basis_dim=2),
    lambda: AttentionTransform(3, width=8, heads=2, patch=2),
    lambda: AttentionTransform(3, basis_dim=2, width=8, layers=1),
    lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)),
]
by_network = pytest.mark.parametrize("make", NETWORKS)


def book(network: nn.Module, **options: object) -> Codebook:
    """A codebook (6, 3) whose network is past its start."""
    made = NetworkReparametrization(network, **options).codebook(torch.randn(6, 3))
    with torch.no_grad():
        for parameter in made.network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return made


@by_network
def test_assigned_and_revived_codewords_lie_where_they_should(make) -> None:
    made, vectors = book(make()), torch.randn(6, 3)
    made.assign(vectors)
    torch.testing.assert_close(made.vectors(), vectors)
    where, target = torch.arange(6) % 2 == 0, torch.randn(6, 3)
    made.replace(where, target, torch.tensor(1.0))
    torch.testing.assert_close(made.vectors(), torch.where(where[:, None], target, vectors))


@by_network
def test_one_step_moves_codewords_that_nothing_chose(make) -> None:
    quantizer = VectorQuantizer(
        3, 6, learning=NetworkReparametrization(make()), initialization=Normal(), revival=None
    )
    optimizer = torch.optim.SGD(quantizer.parameters(), lr=0.5)
    before = quantizer.codebook
    for _ in range(2):  # a last layer of zeros lets the others learn from the second step on
        optimizer.zero_grad()
        quantizer(before[:2] + 0.01).loss.backward()
        optimizer.step()
    moved = (quantizer.codebook - before).norm(dim=-1)
    assert (moved > 1e-6).all()


def test_a_matrix_is_simvq() -> None:
    torch.manual_seed(0)
    ours, theirs = (
        VectorQuantizer(3, 6, learning=rule, initialization=Normal(), revival=None)
        for rule in (NetworkReparametrization(LinearTransform(3)), LinearReparametrization())
    )
    theirs.book.basis.copy_(ours.book.basis)
    z = torch.randn(50, 3)
    for quantizer in (ours, theirs):
        optimizer = torch.optim.Adam(quantizer.parameters(), lr=0.05)
        for _ in range(5):
            optimizer.zero_grad()
            quantizer(z).loss.backward()
            optimizer.step()
    torch.testing.assert_close(ours.codebook, theirs.codebook)
    assert torch.equal(ours.encode(z), theirs.encode(z))


def test_beside_vector_quantize_pytorch_with_a_narrow_frozen_basis() -> None:
    from vector_quantize_pytorch import SimVQ

    theirs = SimVQ(dim=8, codebook_size=32, frozen_codebook_dim=3, rotation_trick=False)
    quantizer = VectorQuantizer(
        8,
        32,
        learning=NetworkReparametrization(LinearTransform(8, basis_dim=3)),
        initialization=Normal(),
        revival=None,
    )
    with torch.no_grad():
        quantizer.book.basis.copy_(theirs.frozen_codebook)
        quantizer.book.network.weight.copy_(theirs.code_transform.weight.T)
    z = torch.randn(1, 40, 8, requires_grad=True)
    values, codes, loss = theirs(z)
    ours = quantizer(z)
    assert torch.equal(ours.codes, codes)
    torch.testing.assert_close(ours.values, values)
    torch.testing.assert_close(ours.loss, loss)
    loss.backward()
    expected, z.grad = z.grad, None
    ours.loss.backward()
    torch.testing.assert_close(z.grad, expected)
    torch.testing.assert_close(
        quantizer.book.network.weight.grad, theirs.code_transform.weight.grad.T
    )
    assert [name for name, _ in quantizer.named_parameters()] == ["book.network.weight"]


def test_attention_lets_every_codeword_depend_on_all_others() -> None:
    made = book(AttentionTransform(3, width=8, heads=2), frozen=False)
    (gradient,) = torch.autograd.grad(made.vectors()[0].sum(), made.basis)
    assert (gradient.norm(dim=-1) > 0).all()


class Counted(nn.Module):
    """A linear network that counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.calls = nn.Linear(3, 3), 0

    def forward(self, basis: Tensor) -> Tensor:
        self.calls += 1
        return self.inner(basis)


def test_evaluation_computes_the_codewords_once_and_anew_when_the_network_changed() -> None:
    quantizer = VectorQuantizer(3, 6, learning=NetworkReparametrization(Counted()), revival=None)
    quantizer(torch.randn(40, 3))
    trained = quantizer.codebook
    quantizer.eval()
    network = quantizer.book.network
    calls = network.calls
    with torch.no_grad():
        for _ in range(4):
            quantizer(torch.randn(40, 3))
        assert torch.equal(quantizer.codebook, trained)
        assert network.calls == calls
        network.inner.weight.mul_(2)
        assert not torch.equal(quantizer.codebook, trained)
        assert network.calls == calls + 1


@pytest.mark.parametrize("training", [True, False])
def test_what_is_saved_is_searched(training: bool) -> None:
    make = lambda: VectorQuantizer(3, 6, learning=NetworkReparametrization(MLPTransform(3)))  # noqa: E731
    quantizer = make()
    quantizer(torch.randn(40, 3))
    with torch.no_grad():
        quantizer.book.network.leave.weight.normal_()
    state = quantizer.train(training).state_dict()
    torch.testing.assert_close(state["book.codewords"], quantizer.codebook)
    # As if another machine's network rounded otherwise: the saved codewords count.
    state["book.codewords"] = state["book.codewords"] + 1e-3
    stream = io.BytesIO()
    torch.save(state, stream)
    stream.seek(0)
    loaded = make().eval()
    loaded.load_state_dict(torch.load(stream))
    assert torch.equal(loaded.codebook, state["book.codewords"])
    codes = torch.arange(6)
    assert torch.equal(loaded.double().float().decode(codes), state["book.codewords"])


def test_stages_train_networks_of_their_own() -> None:
    rule = NetworkReparametrization(MLPTransform(3))
    one, two = rule.codebook(torch.randn(6, 3)), rule.codebook(torch.randn(6, 3))
    assert one.network is not two.network
    assert one.network is not rule.network


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (
            lambda: NetworkReparametrization(nn.Linear(4, 5)),
            r"expected codewords \(6, 4\) from a basis \(6, 4\), got \(6, 5\); let its last layer",
        ),
        (
            lambda: NetworkReparametrization(nn.Linear(3, 4)),
            r"expected a network for a basis \(6, 4\), got an error: .*; set basis_dim to",
        ),
        (
            lambda: NetworkReparametrization(AttentionTransform(4, patch=4)),
            "patch: expected a divisor of 6 codewords, got 4",
        ),
        (
            lambda: NetworkReparametrization(AttentionTransform(4, heads=3)),
            "a divisor of width 128",
        ),
        (
            lambda: NetworkReparametrization(MLPTransform(4, hidden=0)),
            "integer >= 1 or none, got 0",
        ),
    ],
)
def test_networks_that_do_not_fit_are_refused_in_one_line(rule, words: str) -> None:
    with pytest.raises(OptionError, match=words) as error:
        VectorQuantizer(4, 6, learning=rule())
    assert "\n" not in str(error.value)
