from __future__ import annotations

import pytest
import torch

from vocabula.quantizers import FromData, KMeans, Normal, Uniform, VectorQuantizer
from vocabula.quantizers.initialization import Initialization

BY_DATA = [KMeans(), FromData()]


@pytest.mark.parametrize("start", [Normal(), Uniform()], ids=repr)
@pytest.mark.parametrize("size", [16, 16384])
def test_the_scale_does_not_shrink_with_the_codebook(start: Initialization, size: int) -> None:
    book = VectorQuantizer(32, size, initialization=start).codebook
    assert book.square().sum(-1).mean().sqrt().item() == pytest.approx(1.0, rel=0.15)


def test_scale_is_an_option() -> None:
    for start in (Normal(scale=5.0), Uniform(scale=5.0)):
        book = VectorQuantizer(32, 512, initialization=start).codebook
        assert book.square().sum(-1).mean().sqrt().item() == pytest.approx(5.0, rel=0.05)


def clusters() -> tuple[torch.Tensor, torch.Tensor]:
    """Eight far clusters of 2, 3, ..., 9 vectors."""
    centers = 100 * torch.eye(8)
    return torch.cat([centers[k] + 0.01 * torch.randn(k + 2, 8) for k in range(8)]), centers


def test_kmeans_starts_at_the_clusters_of_the_first_batch() -> None:
    z, centers = clusters()
    quantizer = VectorQuantizer(8, 8, initialization=KMeans(), revival=None)
    result = quantizer(z)
    assert (torch.cdist(centers, quantizer.codebook).amin(1) < 0.05).all()
    assert result.losses["commitment"].item() < 1e-3  # already the first pass uses them
    assert quantizer.book.mass.max() > quantizer.book.mass.min()  # cluster sizes, not ones


def test_from_data_takes_rows_of_the_first_batch() -> None:
    z, _ = clusters()
    quantizer = VectorQuantizer(8, 8, initialization=FromData(), auto_update=False)
    quantizer(z)
    assert torch.cdist(quantizer.codebook, z).amin(1).max() < 1e-3


@pytest.mark.parametrize("start", BY_DATA, ids=repr)
def test_fewer_vectors_than_codewords(start: Initialization) -> None:
    quantizer = VectorQuantizer(4, 64, initialization=start, auto_update=False)
    z = 5 + torch.randn(10, 4)
    quantizer(z)
    book = quantizer.codebook
    assert (book.norm(dim=-1) > 1).all()
    assert torch.pdist(book).min() > 0


@pytest.mark.parametrize("start", BY_DATA, ids=repr)
def test_waits_for_the_first_batch_with_data(start: Initialization) -> None:
    quantizer = VectorQuantizer(4, 8, initialization=start, auto_update=False)
    before = quantizer.codebook.clone()
    quantizer(torch.zeros(0, 4))
    quantizer(torch.randn(9, 4), torch.zeros(9).bool())
    quantizer(torch.full((9, 4), torch.nan))
    quantizer.eval()(torch.randn(9, 4))
    assert torch.equal(quantizer.codebook, before)
    assert quantizer.fits == 0
    quantizer.train()(50 + torch.randn(100, 4))
    assert (quantizer.codebook > 40).all()
    assert quantizer.fits == 1


def test_masked_vectors_take_no_part() -> None:
    z = torch.randn(100, 4)
    z[::2] += 1000
    quantizer = VectorQuantizer(4, 8)
    quantizer(z, torch.arange(100) % 2 == 1)
    assert quantizer.codebook.abs().max() < 100


@pytest.mark.parametrize(
    ("start", "fitted_at"),
    [
        (KMeans(), [0, 1, 2, 4, 8, 16]),
        (KMeans(refit_until=7), [0, 1, 2, 4]),
        (KMeans(refit_until=0), [0]),
        (FromData(), [0]),
    ],
    ids=repr,
)
def test_fits_again_before_the_updates_that_are_due(start: Initialization, fitted_at: list) -> None:
    quantizer = VectorQuantizer(2, 4, initialization=start, revival=None)
    quantizer(torch.zeros(0, 2))  # nothing that counts
    seen = []
    for step in range(20):
        before = quantizer.codebook.clone()
        quantizer(100.0 * step + torch.randn(50, 2))
        # An average moves by a hundredth of the way; a fit goes all of it.
        if step == 0 or (quantizer.codebook - before).min() > 50:
            seen.append(step)
    assert seen[:4] == fitted_at[:4]
    assert len(seen) == len(fitted_at)


def test_micro_batches_and_shared_stages_do_not_move_a_codebook_under_their_codes() -> None:
    quantizer = VectorQuantizer(2, 4, auto_update=False, revival=None)
    quantizer(torch.randn(50, 2))
    fitted = quantizer.codebook.clone()
    quantizer(100 + torch.randn(50, 2))
    assert torch.equal(quantizer.codebook, fitted)
    quantizer.update()
    quantizer(100 + torch.randn(50, 2))
    assert quantizer.codebook.min() > 90


def test_happens_once_also_after_loading() -> None:
    first = VectorQuantizer(4, 8, initialization=KMeans(refit_until=0))
    first(torch.randn(100, 4))
    loaded = VectorQuantizer(4, 8, initialization=KMeans(refit_until=0), auto_update=False)
    loaded.load_state_dict(first.state_dict())
    loaded(100 + torch.randn(100, 4))
    assert torch.equal(loaded.codebook, first.codebook)


def test_a_codebook_set_by_hand_is_kept() -> None:
    quantizer = VectorQuantizer(4, 8, auto_update=False)
    book = torch.randn(8, 4)
    quantizer.codebook = book
    quantizer(100 + torch.randn(100, 4))
    assert torch.equal(quantizer.codebook, book)


def test_seeded() -> None:
    z = torch.randn(200, 4)
    books = []
    for seed in (0, 0, 1):
        quantizer = VectorQuantizer(4, 16, initialization=KMeans(iterations=1, seed=seed))
        quantizer.revival = None
        quantizer(z)
        books.append(quantizer.codebook.clone())
    assert torch.equal(books[0], books[1])
    assert not torch.equal(books[0], books[2])


def test_large_batches_are_thinned_evenly() -> None:
    z = torch.cat([torch.zeros(5000, 2), torch.full((5000, 2), 9.0)])
    z += 0.01 * torch.randn(10_000, 2)
    quantizer = VectorQuantizer(2, 2, initialization=KMeans(vectors_per_codeword=50))
    quantizer(z)
    assert sorted(quantizer.codebook.mean(-1).round().tolist()) == [0.0, 9.0]
