"""Images in NumPy files."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from vocabula.data import open_source
from vocabula.errors import DataError


def saved(tmp_path: Path, array: np.ndarray) -> Path:
    np.save(tmp_path / "x.npy", array)
    return tmp_path / "x.npy"


@pytest.mark.parametrize(
    ("shape", "channels"),
    [
        ((2, 5, 6), 1),
        ((2, 5, 6, 3), 3),
        ((2, 3, 5, 6), 3),
        ((2, 4, 4, 4), 4),
        ((2, 12, 16, 16), 12),
    ],
)
def test_layouts(tmp_path: Path, shape: tuple[int, ...], channels: int) -> None:
    array = np.random.randint(0, 255, shape, np.uint8)
    source = open_source(saved(tmp_path, array))
    assert source.channels == channels
    image = source.read(1).image
    first = shape == (2, 3, 5, 6) or shape == (2, 12, 16, 16)
    expected = np.moveaxis(array[1], 0, 2) if first else array[1].reshape(*image.shape)
    np.testing.assert_array_equal(image, expected)
    gathered = source.gather(np.array([1, 0]))
    np.testing.assert_array_equal(gathered[0], expected)


def test_npy_is_memory_mapped(tmp_path: Path) -> None:
    source = open_source(saved(tmp_path, np.zeros((3, 4, 4), np.uint8)))
    base = source._images
    while base is not None and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)


@pytest.mark.parametrize(
    ("image_key", "label_key"), [("images", "labels"), ("x", "y"), ("data", "y")]
)
def test_npz_with_labels(tmp_path: Path, image_key: str, label_key: str) -> None:
    images = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4)
    np.savez(tmp_path / "x.npz", **{image_key: images, label_key: np.array([[5], [6]])})
    source = open_source(tmp_path / "x.npz")
    assert [source.read(i).label for i in (0, 1)] == [5, 6]
    np.testing.assert_array_equal(source.labels(np.array([1])), [6])
    np.testing.assert_array_equal(source.read(1).image[..., 0], images[1])


def test_value_ranges(tmp_path: Path) -> None:
    floats = np.array([-1.0, 0.0, 1.0, 0.5], np.float64).reshape(1, 2, 2)
    path = saved(tmp_path, floats)
    with pytest.raises(DataError, match=re.escape("values in [0, 1], got [-1, 1]")) as error:
        open_source(path)
    assert "data.value_range=" in str(error.value)
    image = open_source(path, value_range=(-1, 1)).read(0).image
    assert image.dtype == np.float32
    np.testing.assert_array_equal(image[..., 0], [[0.0, 0.5], [1.0, 0.75]])


def test_integers_need_a_range_and_land_on_the_grid(tmp_path: Path) -> None:
    path = saved(tmp_path, np.arange(256, dtype=np.int64).reshape(1, 16, 16))
    with pytest.raises(DataError, match="got int64; say the range"):
        open_source(path)
    image = open_source(path, value_range=(0, 255)).read(0).image
    np.testing.assert_array_equal(image.ravel(), np.arange(256, dtype=np.float32) / np.float32(255))
    eight_bit = saved(tmp_path, np.full((1, 2, 2), 9, np.uint8))
    assert open_source(eight_bit, value_range=(0, 255)).read(0).image.dtype == np.uint8
    np.testing.assert_array_equal(open_source(eight_bit, value_range=(0, 18)).read(0).image, 0.5)
    mask = saved(tmp_path, np.array([[[True, False]]]))
    np.testing.assert_array_equal(open_source(mask).read(0).image[..., 0], [[255, 0]])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_finite_values_are_named_by_index(tmp_path: Path, bad: float) -> None:
    array = np.zeros((300, 2, 2), np.float32)
    array[290, 1, 1] = bad
    with pytest.raises(DataError, match=r"x\.npy\[290\]: expected finite values"):
        open_source(saved(tmp_path, array))


def test_large_files_are_checked_while_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vocabula.data.arrays.CHECKED_BYTES", 0)
    array = np.zeros((3, 2, 2), np.float32)
    array[2] = np.nan
    source = open_source(saved(tmp_path, array))
    source.read(1)
    with pytest.raises(DataError, match=r"\[2\]: expected finite"):
        source.read(2)


def test_python_objects_are_never_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{"a": 1}], object), allow_pickle=True)
    np.savez(tmp_path / "x.npz", images=np.array([{"a": 1}], object))
    for name in ("x.npy", "x.npz"):
        with pytest.raises(DataError, match="Python objects, which are never loaded"):
            open_source(tmp_path / name)


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
@pytest.mark.parametrize("content", [b"", b"garbage", b"\x93NUMPY\x01\x00v\x00", b"PK\x03\x04zip"])
def test_damaged_files(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError):
        open_source(tmp_path / name)


def test_cut_npy(tmp_path: Path) -> None:
    path = saved(tmp_path, np.zeros((10, 8, 8), np.uint8))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="damaged"):
        open_source(path)


def test_wrong_contents(tmp_path: Path) -> None:
    for array in (
        np.zeros(5),
        np.zeros((0, 4, 4)),
        np.array([["a"]]),
        np.zeros((1, 2, 2), complex),
    ):
        with pytest.raises(DataError, match="expected numbers of shape"):
            open_source(saved(tmp_path, array))
    np.savez(tmp_path / "x.npz", pictures=np.zeros((1, 2, 2)))
    with pytest.raises(DataError, match=r"expected an array named images.*got pictures"):
        open_source(tmp_path / "x.npz")
    np.savez(tmp_path / "y.npz", x=np.zeros((3, 2, 2)), y=np.arange(2))
    with pytest.raises(DataError, match="expected 3 integer labels"):
        open_source(tmp_path / "y.npz")
    with pytest.raises(DataError, match=r"low < high, got \[1, 0\]"):
        open_source(saved(tmp_path, np.zeros((1, 2, 2))), value_range=(1, 0))


def test_channels_that_do_not_convert(tmp_path: Path) -> None:
    path = saved(tmp_path, np.zeros((1, 8, 8, 5), np.uint8))
    assert open_source(path, channels=5).channels == 5
    with pytest.raises(DataError, match="of 3 channels, got 5"):
        open_source(path, channels=3)
    colour = saved(tmp_path, np.zeros((1, 8, 8, 3), np.uint8))
    with pytest.raises(DataError, match="of 1 channel, got 3"):  # grey would lose the colours
        open_source(colour, channels=1)
    grey = saved(tmp_path, np.full((1, 8, 8), 4, np.uint8))
    np.testing.assert_array_equal(
        open_source(grey, channels=3).read(0).image, np.full((8, 8, 3), 4)
    )
