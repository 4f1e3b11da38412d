"""Embeddings begin as projections of the codebooks."""

from __future__ import annotations

import pytest
import torch

from priors.builders import PRIORS, every_prior
from vocabula.priors import CodeGrid, Conditioning
from vocabula.priors.start import start_from_codebooks, symbol_vectors
from vocabula.quantizers import FiniteScalarQuantizer, ResidualQuantizer, VectorQuantizer
from vocabula.tokenizers import build_tokenizer

NETS = {"encoder": {"name": "vqvae", "hidden": 4, "residual_hidden": 2, "downsample": 2}}
NETS["decoder"] = NETS["encoder"]


def test_a_symbol_stands_for_its_codeword() -> None:
    quantizer = VectorQuantizer(3, 5).eval()
    (found,) = symbol_vectors(CodeGrid((5,), (2, 2)), quantizer)
    book = quantizer.codebook
    torch.testing.assert_close(found, book - book.mean(0))


def test_books_that_add_up_have_a_vector_each() -> None:
    quantizer = ResidualQuantizer([VectorQuantizer(3, 4), VectorQuantizer(3, 6)]).eval()
    grid = CodeGrid(quantizer.codebook_sizes, (2,), quantizer.code_shape)
    found = symbol_vectors(grid, quantizer)
    for vectors, stage in zip(found, quantizer.quantizers, strict=True):
        torch.testing.assert_close(vectors, stage.codebook - stage.codebook.mean(0))


def test_digits_of_a_large_book_stand_for_what_they_change() -> None:
    quantizer = FiniteScalarQuantizer([5, 5, 5])  # code = a + 5 b + 25 c, so its digits are levels
    first, *_, last = symbol_vectors(CodeGrid((125,), (2,), largest_symbol=5), quantizer)
    assert first.shape == (5, 3) and (first[:, :2] == 0).all() and (first[:, 2].diff() > 0).all()
    assert (last[:, 1:] == 0).all() and (last[:, 0].diff() > 0).all()


@every_prior
def test_distances_of_embeddings_are_those_of_codewords(kind: str) -> None:
    """A random projection onto C dimensions keeps squared distances up to a factor near 1."""
    nets = NETS | {"quantizer": {"name": "vector", "dim": 4, "codebook_size": 40}}
    tokenizer = build_tokenizer({"level1": nets, "level2": nets}, channels=1).eval()
    torch.manual_seed(0)
    grids = [CodeGrid((40,), (2, 2)), CodeGrid((40,), (4, 4))]
    prior = PRIORS[kind](grids[1], Conditioning(upper=[grids[0]]), hidden=256)
    before = [table.std().item() for tables in prior.embeddings() for table in tables]
    start_from_codebooks(prior, tokenizer, 1)
    tables = [table for tables in prior.embeddings() for table in tables]
    assert len(tables) == 2
    for table, std, level in zip(tables, before, (1, 0), strict=True):
        assert table.std().item() == pytest.approx(std, rel=0.15)
        book = tokenizer.levels[level].quantizer.codebook
        ratio = (torch.pdist(table) / torch.pdist(book)).square()
        assert (ratio / ratio.mean() - 1).abs().max() < 0.5
    probabilities = prior.log_prob(
        torch.zeros(1, 4, 4, dtype=torch.long),
        prior.condition(1, upper=[torch.zeros(1, 2, 2, dtype=torch.long)]),
    )
    assert probabilities.isfinite().all()


def test_a_book_of_one_code_is_left_as_it_is() -> None:
    nets = NETS | {"quantizer": {"name": "vector", "dim": 4, "codebook_size": 1}}
    tokenizer = build_tokenizer(nets, channels=1).eval()
    prior = PRIORS["gpt2"](CodeGrid((1,), (4, 4)), Conditioning())
    before = prior.embeddings()[0][0].clone()
    start_from_codebooks(prior, tokenizer, 0)
    assert torch.equal(prior.embeddings()[0][0], before)
