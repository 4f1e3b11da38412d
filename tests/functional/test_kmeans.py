from __future__ import annotations

import time

import pytest
import torch
from sklearn.cluster import KMeans

from vocabula.errors import OptionError, ShapeError
from vocabula.functional import kmeans, nearest_codeword


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def inertia(z: torch.Tensor, centroids: torch.Tensor) -> float:
    z, centroids = z.double(), centroids.double()
    return torch.cdist(z, centroids).square().amin(-1).sum().item()


def clusters(count: int, each: int, offset: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    centers = 20 * normal(count, 5, seed=7)
    z = centers.repeat_interleave(each, 0) + 0.1 * normal(count * each, 5)
    return z + offset, centers + offset


@pytest.mark.parametrize("offset", [0.0, 1000.0])
@pytest.mark.parametrize("count", [1, 8, 64])
def test_finds_known_clusters(count: int, offset: float) -> None:
    z, centers = clusters(count, 50, offset)
    centroids, counts = kmeans(z, count)
    assert counts.tolist() == [50] * count
    order = nearest_codeword(centers, centroids)
    assert sorted(order.tolist()) == list(range(count))
    means = z.double().reshape(count, 50, 5).mean(1)
    assert torch.allclose(centroids[order].double(), means, rtol=0, atol=2e-4)


@pytest.mark.parametrize(("count", "size"), [(10, 1000), (100, 2000)])
def test_inertia_is_near_scikit_learns(count: int, size: int) -> None:
    z = normal(size, 8)
    ours, _ = kmeans(z, count, iterations=50)
    theirs = KMeans(count, n_init=1, random_state=0, max_iter=50).fit(z.numpy())
    assert inertia(z, ours) <= 1.03 * theirs.inertia_


def test_counts_are_the_final_assignment() -> None:
    z = normal(500, 4)
    for iterations in (0, 3):
        centroids, counts = kmeans(z, 20, iterations=iterations)
        codes = nearest_codeword(z, centroids)
        assert counts.tolist() == torch.bincount(codes, minlength=20).tolist()
        assert centroids.dtype == torch.float32
        assert counts.dtype == torch.int64


def test_seeded_and_leaves_the_global_generator_alone() -> None:
    z = normal(500, 4)
    state = torch.get_rng_state()
    first, again, other = (kmeans(z, 200, seed=seed)[0] for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("count", [5, 300])
@pytest.mark.parametrize("distinct", [1, 3])
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_fewer_distinct_vectors_than_clusters(count: int, distinct: int, offset: float) -> None:
    points = offset + 1 + normal(distinct, 4)
    centroids, counts = kmeans(points.repeat(7, 1), count)
    assert centroids.unique(dim=0).shape[0] == count
    assert (centroids != 0).any(-1).all()
    assert counts.sum().item() == 7 * distinct
    assert counts.max().item() == 7
    # Every data vector has its own centroid, and the copies stay near the data.
    assert torch.cdist(points.double(), centroids.double()).amin(-1).max() < 1e-3
    size = offset + 3 if distinct == 1 else 3
    assert torch.cdist(centroids.double(), points.double()).amin(-1).max() < 0.1 * size


def test_all_vectors_zero() -> None:
    centroids, _ = kmeans(torch.zeros(10, 3), 4)
    assert torch.isfinite(centroids).all()
    assert centroids.unique(dim=0).shape[0] == 4


def test_no_cluster_stays_empty_while_there_are_vectors() -> None:
    # A start on one heavy point and a few far ones: Lloyd alone would lose clusters here.
    z = torch.cat([torch.zeros(2000, 2), 5 + normal(300, 2)])
    _, counts = kmeans(z, 128, iterations=20)
    assert (counts > 0).all()


def test_broken_and_masked_rows_take_no_part() -> None:
    z, centers = clusters(8, 50)
    mask = torch.ones(402, dtype=torch.bool)
    mask[400:] = False
    dirty = torch.cat([z, torch.full((2, 5), 1e6)])
    dirty[0, 0], dirty[60, 3] = torch.nan, torch.inf
    centroids, counts = kmeans(dirty, 8, mask=mask)
    assert sorted(counts.tolist()) == [49, 49, 50, 50, 50, 50, 50, 50]
    assert torch.cdist(centers, centroids).amin(-1).max() < 0.1


@pytest.mark.parametrize("scale", [1e-20, 1e20])
def test_any_scale(scale: float) -> None:
    z, _ = clusters(8, 50)
    _, counts = kmeans(scale * z, 8)
    assert counts.tolist() == [50] * 8


def test_large_codebook_is_fast() -> None:
    z = normal(16384, 16)
    start = time.process_time()
    _, counts = kmeans(z, 4096, iterations=2)
    assert time.process_time() - start < 10
    assert (counts > 0).all()


def test_errors() -> None:
    z = torch.zeros(3, 2)
    with pytest.raises(ShapeError, match="at least one finite vector"):
        kmeans(z[:0], 2)
    with pytest.raises(ShapeError, match="at least one finite vector"):
        kmeans(z * torch.nan, 2)
    with pytest.raises(ShapeError, match="at least one finite vector"):
        kmeans(z, 2, mask=torch.zeros(3, dtype=torch.bool))
    with pytest.raises(ShapeError, match=r"\(N, D\)"):
        kmeans(torch.zeros(3), 2)
    with pytest.raises(OptionError, match="clusters"):
        kmeans(z, 0)
    with pytest.raises(OptionError, match="iterations"):
        kmeans(z, 2, iterations=-1)


def test_weights_count_as_repeated_vectors() -> None:
    # The mean of 0 three times and 4 once is 1, and that of 100 twice is 100.
    z = torch.tensor([[0.0], [4.0], [100.0], [50.0]])
    centroids, counts = kmeans(z, 2, weights=torch.tensor([3, 1, 2, 0]))
    order = centroids[:, 0].argsort()
    assert torch.allclose(centroids[order, 0], torch.tensor([1.0, 100.0]), rtol=0, atol=1e-5)
    assert counts[order].tolist() == [4, 2]


@pytest.mark.parametrize("count", [8, 50])
def test_weighted_inertia_is_near_scikit_learns(count: int) -> None:
    z = normal(2000, 3)
    weights = torch.randint(1, 50, (2000,), generator=torch.Generator().manual_seed(1))
    ours, counts = kmeans(z, count, iterations=50, weights=weights)
    theirs = KMeans(count, n_init=1, random_state=0, max_iter=50).fit(z.numpy(), None, weights)
    distance = torch.cdist(z.double(), ours.double()).square().amin(-1)
    assert (distance * weights).sum().item() <= 1.03 * theirs.inertia_
    codes = nearest_codeword(z, ours)
    assert counts.tolist() == torch.bincount(codes, weights.double(), count).long().tolist()


def test_weights_of_one_give_the_unweighted_centroids() -> None:
    z, _ = clusters(16, 50)  # no more vectors than the start looks at
    plain, _ = kmeans(z, 16, iterations=20)
    weighted, _ = kmeans(z, 16, iterations=20, weights=torch.ones(len(z), dtype=torch.int64))
    assert torch.allclose(plain[nearest_codeword(weighted, plain)], weighted, atol=1e-4)


def test_refuses_weights_that_do_not_fit() -> None:
    z = normal(5, 2)
    for bad in (torch.ones(4, dtype=torch.int64), torch.ones(5), torch.ones(5, dtype=torch.int32)):
        with pytest.raises(ShapeError, match=r"weights: expected torch.int64 of shape \(5,\)"):
            kmeans(z, 2, weights=bad)
    with pytest.raises(OptionError, match="weights: expected at least 0, got -1"):
        kmeans(z, 2, weights=torch.tensor([1, 1, -1, 1, 1]))
    with pytest.raises(ShapeError, match="at least one finite vector"):
        kmeans(z, 2, weights=torch.zeros(5, dtype=torch.int64))
