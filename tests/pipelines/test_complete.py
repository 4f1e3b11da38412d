"""Completions as files, and the words for what is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from priors.generators import make_generator
from vocabula.data.png import save_png
from vocabula.errors import DataError, OptionError, OutputError
from vocabula.pipelines import complete as completions
from vocabula.pipelines.complete import complete_folder, complete_grid, read_images
from vocabula.pipelines.keep import keep_mask, mask_picture
from vocabula.pipelines.sample_options import Drawn, SampleOptions
from vocabula.priors import Generator

SIZE = (12, 16)


@pytest.fixture(scope="module")
def generator() -> Generator:
    return make_generator("pixelcnn", channels=3)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    numbers = np.random.default_rng(0)
    paths = [tmp_path / "a" / "x.png", tmp_path / "b" / "x.png"]
    for path in paths:
        path.parent.mkdir()
        Image.fromarray(numbers.integers(0, 256, (*SIZE, 3), dtype=np.uint8)).save(path)
    return paths


@pytest.mark.parametrize(
    ("words", "rows", "columns"),
    [
        ("top:0.5", slice(0, 2), slice(0, 6)),
        ("bottom:0.25", slice(3, 4), slice(0, 6)),
        ("left:0.5", slice(0, 4), slice(0, 3)),
        ("right:0.34", slice(0, 4), slice(4, 6)),
        ("box:1,2,5,4", slice(2, 4), slice(1, 5)),
        (" box: 0, 0, 6, 4 ", slice(0, 4), slice(0, 6)),
    ],
)
def test_words_for_a_part(words: str, rows: slice, columns: slice) -> None:
    expected = torch.zeros(4, 6, dtype=torch.bool)
    expected[rows, columns] = True
    assert torch.equal(keep_mask(words, (4, 6)), expected)


@pytest.mark.parametrize(
    "words",
    ["", "top", "top:0", "top:1", "top:nan", "middle:0.5", "box:1,2,3", "box:3,0,3,2",
     "box:0,0,7,4", "box:-1,0,2,2", "0.5"],
)  # fmt: skip
def test_other_words_are_refused(words: str) -> None:
    with pytest.raises(OptionError, match="--keep: expected"):
        keep_mask(words, (4, 6))


def test_a_mask_keeps_what_is_black(tmp_path: Path) -> None:
    values = np.array([[0, 127], [128, 255]], np.uint8)
    Image.fromarray(values).save(tmp_path / "m.png")
    assert mask_picture(tmp_path / "m.png", (2, 2)).tolist() == [[True, True], [False, False]]
    with pytest.raises(DataError, match="a mask of the image's 2 x 3 pixels, got 2 x 2; resize"):
        mask_picture(tmp_path / "m.png", (3, 2))
    (tmp_path / "bad.png").write_text("no picture")
    with pytest.raises(DataError, match="expected a picture, got none"):
        mask_picture(tmp_path / "bad.png", (2, 2))


@pytest.mark.parametrize("paste", [False, True])
def test_a_grid_shows_what_is_kept_and_the_completions(
    paste: bool, generator: Generator, files: list[Path], tmp_path: Path
) -> None:
    images, keep = read_images(files, generator), keep_mask("top:0.67", SIZE)
    options = SampleOptions(2, seed=5, batch_size=3)
    out = tmp_path / "g.png"
    assert complete_grid(generator, images, keep, options, out, paste=paste) == Drawn(4, 4, 5)
    sheet = np.asarray(Image.open(out))
    assert sheet.shape == (2 * 14 - 2, 3 * 18 - 2, 3)
    second = images[1].permute(1, 2, 0).numpy()
    assert np.array_equal(sheet[14:22, :16], second[:8])
    assert (sheet[22:, :16] == 128).all()
    assert (np.array_equal(sheet[14:22, 36:], second[:8])) == paste
    assert not np.array_equal(sheet[22:26, 18:34], sheet[22:26, 36:])


def test_a_folder_holds_one_png_each(
    generator: Generator, files: list[Path], tmp_path: Path
) -> None:
    images, keep = read_images(files, generator), keep_mask("left:0.5", SIZE)
    options, out = SampleOptions(2, seed=5), tmp_path / "out"
    words = [file.name for file in files]
    drawn = complete_folder(generator, images, keep, options, out, names=words, paste=True)
    assert drawn == Drawn(4, 4, 5)
    found = {path.name: np.asarray(Image.open(path)) for path in out.iterdir()}
    assert sorted(found) == ["x-0-2.png", "x-0.png", "x-1-2.png", "x-1.png"]
    assert np.array_equal(found["x-1-2.png"][:, :8], images[1].permute(1, 2, 0).numpy()[:, :8])
    with pytest.raises(OutputError, match="expected a new output"):
        complete_folder(generator, images, keep, options, out, names=words)


def test_ctrl_c_keeps_what_is_finished(
    generator: Generator, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, keep = read_images(files, generator), keep_mask("top:0.5", SIZE)
    options = SampleOptions(3, seed=5, batch_size=2)
    calls = [0]

    def save(*args: Any, **more: Any) -> None:
        calls[0] += 1
        if calls[0] == 4:
            raise KeyboardInterrupt
        save_png(*args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(completions, "save_png", save)
        names = [file.name for file in files]
        drawn = complete_folder(generator, images, keep, options, tmp_path / "o", names=names)
    assert drawn == Drawn(2, 6, 5) and len(list((tmp_path / "o").iterdir())) == 3

    def stop(done: int, of: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(completions, "counted", _telling(stop))
    assert complete_grid(generator, images, keep, options, tmp_path / "g.png") == Drawn(0, 6, 5)
    assert not (tmp_path / "g.png").exists()


def _telling(stop: Any) -> Any:
    from contextlib import contextmanager

    @contextmanager
    def counted(*_: Any, **__: Any) -> Any:
        yield lambda count: stop(count, 0)

    return counted


def test_pictures_that_do_not_fit(generator: Generator, files: list[Path], tmp_path: Path) -> None:
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "small.png")
    assert read_images([tmp_path / "small.png"], generator).shape == (1, 3, 8, 8)
    with pytest.raises(
        DataError, match=r"small\.png: expected the size of .*, 16 x 12 pixels, got"
    ):
        read_images([files[0], tmp_path / "small.png"], generator)
    with pytest.raises(DataError, match=r"nowhere\.png: expected a picture, got nothing at that"):
        read_images([tmp_path / "nowhere.png"], generator)
    (tmp_path / "bad.png").write_text("no picture")
    with pytest.raises(DataError, match=r"bad\.png: expected a picture, got none"):
        read_images([tmp_path / "bad.png"], generator)
    other = make_generator("gpt2", channels=3)
    with pytest.raises(DataError, match=r"small\.png: size: .* resize it to 16 x 12 pixels"):
        read_images([tmp_path / "small.png"], other)
