"""Pruning keeps the codewords in use, everything that belongs to them, and a map of codes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vocabula.errors import OptionError, ShapeError
from vocabula.nn import IdentityDecoder, IdentityEncoder
from vocabula.quantizers import (
    AttentionTransform,
    FiniteScalarQuantizer,
    Gradient,
    GumbelQuantizer,
    LinearReparametrization,
    MLPTransform,
    NetworkReparametrization,
    Normal,
    ProductQuantizer,
    ResidualQuantizer,
    VectorQuantizer,
)
from vocabula.signals import Vector
from vocabula.tokenizers import Tokenizer, load

POINTS = torch.tensor([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0], [9.0, 9.0]])


def vector(**options: object) -> VectorQuantizer:
    quantizer = VectorQuantizer(2, 4, **{"initialization": Normal()} | options)
    quantizer.codebook = POINTS
    return quantizer


@pytest.mark.parametrize(
    "options",
    [{}, {"learning": Gradient()}, {"learning": LinearReparametrization()}, {"revival": None}],
)
def test_by_hand(options: dict[str, object]) -> None:
    quantizer = vector(**options)
    quantizer(POINTS[[1, 1, 3]])
    (codes,) = quantizer.prune()
    assert codes.tolist() == [-1, 0, -1, 1]
    assert quantizer.codebook_sizes == (2,)
    assert quantizer.bits == 1
    torch.testing.assert_close(quantizer.codebook, POINTS[[1, 3]])
    assert quantizer.encode(POINTS).tolist() == [0, 0, 0, 1]
    report = quantizer.usage_report()
    assert (report.vectors.item(), report.usage.item(), report.dead.item()) == (3, 1.0, 0)
    quantizer(POINTS.clone().requires_grad_()).loss.backward()  # it still learns
    assert "codebook_sizes=(2,)" in repr(quantizer)


def test_counts_of_all_data_decide_instead() -> None:
    quantizer = vector()
    (codes,) = quantizer.prune([torch.tensor([7, 0, 1, 0])])
    assert codes.tolist() == [0, -1, 1, -1]
    for wrong in ([torch.ones(3)], [], [torch.ones(2), torch.ones(2)]):
        with pytest.raises(ShapeError, match=r"expected counts of \(2,\), got"):
            quantizer.prune(wrong)


def test_gumbel_logits_follow() -> None:
    quantizer = GumbelQuantizer(2, 4).eval()
    z = torch.randn(50, 2)
    before = quantizer.to_logits(z)
    (codes,) = quantizer.prune([torch.tensor([1, 0, 1, 1])])
    assert codes.tolist() == [0, -1, 1, 2]
    torch.testing.assert_close(quantizer.to_logits(z), before[:, [0, 2, 3]])


def test_part_by_part() -> None:
    quantizer = ProductQuantizer(
        [vector(), FiniteScalarQuantizer([3, 3]), ResidualQuantizer([vector()], repeat=2)]
    )
    z = torch.cat([POINTS[[1, 3]], torch.zeros(2, 2), POINTS[[0, 1]]], -1)
    old = quantizer(z).codes
    maps = quantizer.prune()
    assert [m.tolist() for m in maps] == [
        [-1, 0, -1, 1],
        list(range(9)),
        [0, 1, -1, -1],
        [0, 1, -1, -1],
    ]
    assert quantizer.codebook_sizes == (2, 9, 2, 2)
    new = torch.stack([m[column] for m, column in zip(maps, old.unbind(-1), strict=True)], -1)
    assert torch.equal(quantizer.encode(z), new)


def test_refusals() -> None:
    with pytest.raises(OptionError, match="expected codes in use in every book") as error:
        vector().prune()
    assert "\n" not in str(error.value)
    with pytest.raises(OptionError, match="expected a quantizer with a table of codewords"):
        FiniteScalarQuantizer([3]).prune([torch.ones(3)])
    product = ProductQuantizer([vector(), vector()])
    product.parts[0](POINTS)
    with pytest.raises(OptionError, match="every book"):
        product.prune()
    assert product.parts[0].codebook_sizes == (4,)  # nothing changed


def test_a_pruned_tokenizer_is_saved_and_loaded(tmp_path: Path) -> None:
    stages = ResidualQuantizer([vector(), vector()])
    tokenizer = Tokenizer(
        IdentityEncoder(2, 2), stages, IdentityDecoder(2, 2), signal=Vector(2)
    ).train()
    stages(POINTS[[0, 1]])
    before = tokenizer.fingerprint()
    maps = stages.prune()
    assert tokenizer.fingerprint() != before
    tokenizer.save_pretrained(tmp_path)
    read = load(tmp_path)
    assert read.fingerprint() == tokenizer.fingerprint()
    assert read.quantizer.codebook_sizes == stages.codebook_sizes
    assert torch.equal(read.encode(POINTS), tokenizer.encode(POINTS))
    assert maps[0].tolist() == [0, 1, -1, -1]


def test_distances() -> None:
    quantizer = vector()
    z = torch.tensor([[1.0, 0.0]])
    found = quantizer.candidates(z, 3)
    assert found.tolist() == [[0, 1, 2]]
    assert quantizer.distances(z, found).tolist() == [[1.0, 16.0, 26.0]]
    cosine = vector(distance="cosine")
    # unit vectors at 45 degrees: 2 - 2 cos
    expected = torch.tensor([[2 - 2**0.5]])
    torch.testing.assert_close(cosine.distances(z, torch.tensor([[3]])), expected)
    stages = ResidualQuantizer([vector(), vector()])
    assert stages.distances(z, torch.tensor([[[1, 0], [0, -1]]])).tolist() == [[16.0, 1.0]]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("network", [MLPTransform(2), AttentionTransform(2)])
def test_codewords_through_a_network_stay_as_they_are(
    network: torch.nn.Module, frozen: bool, training: bool
) -> None:
    torch.manual_seed(0)
    quantizer = vector(learning=NetworkReparametrization(network, frozen=frozen))
    with torch.no_grad():
        for parameter in quantizer.book.network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    before = quantizer.train(training).codebook
    (codes,) = quantizer.prune([torch.tensor([0, 1, 0, 2])])
    assert codes.tolist() == [-1, 0, -1, 1]
    torch.testing.assert_close(quantizer.codebook, before[[1, 3]])
    torch.testing.assert_close(quantizer.eval().codebook, before[[1, 3]])
    quantizer.train()(POINTS.clone()).loss.backward()
    assert any(p.grad.abs().sum() > 0 for p in quantizer.book.network.parameters())
    again = vector(learning=NetworkReparametrization(network, frozen=frozen))
    again.prune([torch.tensor([0, 1, 0, 2])])
    again.load_state_dict(quantizer.state_dict())
    assert torch.equal(again.eval().codebook, quantizer.eval().codebook)


def test_a_network_for_one_number_of_rows_is_refused_with_the_other_way() -> None:
    class Own(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.moves = torch.nn.Parameter(torch.zeros(4, 2))

        def forward(self, basis: torch.Tensor) -> torch.Tensor:
            return basis + self.moves

    quantizer = vector(learning=NetworkReparametrization(Own()))
    with pytest.raises(OptionError, match=r"any number of rows, got one for 4; assign") as error:
        quantizer.prune([torch.tensor([0, 1, 0, 2])])
    assert "\n" not in str(error.value)
    assert quantizer.codebook_sizes == (4,)
    plain = VectorQuantizer(2, 2, learning=Gradient())
    plain.codebook = quantizer.codebook[[1, 3]]  # the way that it names
    assert plain.encode(POINTS[[1, 3]]).tolist() == [0, 1]
