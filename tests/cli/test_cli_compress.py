"""``vocabula compress``, ``decompress``, ``inspect`` and ``counts`` from the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Vocabula = Callable[..., Any]


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Two small colour pictures."""
    paths = [tmp_path / f"{name}.png" for name in ("one", "two")]
    for seed, path in enumerate(paths):
        pixels = np.random.default_rng(seed).integers(0, 256, (16, 12, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    return paths


def test_there_and_back(vocabula: Vocabula, saved: Path, pictures: list[Path]) -> None:
    done = vocabula("compress", saved / "run", *pictures, "-o", "small", "--jobs", 2)
    assert done.code == 0, done.err
    assert "small/one.vcb" in done.out and "bits per pixel" in done.out
    shown = vocabula("inspect", "small/one.vcb")
    assert shown.code == 0
    for words in ("12 x 16", "adaptive", "stage 1", "1 image of 3 channels"):
        assert words in shown.out
    back = vocabula("decompress", saved / "run", "small/one.vcb", "small/two.vcb", "-o", "back")
    assert back.code == 0, back.err
    with Image.open("back/two.png") as picture:
        assert picture.size == (12, 16)


def test_outputs_that_exist_are_kept(vocabula: Vocabula, saved: Path, pictures: list[Path]) -> None:
    assert vocabula("compress", saved / "run", pictures[0]).code == 0
    again = vocabula("compress", saved / "run", *pictures)
    assert again.code == 2
    assert again.err.count("\n") == 1 and "--overwrite" in again.err
    assert not Path("two.vcb").exists()
    assert vocabula("compress", saved / "run", *pictures, "--overwrite").code == 0
    blocked = vocabula("decompress", saved / "run", "one.vcb")
    assert blocked.code == 2 and "one.png" in blocked.err


def test_what_is_needed_is_named(vocabula: Vocabula, saved: Path, pictures: list[Path]) -> None:
    vocabula("compress", saved / "run", pictures[0], "-o", "a.vcb")
    other = vocabula("decompress", saved / "other", "a.vcb", "-o", "x.png")
    assert other.code == 2 and "fingerprint" in other.err
    needed = next(
        line.split()[-1]
        for line in vocabula("info", saved / "run").out.splitlines()
        if line.startswith("fingerprint")
    )
    assert needed in other.err
    static = vocabula("compress", saved / "run", pictures[0], "--entropy", "static", "-o", "b.vcb")
    assert static.code == 2 and "vocabula counts" in static.err
    assert not Path("x.png").exists() and not Path("b.vcb").exists()


@pytest.mark.parametrize("content", [b"", b"no such thing", b"\x89VCB"])
def test_foreign_files_end_in_one_line(
    vocabula: Vocabula, saved: Path, tmp_path: Path, content: bytes
) -> None:
    Path("bad.vcb").write_bytes(content)
    for words in (("inspect", "bad.vcb"), ("decompress", saved / "run", "bad.vcb")):
        done = vocabula(*words)
        assert done.code == 2
        assert done.err.startswith("error: bad.vcb: expected") and done.err.count("\n") == 1


def test_folders_and_missing_files_end_in_one_line(
    vocabula: Vocabula, saved: Path, pictures: list[Path]
) -> None:
    for bad in (".", "none.png"):
        done = vocabula("compress", saved / "run", pictures[0], bad)
        assert done.code == 2 and done.err.count("\n") == 1
    assert not list(Path().glob("*.vcb"))
    done = vocabula("decompress", saved / "run", ".")
    assert done.code == 2 and "folder" in done.err


def test_counts_serve_the_static_model(
    vocabula: Vocabula, saved: Path, pictures: list[Path], tmp_path: Path
) -> None:
    import shutil

    run = shutil.copytree(saved / "run", tmp_path / "run")
    assert vocabula("counts", run, tmp_path / "one.png").code == 0
    assert vocabula("counts", run, tmp_path / "one.png").code == 2
    done = vocabula("compress", run, *pictures, "--entropy", "static", "-o", "both.vcb")
    assert done.code == 0, done.err
    assert vocabula("decompress", run, "both.vcb").code == 0
    assert sorted(p.name for p in Path("both").iterdir()) == ["one.png", "two.png"]
    lost = vocabula("decompress", saved / "run", "both.vcb", "-o", "x")
    assert lost.code == 2 and "entropy.safetensors" in lost.err
