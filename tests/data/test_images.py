"""Training and evaluation batches."""

from __future__ import annotations

import itertools
import pickle
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vocabula.data import ArraySource, Batch, DataWarning, FolderSource, ImageData, open_source
from vocabula.errors import DataError, OptionError
from vocabula.registry import build, spec


def take(batches, count: int) -> list[Batch]:
    return list(itertools.islice(batches, count))


def assert_same(one: Batch, other: Batch) -> None:
    assert torch.equal(one.values, other.values)
    assert torch.equal(one.labels, other.labels)
    assert torch.equal(one.indices, other.indices)


@pytest.fixture
def photos(tmp_path: Path) -> FolderSource:
    """Five pictures of noise of different sizes, in two classes."""
    noise = np.random.default_rng(0)
    for index, (height, width) in enumerate([(20, 30), (24, 24), (40, 21), (20, 20), (33, 50)]):
        folder = tmp_path / ("even" if index % 2 == 0 else "odd")
        folder.mkdir(exist_ok=True)
        pixels = noise.integers(0, 255, (height, width, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return FolderSource(tmp_path)


@pytest.fixture
def digits() -> ArraySource:
    images = np.arange(10, dtype=np.uint8)[:, None, None] + np.zeros((10, 4, 6), np.uint8)
    images[:, :, 0] += 100  # a mark on the left
    return ArraySource(images, np.arange(10))


def test_batches_hold_pieces_of_the_images_they_name(photos: FolderSource) -> None:
    for batch in take(ImageData(crop=16).train_batches(photos, batch_size=3, seed=0), 4):
        assert batch.values.shape == (3, 3, 16, 16) and batch.values.dtype == torch.uint8
        assert batch.values.is_contiguous()
        for image, label, index in zip(batch.values, batch.labels, batch.indices, strict=True):
            sample = photos.read(int(index))
            assert sample.label == label
            windows = np.lib.stride_tricks.sliding_window_view(sample.image, (16, 16, 3))
            assert (windows[:, :, 0] == image.permute(1, 2, 0).numpy()).all((2, 3, 4)).any()


@pytest.mark.parametrize("cache", ["auto", "never", "always"])
def test_batch_k_does_not_depend_on_where_the_run_started(photos: FolderSource, cache: str) -> None:
    data = ImageData(crop=16, flip=True, cache=cache)
    whole = take(data.train_batches(photos, batch_size=4, seed=7), 6)
    resumed = take(data.train_batches(photos, batch_size=4, seed=7, start=4), 2)
    assert_same(whole[4], resumed[0])
    assert_same(whole[5], resumed[1])
    other = take(data.train_batches(photos, batch_size=4, seed=8), 1)[0]
    assert not torch.equal(whole[0].values, other.values)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
@pytest.mark.parametrize("workers", [1, 2])
def test_workers_give_the_same_batches_and_leave_the_random_state(
    photos: FolderSource, workers: int
) -> None:
    state = torch.get_rng_state()
    expected = take(ImageData(crop=16, flip=True).train_batches(photos, batch_size=4, seed=1), 8)
    ahead = ImageData(crop=16, flip=True, workers=workers)
    found = take(ahead.train_batches(photos, batch_size=4, seed=1, start=3), 5)
    for one, other in zip(expected[3:], found, strict=True):
        assert_same(one, other)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_errors_in_workers_stay_one_line(photos: FolderSource) -> None:
    with pytest.raises(DataError, match="one size") as error:
        take(ImageData(workers=1).train_batches(photos, batch_size=4, seed=1), 1)
    assert "\n" not in str(error.value)


def test_ranks_share_the_global_batch(photos: FolderSource) -> None:
    data = ImageData(crop=16, flip=True)
    whole = take(data.train_batches(photos, batch_size=6, seed=2), 3)
    ranks = [
        take(data.train_batches(photos, batch_size=2, seed=2, rank=r, world_size=3), 3)
        for r in range(3)
    ]
    for step, batch in enumerate(whole):
        for rank in range(3):
            assert torch.equal(batch.values[rank::3], ranks[rank][step].values)
            assert torch.equal(batch.indices[rank::3], ranks[rank][step].indices)


def test_a_batch_larger_than_the_data_repeats_items_with_other_crops(photos: FolderSource) -> None:
    batch = take(ImageData(crop=16).train_batches(photos, batch_size=10, seed=0), 1)[0]
    assert sorted(batch.indices.tolist()) == sorted([0, 1, 2, 3, 4] * 2)
    first, second = (batch.indices == 4).nonzero().ravel().tolist()
    assert not torch.equal(batch.values[first], batch.values[second])


def test_whole_images_of_one_array_come_at_once(digits: ArraySource) -> None:
    batches = take(ImageData(flip=True).train_batches(digits, batch_size=5, seed=0), 2)
    indices = torch.cat([b.indices for b in batches])
    assert sorted(indices.tolist()) == list(range(10))
    images = torch.cat([b.values for b in batches])
    assert images.shape == (10, 1, 4, 6)
    assert torch.equal(images[:, 0, 0, 1], indices.to(torch.uint8))  # no mark in the middle
    left, right = images[:, 0, :, 0].amin(1) >= 100, images[:, 0, :, -1].amin(1) >= 100
    assert torch.equal(left, ~right) and 0 < int(right.sum()) < 10
    assert torch.equal(torch.cat([b.labels for b in batches]), indices)


def test_equal_pictures_are_cached_in_one_array(tmp_path: Path) -> None:
    for index in range(4):
        Image.new("RGB", (8, 8), (index, 0, 0)).save(tmp_path / f"{index}.png")
    source = FolderSource(tmp_path)
    expected = take(ImageData(cache="never").train_batches(source, batch_size=4, seed=0), 3)
    batches = ImageData().train_batches(source, batch_size=4, seed=0)
    first = next(batches)
    assert_same(first, expected[0])
    assert (first.labels == -1).all()
    for index in range(4):
        (tmp_path / f"{index}.png").unlink()  # from here on only memory can answer
    assert_same(next(batches), expected[1])
    assert_same(next(batches), expected[2])
    cropped = ImageData(crop=4).train_batches(source, batch_size=4, seed=0)
    with pytest.warns(DataWarning), pytest.raises(DataError):
        next(cropped)


def test_float_images(tmp_path: Path) -> None:
    source = ArraySource(np.full((3, 4, 4), 0.25, np.float32))
    batch = take(ImageData().train_batches(source, batch_size=2, seed=0), 1)[0]
    assert batch.values.dtype == torch.float32 and (batch.values == 0.25).all()


def test_images_smaller_than_the_crop(photos: FolderSource, digits: ArraySource) -> None:
    message = r"at least 32 x 32 pixels, got 20 x 20.*data\.crop=20 or less, or data\.pad=true"
    with pytest.raises(DataError, match=message):
        ImageData(crop=32).train_batches(photos, batch_size=2, seed=0)  # before the first batch
    batch = take(ImageData(crop=32, pad=True).train_batches(photos, batch_size=5, seed=0), 1)[0]
    assert batch.values.shape == (5, 3, 32, 32)
    with pytest.raises(DataError, match="at least 5 x 5 pixels, got 6 x 4"):
        ImageData(crop=5).train_batches(digits, batch_size=2, seed=0)


def test_sizes_that_differ_need_a_crop(photos: FolderSource) -> None:
    with pytest.raises(DataError, match=r"of one size, got .*data\.crop=20"):
        take(ImageData().train_batches(photos, batch_size=5, seed=0), 1)


def test_evaluation_keeps_order_and_batches_neighbours_of_equal_size(tmp_path: Path) -> None:
    sizes = [(4, 6), (4, 6), (4, 6), (6, 4), (4, 6)]
    for index, (height, width) in enumerate(sizes):
        Image.new("L", (width, height), index).save(tmp_path / f"{index}.png")
    source = FolderSource(tmp_path)
    batches = list(source.batches(batch_size=2))
    assert [b.indices.tolist() for b in batches] == [[0, 1], [2], [3], [4]]
    assert [tuple(b.values.shape) for b in batches][2] == (1, 1, 6, 4)
    assert batches[0].paths == ["0.png", "1.png"]
    assert [int(b.values[0, 0, 0, 0]) for b in batches] == [0, 2, 3, 4]
    limited = list(source.batches(batch_size=2, limit=3))
    assert sum(len(b.indices) for b in limited) == 3


def test_options_come_from_the_registry() -> None:
    data = build("data", {"name": "images", "crop": 64, "value_range": [0, 2]})
    assert isinstance(data, ImageData) and data.crop == 64 and data.value_range == (0.0, 2.0)
    assert build("data", spec(data)).crop == 64
    with pytest.raises(OptionError, match="crop: expected"):
        ImageData(crop=0)
    with pytest.raises(OptionError, match="did you mean 'always'"):
        ImageData(cache="alway")


def test_open_uses_the_options(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.full((1, 2, 2), 3, np.int16))
    data = ImageData(channels=3, value_range=(0, 6))
    assert data.open(tmp_path / "x.npy").read(0).image.tolist() == [[[0.5] * 3] * 2] * 2
    assert data.open(tmp_path / "x.npy", channels=1).channels == 1


def test_cached_batches_are_fast() -> None:
    images = np.zeros((50_000, 32, 32, 3), np.uint8)
    batches = ImageData(flip=True).train_batches(ArraySource(images), batch_size=32, seed=0)
    take(batches, 10)
    best = float("inf")
    for _ in range(5):
        start = time.process_time()  # of this process alone, whatever else the machine does
        take(batches, 20)
        best = min(best, (time.process_time() - start) / 20)
    assert best < 0.001  # 0.15 ms on one core


def test_block_order_reads_row_groups_once_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    source = ArraySource(np.zeros((60, 2, 2), np.uint8))
    source.block_bounds, source.window_blocks = np.arange(0, 61, 5), 2
    batches = take(ImageData().train_batches(source, batch_size=10, seed=0), 6)
    for batch in batches:  # a batch of ten is a window of two blocks of five
        assert len(set((batch.indices // 5).tolist())) == 2
    assert sorted(torch.cat([b.indices for b in batches]).tolist()) == list(range(60))


def test_photographs_make_batches_without_warnings() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        source = open_source("sample:photos")
        batch = take(ImageData(crop=64).train_batches(source, batch_size=16, seed=0), 1)[0]
    assert batch.values.shape == (16, 3, 64, 64)


def test_sources_travel_to_worker_processes_that_are_not_forked(photos: FolderSource) -> None:
    again = pickle.loads(pickle.dumps(photos))
    data = pickle.loads(pickle.dumps(ImageData(crop=16)))
    expected = take(ImageData(crop=16).train_batches(photos, batch_size=4, seed=0), 1)[0]
    assert_same(take(data.train_batches(again, batch_size=4, seed=0), 1)[0], expected)
