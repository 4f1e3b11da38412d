"""Equal squares of pictures: where they lie, what they are called, and what is skipped."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vocabula.data import ArraySource, CroppedSource, Cut, DataWarning, Sample, open_source
from vocabula.data.cropped import picture_of, resize_image
from vocabula.data.picture_cuts import crop_name
from vocabula.errors import DataError, OptionError

SIZES = [(30, 20), (20, 33), (64, 48)]  # width, height


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    random = np.random.default_rng(0)
    for i, (width, height) in enumerate(SIZES):
        pixels = random.integers(0, 256, (height, width, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{i}.png")
    return tmp_path / "photos"


def read(source: CroppedSource, **options: int) -> list[Sample]:
    return list(source.samples(**options))


def test_squares_are_parts_of_their_picture(pictures: Path) -> None:
    whole = open_source(pictures)
    source = CroppedSource(whole, Cut(crop=16, crops=5, seed=3))
    samples = read(source)
    assert len(source) == len(samples) == 15 and source.smallest() == (16, 16)
    assert [s.path for s in samples[4:7]] == ["0#4.png", "1#0.png", "1#1.png"]
    assert [s.index for s in samples] == list(range(15))
    for sample in samples:
        picture = whole.read(sample.index // 5).image
        windows = np.lib.stride_tricks.sliding_window_view(picture, (16, 16), axis=(0, 1))
        same = (windows == sample.image.transpose(2, 0, 1)).all(axis=(2, 3, 4))
        assert same.sum() == 1
    corners = {sample.image.tobytes() for sample in samples}
    assert len(corners) > 12


def test_squares_depend_on_the_seed_and_the_number_of_the_picture_alone(pictures: Path) -> None:
    def squares(crops: int = 4, seed: int = 0, **options: int) -> list[bytes]:
        source = CroppedSource(open_source(pictures), Cut(crop=16, crops=crops, seed=seed))
        return [sample.image.tobytes() for sample in read(source, **options)]

    once = squares()
    assert squares() == once == squares(workers=3)
    assert squares(limit=8) == once[:8]
    assert squares(crops=6)[6:10] == once[4:8]  # more squares leave the first ones as they are
    assert squares(seed=1) != once
    source = CroppedSource(open_source(pictures), Cut(crop=16, crops=4))
    assert source.read(9).image.tobytes() == once[9]
    assert pickle.loads(pickle.dumps(source)).read(7).image.tobytes() == once[7]


def test_one_square_keeps_the_name(pictures: Path) -> None:
    assert [s.path for s in read(CroppedSource(open_source(pictures), Cut(crop=8)))] == [
        "0.png",
        "1.png",
        "2.png",
    ]


def test_resizing_keeps_the_central_square(tmp_path: Path) -> None:
    pixels = np.zeros((40, 80, 3), np.uint8)
    pixels[:, 20:60] = 200  # the centre
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    (square,) = read(CroppedSource(open_source(tmp_path / "wide.png"), Cut(resize=20)))
    assert square.image.shape == (20, 20, 3) and square.image.dtype == np.uint8
    assert (square.image[:, 2:-2] == 200).all()
    squares = read(CroppedSource(open_source(tmp_path / "wide.png"), Cut(16, 3, resize=20)))
    assert {s.image.shape for s in squares} == {(16, 16, 3)}
    (enlarged,) = read(CroppedSource(open_source(tmp_path / "wide.png"), Cut(resize=100)))
    assert enlarged.image.shape == (100, 100, 3)


def test_resized_sizes_and_values() -> None:
    random = np.random.default_rng(0)
    for height, width in ((321, 481), (481, 321), (7, 7), (1, 50)):
        image = resize_image(random.random((height, width, 2), np.float32), 13)
        assert min(image.shape[:2]) == 13 and image.shape[2] == 2
        assert image.dtype == np.float32 and image.min() >= 0 and image.max() <= 1
    flat = np.full((30, 40, 1), 77, np.uint8)
    assert (resize_image(flat, 11) == 77).all()


def test_small_pictures_are_skipped_once_and_named(pictures: Path) -> None:
    source = CroppedSource(open_source(pictures), Cut(crop=24, crops=3))
    with pytest.warns(DataWarning) as told:
        samples = read(source)
    assert [s.path for s in samples] == ["2#0.png", "2#1.png", "2#2.png"]
    assert len(told) == 2 and "0#0.png: 30x20 pixels, smaller than squares of 24" in str(
        told[0].message
    )
    with pytest.raises(DataError, match="smaller than squares of 24"):
        read(CroppedSource(open_source(pictures, strict=True), Cut(crop=24)))
    nothing = CroppedSource(open_source(pictures), Cut(crop=500, crops=2))
    with pytest.warns(DataWarning), pytest.raises(DataError, match="expected readable images"):
        read(nothing)


def test_broken_pictures_are_told_once(pictures: Path) -> None:
    source = CroppedSource(open_source(pictures), Cut(crop=8, crops=4))
    (pictures / "1.png").write_bytes((pictures / "1.png").read_bytes()[:200])
    with pytest.warns(DataWarning) as told:
        assert len(read(source)) == 8
    assert len(told) == 1 and len(source.problems) == 1


def test_labels_and_their_names_stay() -> None:
    images = np.zeros((2, 12, 12), np.uint8)
    source = CroppedSource(ArraySource(images, np.array(["b", "a"])), Cut(crop=8, crops=2))
    assert [sample.label for sample in read(source)] == [1, 1, 0, 0]
    assert source.label_names == ["a", "b"] and source.crops == 2


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("cat.jpg", "cat#3.jpg"),
        ("a.b/cat", "a.b/cat#3"),
        ("x.npy[7]", "x.npy[7]#3"),
        ("a#1.jpg", "a#1#3.jpg"),
        ("a#1", "a#1#3"),
        (".jpg", ".jpg#3"),
        ("photo.of me.png", "photo.of me#3.png"),
        ("12", "12#3"),
        ("", "#3"),
    ],
)
def test_names_of_squares_lead_back_to_the_picture(path: str, name: str) -> None:
    assert crop_name(path, 3) == name
    assert picture_of(name) == path


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "expected the side of the squares, got none"),
        ({"crop": 0}, "crop: expected an integer >= 1"),
        ({"crop": 8, "crops": 0}, "crops: expected an integer >= 1"),
        ({"resize": 8, "crops": 2}, "crops: expected 1 where the centre is kept"),
        ({"resize": 8, "crop": 9}, "crop: expected at most resize=8, got 9"),
    ],
)
def test_wrong_options(options: dict[str, int], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Cut(**options)
