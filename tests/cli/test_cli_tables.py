"""Arrays, tables and squares of pictures, as a user of the commands meets them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from vocabula.data import read_tokens
from vocabula.data.code_arrays import read_codes


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A folder of pictures of both orientations."""
    (tmp_path / "mixed").mkdir()
    random = np.random.default_rng(0)
    for i in range(6):
        size = (16, 24, 3) if i % 2 else (24, 16, 3)
        pixels = random.integers(0, 256, size, np.uint8)
        Image.fromarray(pixels).save(tmp_path / "mixed" / f"{i}.png")
    return tmp_path / "mixed"


@pytest.mark.slow
def test_squares_of_mixed_pictures_train_a_prior_that_holds_out_whole_pictures(
    saved: Path, mixed: Path, vocabula: Callable[..., Any]
) -> None:
    run = saved / "run"
    small = ["prior.hidden=4", "prior.layers=2", "training.steps=2", "training.batch_size=4"]
    train = ["train-prior", run, "t.parquet", "--model", "pixelcnn", "--out", "prior", *small]
    words = ["encode", run, mixed, "-o", "t.parquet", "--crop", "12", "--crops", "3"]
    made = vocabula(*words, "--seed", "5", "--overwrite")
    assert made.code == 0 and "encoded 18 squares of 12 x 12 pixels: t.parquet" in made.out
    tokens = read_tokens("t.parquet")
    assert tokens.crops == 3 and {r.height for r in tokens} == {12}
    assert [r.path for r in tokens][:4] == ["0#0.png", "0#1.png", "0#2.png", "1#0.png"]
    assert vocabula(*train, "held_out.share=0.3").code == 0
    again = vocabula("encode", run, mixed, "-o", "u.parquet", *words[5:], "--seed", "5")
    assert again.code == 0
    first, second = (read_codes(read_tokens(p)) for p in ("t.parquet", "u.parquet"))
    assert first.digest() == second.digest()
    assert vocabula("decode", run, "t.parquet", "-o", "decoded").code == 0
    assert len(list(Path("decoded").iterdir())) == 18


def test_resizing_gives_one_grid(saved: Path, mixed: Path, vocabula: Callable[..., Any]) -> None:
    ended = vocabula("encode", saved / "run", mixed, "-o", "t.parquet", "--resize", 8)
    assert ended.code == 0 and "encoded 6 squares of 8 x 8 pixels" in ended.out
    assert read_codes(read_tokens("t.parquet")).grids == ((2, 2),)
    ended = vocabula(
        "encode", saved / "run", mixed, "-o", "u.parquet", "--crop", 8, "--crops", 2, "--limit", 2
    )
    assert [r.path for r in read_tokens("u.parquet")] == [
        "0#0.png",
        "0#1.png",
        "1#0.png",
        "1#1.png",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--crops", "3"], "--crops: expected --crop PIXELS with it"),
        (["--resize", "8", "--crops", "3"], "--crops: expected --crop PIXELS with it"),
        (["--resize", "8", "--crop", "9"], "crop: expected at most resize=8, got 9"),
        (["--crop", "0"], "--crop"),
    ],
)
def test_squares_that_cannot_be(
    saved: Path, mixed: Path, vocabula: Callable[..., Any], words: list[str], message: str
) -> None:
    ended = vocabula("encode", saved / "run", mixed, "-o", "t.parquet", *words)
    assert ended.code == 2 and message in ended.err and not Path("t.parquet").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["t.npz", "t.csv", "t.TXT", "t.json", "t.vcb", "t.png"])
def test_names_of_other_formats_are_refused_before_the_work(
    saved: Path, mixed: Path, vocabula: Callable[..., Any], name: str
) -> None:
    ended = vocabula("encode", saved / "run", mixed, "-o", name)
    assert ended.code == 2 and "expected a name that ends in .parquet" in ended.err
    assert "take t.parquet" in ended.err
    for name in ("tokens", "tokens.2026"):
        assert vocabula("encode", saved / "run", mixed, "-o", name).code == 0
        assert len(read_tokens(name)) == 6


def test_one_picture_as_an_array_is_refused_with_the_fix(
    saved: Path, vocabula: Callable[..., Any]
) -> None:
    pixels = np.zeros((48, 64, 3), np.uint8)
    np.save("x.npy", pixels)
    ended = vocabula("encode", saved / "run", "x.npy", "-o", "t.parquet")
    assert ended.code == 2 and "one image of 64x48 pixels" in ended.err and "x[None]" in ended.err
    np.save("x.npy", pixels[None])
    assert "encoded 1 image" in vocabula("encode", saved / "run", "x.npy", "-o", "t.parquet").out


def test_labels_as_text_end_in_tokens_and_class_names(
    saved: Path, mixed: Path, vocabula: Callable[..., Any]
) -> None:
    pictures = [file.read_bytes() for file in sorted(mixed.iterdir())]
    words = ["dog", "cat", "dog", None, "ant", "cat"]
    pq.write_table(pa.table({"image": pictures, "label": words}), "x.parquet")
    run = saved / "run"
    ended = vocabula("encode", run, "x.parquet", "-o", "t.parquet", "--resize", 8)
    assert ended.code == 0 and ended.err == ""
    tokens = read_tokens("t.parquet")
    assert [r.label for r in tokens] == [2, 1, 2, None, 0, 1]
    assert tokens.label_names == ["ant", "cat", "dog"]
    small = ["prior.hidden=4", "prior.layers=2", "training.steps=2", "training.batch_size=4"]
    train = ["train-prior", run, "t.parquet", "--model", "pixelcnn", "--out", "prior", *small]
    assert vocabula(*train).code == 0
    drawn = vocabula("sample", "prior", "-n", 1, "--class", "dog", "-o", "dog.png", "--seed", 0)
    assert drawn.code == 0, drawn.err
    halves = pa.table({"image": pictures, "label": [0.5] * 6})
    pq.write_table(halves, "y.parquet")
    ended = vocabula("encode", run, "y.parquet", "-o", "u.parquet")
    assert ended.code == 0 and "labels are left out" in ended.err


def test_tables_that_lost_their_metadata(
    saved: Path, mixed: Path, vocabula: Callable[..., Any]
) -> None:
    run = saved / "run"
    assert vocabula("encode", run, mixed, "-o", "t.parquet").code == 0
    bare = pq.read_table("t.parquet").replace_schema_metadata(None)
    pq.write_table(bare, "bare.parquet")
    for words in (
        ["decode", run, "bare.parquet", "-o", "decoded"],
        ["train-prior", run, "bare.parquet", "--model", "pixelcnn", "--out", "prior"],
    ):
        ended = vocabula(*words)
        assert ended.code == 2 and "table.replace_schema_metadata" in ended.err
        assert len(ended.err.strip().splitlines()) == 1
