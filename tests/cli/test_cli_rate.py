"""``vocabula rate`` from the command line."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Vocabula = Callable[..., Any]


@pytest.mark.slow
def test_writes_figures_rows_and_a_plot(vocabula: Vocabula, saved: Path, pictures: Path) -> None:
    done = vocabula("rate", saved / "run", pictures, "-o", "rates", "--limit", 2, "--jobs", 1)
    assert done.code == 0, done.err
    assert "vocabula at equal bytes" in done.out and "WebP of this size" in done.out
    assert sorted(p.name for p in Path().iterdir()) == ["pictures", "rates"]
    assert sorted(p.name for p in Path("rates").iterdir()) == ["rate.csv", "rate.json", "rate.png"]
    found = json.loads(Path("rates/rate.json").read_text())
    assert found["images"] == 2 and found["entropy"] == "adaptive"
    assert found["verdict"] in done.out
    (point,) = found["points"]
    size = sum(_size(vocabula, saved, pictures / f"{i}.png") for i in range(2))
    assert point["bytes"] == size
    assert point["bits_per_pixel"] == pytest.approx(8 * size / (2 * 16 * 12))
    assert point["psnr_db"] >= point["psnr_db_all_pixels"]
    with open("rates/rate.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["codec"] for row in rows} == {"vocabula", "JPEG", "WebP", "AVIF", "JPEG XL"}
    assert rows[0]["bytes"] == str(size)


def _size(vocabula: Vocabula, saved: Path, picture: Path) -> int:
    assert vocabula("compress", saved / "run", picture, "-o", "x.vcb", "--overwrite").code == 0
    return Path("x.vcb").stat().st_size


def test_the_default_place_is_the_run(
    vocabula: Vocabula, saved: Path, pictures: Path, tmp_path: Path
) -> None:
    import shutil

    run = shutil.copytree(saved / "run", tmp_path / "run")
    assert vocabula("rate", run, pictures, "--limit", 1).code == 0
    assert (run / "rate/rate.json").is_file()
    again = vocabula("rate", run, pictures, "--limit", 1)
    assert again.code == 2 and "--overwrite" in again.err
    assert vocabula("rate", run, pictures, "--limit", 1, "--overwrite").code == 0
    assert not list(run.glob(".*.part"))


@pytest.mark.slow
def test_mistakes_end_in_one_line(vocabula: Vocabula, saved: Path, pictures: Path) -> None:
    Path("empty").mkdir()
    Path("file").write_text("")
    np.save("two.npy", np.zeros((3, 16, 16, 2), np.uint8))
    cases = (
        ((saved / "vae", pictures), "continuous"),
        ((saved / "run", "empty"), "empty"),
        ((saved / "run", "nowhere"), "nowhere"),
        ((saved / "run", pictures, "--limit", 0), "limit"),
        ((saved / "run", pictures, "--entropy", "best"), "entropy"),
        ((saved / "run", pictures, "--entropy", "static"), "vocabula counts"),
        ((saved / "run", "two.npy"), "channel"),
        ((saved / "run", pictures, "-o", "file", "--overwrite"), "file"),
        ((saved / "run", pictures, "--device", "abacus"), "device"),
    )
    for words, named in cases:
        done = vocabula("rate", *words, *(() if "-o" in words else ("-o", "rates")))
        assert done.code == 2, (words, done.out)
        assert done.err.count("\n") == 1 and named in done.err, done.err
    assert not Path("rates").exists() and not list(Path().glob(".*"))


@pytest.mark.slow
def test_a_failure_on_the_way_leaves_nothing(
    vocabula: Vocabula, saved: Path, pictures: Path
) -> None:
    whole = Image.fromarray(np.zeros((128, 128, 3), np.uint8))
    whole.save(pictures / "9.jpg", quality=100)
    content = (pictures / "9.jpg").read_bytes()
    (pictures / "9.jpg").write_bytes(content[:-200])  # its header is sound
    done = vocabula("rate", saved / "run", pictures, "-o", "rates", "--strict", "--batch-size", 1)
    assert done.code == 2 and "9.jpg" in done.err
    assert [p.name for p in Path().iterdir()] == ["pictures"]
    skipped = vocabula("rate", saved / "run", pictures, "-o", "rates")
    assert skipped.code == 0 and "9.jpg" in skipped.err
    found = json.loads(Path("rates/rate.json").read_text())
    assert (found["images"], found["skipped"]) == (4, 1)
