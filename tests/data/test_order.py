"""The order of training items."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vocabula.data.order import Stream, Turns, epoch_order
from vocabula.data.transforms import crop_image, crop_window, flip_images


@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=12),
    window=st.integers(1, 5),
    seed=st.integers(-5, 2**40),
    epoch=st.integers(0, 99),
)
def test_block_shuffle_is_a_permutation_that_reads_each_block_in_one_window(
    sizes: list[int], window: int, seed: int, epoch: int
) -> None:
    bounds = np.cumsum([0, *sizes])
    order = epoch_order(
        int(bounds[-1]), seed=seed, epoch=epoch, block_bounds=bounds, window_blocks=window
    )
    assert sorted(order.tolist()) == list(range(int(bounds[-1])))
    blocks = np.searchsorted(bounds, order, side="right") - 1
    seen: list[int] = []
    start = 0
    while start < len(order):  # cut the order into windows again: each holds whole blocks
        members = list(dict.fromkeys(blocks[start:].tolist()))[:window]
        length = sum(sizes[b] for b in members)
        here = set(blocks[start : start + length].tolist())
        assert len(here) <= window and not here & set(seen)
        assert length == sum(sizes[b] for b in here)
        seen.extend(here)
        start += length


def test_epochs_and_seeds_differ_and_repeat() -> None:
    first = epoch_order(100, seed=1, epoch=0)
    np.testing.assert_array_equal(first, epoch_order(100, seed=1, epoch=0))
    assert (first != epoch_order(100, seed=1, epoch=1)).any()
    assert (first != epoch_order(100, seed=2, epoch=0)).any()
    assert sorted(first.tolist()) == list(range(100))


def test_stream_is_addressed_by_position_across_epochs() -> None:
    stream = Stream(7, seed=3)
    indices, draws = stream.take(np.arange(28))
    for epoch in range(4):
        assert sorted(indices[7 * epoch : 7 * epoch + 7].tolist()) == list(range(7))
    again, drawn = Stream(7, seed=3).take(np.arange(13, 17))
    np.testing.assert_array_equal(again, indices[13:17])
    np.testing.assert_array_equal(drawn, draws[13:17])
    assert len(np.unique(draws)) == draws.size  # every epoch and item has its own numbers
    assert draws.min() >= 0 and draws.max() < 1


def test_crop_corners_are_uniform_and_inside() -> None:
    corners = [crop_window(5, 4, 3, np.array([a, b], np.float32))
               for a in np.linspace(0, 1, 30, endpoint=False)
               for b in np.linspace(0, 1, 30, endpoint=False)]  # fmt: skip
    found, counts = np.unique(corners, axis=0, return_counts=True)
    assert found.tolist() == [[t, left] for t in range(3) for left in range(2)]
    assert set(counts.tolist()) == {150}
    almost_one = np.array([np.nextafter(np.float32(1), np.float32(0))] * 2, np.float32)
    assert crop_window(4000, 3000, 1, almost_one) == (3999, 2999)


def test_padding_mirrors() -> None:
    image = np.array([[1, 2]], np.uint8)[..., None]
    draw = np.zeros(2, np.float32)
    padded = crop_image(image, 4, draw, pad=True, name="x")[..., 0]
    assert padded.tolist() == [[1, 1, 2, 2]] * 4


def test_flip_mirrors_left_and_right() -> None:
    images = np.arange(8).reshape(2, 1, 4, 1)
    flipped = flip_images(images, np.array([0.4, 0.5], np.float32))[..., 0]
    assert flipped.tolist() == [[[3, 2, 1, 0]], [[4, 5, 6, 7]]]


def test_half_of_the_images_are_flipped() -> None:
    _, draws = Stream(10_000, seed=0).take(np.arange(10_000))
    assert (draws[:, 2] < 0.5).mean() == pytest.approx(0.5, abs=0.02)  # 4 standard deviations


def test_turns_of_the_second_of_two_processes() -> None:
    turns = Turns(seed=0, start=2, batch_size=6, offsets=np.array([1, 3, 5]))
    assert list(itertools.islice(turns, 2)) == [2, 3]
    assert turns.places(2).tolist() == [13, 15, 17]
