"""Samples as files: what is written, what Ctrl-C leaves, how it goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from priors.generators import make_generator
from vocabula.data.png import grid, save_png, to_bytes
from vocabula.data.token_file import read_tokens
from vocabula.errors import OptionError, OutputError
from vocabula.pipelines import sample as samples_module
from vocabula.pipelines.sample import sample_folder, sample_grid
from vocabula.pipelines.sample_options import Drawn, SampleOptions
from vocabula.priors import Drawing, Generator


@pytest.fixture(scope="module")
def generator() -> Generator:
    return make_generator("pixelcnn", 2, channels=3, classes=3)


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.png"))


def stop_after(monkeypatch: pytest.MonkeyPatch, images: int) -> None:
    """Ctrl-C when the image after so many is about to be written."""
    left = [images]

    def save(*args: Any, **options: Any) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        save_png(*args, **options)

    monkeypatch.setattr(samples_module, "save_png", save)


def test_a_grid_by_hand() -> None:
    images = np.arange(3, dtype=np.uint8).reshape(3, 1, 1, 1)
    white = 255
    assert grid(images)[..., 0].tolist() == [
        [0, white, white, 1],
        [white] * 4,
        [white] * 4,
        [2, white, white, white],
    ]
    assert grid(images, 3)[..., 0].tolist() == [[0, white, white, 1, white, white, 2]]
    assert grid(images, 9).shape == (1, 7, 1)


def test_bytes_are_rounded() -> None:
    image = torch.tensor([[[[0.0, 0.499 / 255, 0.501 / 255, 1.0]]]])
    assert to_bytes(image).flatten().tolist() == [0, 0, 1, 255]


def test_a_folder_holds_one_png_each(generator: Generator, tmp_path: Path) -> None:
    options = SampleOptions(5, {"class": ("two", 0)}, seed=4, batch_size=2)
    drawn = sample_folder(generator, options, tmp_path / "out", codes=tmp_path / "codes.parquet")
    assert drawn == Drawn(5, 5, 4) and drawn.complete
    assert names(tmp_path / "out") == [
        f"{i:05d}-{'zero' if i % 2 else 'two'}.png" for i in range(5)
    ]
    expected = to_bytes(
        generator.sample(5, attributes={"class": ["two", 0, "two", 0, "two"]}, seed=4).images
    )
    for i, name in enumerate(names(tmp_path / "out")):
        assert np.array_equal(pixels(tmp_path / "out" / name), expected[i])
    settings = json.loads((tmp_path / "out/samples.json").read_text())
    assert settings["finished"] == 5 and settings["settings"]["seed"] == 4
    records = list(read_tokens(tmp_path / "codes.parquet"))
    assert [r.label for r in records] == [2, 0, 2, 0, 2]
    assert [(r.height, r.width) for r in records] == [(12, 16)] * 5
    codes = [
        torch.from_numpy(np.stack(level))
        for level in zip(*(r.levels for r in records), strict=True)
    ]
    again = to_bytes(generator.tokenizer.decode(codes, size=(12, 16)))
    assert np.array_equal(again, expected)


def test_a_grid_has_a_column_for_each_class(generator: Generator, tmp_path: Path) -> None:
    options = SampleOptions(6, {"class": (0, 1, 2)}, seed=1)
    assert sample_grid(generator, options, tmp_path / "g.png").complete
    sheet = pixels(tmp_path / "g.png")
    assert sheet.shape == (2 * 14 - 2, 3 * 18 - 2, 3)
    expected = to_bytes(generator.sample(6, attributes={"class": [0, 1, 2] * 2}, seed=1).images)
    assert np.array_equal(sheet[14:, 18:34], expected[4])
    with pytest.raises(OutputError, match="expected a new output, got an existing one"):
        sample_grid(generator, options, tmp_path / "g.png")


@pytest.mark.slow
@pytest.mark.parametrize("done", [0, 3, 4])
def test_after_an_interruption_it_goes_on(
    done: int, generator: Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = SampleOptions(7, {"class": (1, 2)}, seed=9, batch_size=2)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    sample_folder(generator, options, whole, codes=tmp_path / "whole.parquet")
    codes = tmp_path / "parts.parquet"
    with monkeypatch.context() as patch:
        stop_after(patch, done)
        drawn = sample_folder(generator, options, parts, codes=codes)
    finished = done // 2 * 2
    assert drawn == Drawn(finished, 7, 9) and not drawn.complete
    assert len(read_tokens(codes)) == finished
    assert names(parts)[:finished] == names(whole)[:finished]
    with pytest.raises(OutputError, match="expected a new output, got an existing one"):
        sample_folder(generator, options, parts)
    free = SampleOptions(
        7, {"class": ("one", "two")}, batch_size=5
    )  # the seed is that of the series
    assert sample_folder(generator, free, parts, codes=codes, resume=True) == Drawn(7, 7, 9)
    assert names(parts) == names(whole)
    for name in names(whole):
        assert np.array_equal(pixels(parts / name), pixels(whole / name))
    for one, other in zip(read_tokens(codes), read_tokens(tmp_path / "whole.parquet"), strict=True):
        assert (one.path, one.label) == (other.path, other.label)
        assert all(map(np.array_equal, one.levels, other.levels))
    assert sample_folder(generator, free, parts, resume=True).finished == 7


def test_a_series_can_grow(generator: Generator, tmp_path: Path) -> None:
    sample_folder(generator, SampleOptions(2, seed=3), tmp_path / "a", resume=True)
    sample_folder(generator, SampleOptions(5), tmp_path / "a", resume=True)
    sample_folder(generator, SampleOptions(5, seed=3), tmp_path / "b")
    for name in names(tmp_path / "b"):
        assert np.array_equal(pixels(tmp_path / "a" / name), pixels(tmp_path / "b" / name))


def test_codes_that_are_missing_are_drawn_again(generator: Generator, tmp_path: Path) -> None:
    sample_folder(generator, SampleOptions(2, seed=3), tmp_path / "a")
    codes = tmp_path / "codes.parquet"
    sample_folder(generator, SampleOptions(3), tmp_path / "a", codes=codes, resume=True)
    assert len(read_tokens(codes)) == 3
    # also where no image is missing
    other, options = tmp_path / "other.parquet", SampleOptions(3)
    drawn = sample_folder(generator, options, tmp_path / "a", codes=other, resume=True)
    assert drawn == Drawn(3, 3, 3) and len(read_tokens(other)) == 3
    assert [r.path for r in read_tokens(other)] == names(tmp_path / "a")
    before = other.read_bytes()
    fewer = SampleOptions(2)
    drawn = sample_folder(generator, fewer, tmp_path / "a", codes=other, resume=True)
    assert drawn.finished == 3 and other.read_bytes() == before


def test_a_grid_keeps_what_was_finished(
    generator: Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = samples_module.to_bytes
    calls = [2]

    def convert(images: torch.Tensor) -> np.ndarray:
        if not calls[0]:
            raise KeyboardInterrupt
        calls[0] -= 1
        return real(images)

    monkeypatch.setattr(samples_module, "to_bytes", convert)
    options = SampleOptions(9, seed=0, batch_size=2)
    assert sample_grid(generator, options, tmp_path / "g.png") == Drawn(4, 9, 0)
    assert pixels(tmp_path / "g.png").shape == (2 * 14 - 2, 2 * 18 - 2, 3)


OTHER: dict[str, SampleOptions] = {
    "seed": SampleOptions(4, {"class": (0,)}, seed=2),
    "labels": SampleOptions(4, {"class": (1,)}, seed=1),
    "temperature": SampleOptions(4, {"class": (0,)}, seed=1, drawing=Drawing(temperature=0.5)),
    "size": SampleOptions(4, {"class": (0,)}, seed=1, size=(8, 8)),
}


@pytest.mark.parametrize("name", OTHER)
def test_other_options_do_not_go_on(name: str, generator: Generator, tmp_path: Path) -> None:
    sample_folder(generator, SampleOptions(2, {"class": (0,)}, seed=1), tmp_path / "a")
    with pytest.raises(OptionError, match=f"sample.{name}: expected that of the samples in"):
        sample_folder(generator, OTHER[name], tmp_path / "a", resume=True)


def test_a_folder_that_holds_something_else(generator: Generator, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("x")
    options = SampleOptions(1, seed=0)
    with pytest.raises(OutputError, match="expected a new output"):
        sample_folder(generator, options, tmp_path / "a")
    with pytest.raises(OutputError, match=r"got files without samples\.json"):
        sample_folder(generator, options, tmp_path / "a", resume=True)
    (tmp_path / "a" / "samples.json").write_text("[]")
    with pytest.raises(OutputError, match="got a damaged or foreign file"):
        sample_folder(generator, options, tmp_path / "a", resume=True)
    assert sample_folder(generator, options, tmp_path / "a", overwrite=True).complete
    with pytest.raises(OutputError, match="got another file"):
        sample_folder(generator, options, tmp_path / "a" / "x")


def test_two_channels_are_no_picture(tmp_path: Path) -> None:
    generator = make_generator("pixelcnn", channels=2)
    with pytest.raises(OptionError, match="sample: expected a tokenizer of 1, 3 or 4 channels"):
        sample_folder(generator, SampleOptions(1), tmp_path / "a")
