"""``vocabula compress``, ``decompress`` and ``inspect`` on vectors from the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from vocabula import load
from vocabula.tokenizers import build_tokenizer

Vocabula = Callable[..., Any]
WIDTH = 5


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved tokenizer of vectors with three residual books."""
    torch.manual_seed(0)
    book = {"name": "vector", "dim": WIDTH, "codebook_size": 8}
    quantizer = {"name": "residual", "stages": [book] * 3}
    specs = {"encoder": "identity", "decoder": "identity", "quantizer": quantizer}
    tokenizer = build_tokenizer({**specs, "likelihood": "normal", "signal": "vector"}, WIDTH)
    with torch.no_grad():
        tokenizer.train()(torch.randn(64, WIDTH))
    folder = tmp_path_factory.mktemp("saved") / "run"
    tokenizer.eval().save_pretrained(folder)
    return folder


def rows(count: int = 1000) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, WIDTH)).astype(np.float32)


@pytest.fixture(autouse=True)
def states() -> np.ndarray:
    """The content of ``states.npy``."""
    np.save("states.npy", rows())
    return rows()


def test_there_and_back(vocabula: Vocabula, run: Path, states: np.ndarray) -> None:
    done = vocabula("compress", run, "states.npy")
    assert done.code == 0, done.err
    size = Path("states.vcb").stat().st_size
    wanted = load(run).reconstruct(torch.from_numpy(states)).numpy()
    ratio = np.square(wanted - states).mean() / states.var(axis=0).mean()
    assert "wrote states.vcb: 1000 vectors, 20,128 ->" in done.out
    assert f"{8 * size / 1000:.4g} bits per vector, MSE / variance {ratio:.4g}" in done.out
    assert f"vocabula decompress {run} states.vcb -o decoded.npy" in done.out
    shown = vocabula("inspect", "states.vcb")
    assert "1000 vectors of 5 channels\n" in shown.out and "per vector" in shown.out
    blocked = vocabula("decompress", run, "states.vcb")
    assert blocked.code == 2 and "states.npy: expected a new output" in blocked.err
    back = vocabula("decompress", run, "states.vcb", "-o", "decoded")
    assert back.code == 0, back.err
    assert "wrote 1 file" in back.out
    found = np.load("decoded/states.npy")
    assert found.dtype == np.float32 and np.array_equal(found, wanted)
    assert vocabula("decompress", run, "states.vcb", "-o", "y.parquet").code == 0
    table = pq.read_table("y.parquet")
    assert table.column_names == ["vectors"]
    assert np.array_equal(np.array(table["vectors"].to_pylist(), np.float32), wanted)


def test_keys_are_kept_and_broken_rows_left_out_with_theirs(
    vocabula: Vocabula, run: Path, states: np.ndarray
) -> None:
    states[[3, 700]] = [[np.nan], [np.inf]]
    vectors = pa.array(states.tolist(), pa.list_(pa.float32()))
    pq.write_table(pa.table({"x": vectors, "key": [f"k{i}" for i in range(1000)]}), "in.parquet")
    done = vocabula("compress", run, "in.parquet")
    assert done.code == 0 and "left out 2 rows with NaN or infinity: 3, 700" in done.err
    assert "998 vectors" in done.out
    assert vocabula("decompress", run, "in.vcb", "-o", "out.parquet").code == 0
    table = pq.read_table("out.parquet")
    assert table["key"].to_pylist() == [f"k{i}" for i in range(1000) if i not in (3, 700)]
    whole = np.delete(states, (3, 700), axis=0)
    wanted = load(run).reconstruct(torch.from_numpy(whole)).numpy()
    assert np.array_equal(np.array(table["vectors"].to_pylist(), np.float32), wanted)
    strict = vocabula("compress", run, "in.parquet", "-o", "strict.vcb", "--strict")
    assert strict.code == 2 and "in.parquet[3]" in strict.err
    assert not Path("strict.vcb").exists()


def test_stages_and_rates(vocabula: Vocabula, run: Path) -> None:
    sizes = []
    for stages in (1, 2, 3):
        name = f"{stages}.vcb"
        assert vocabula("compress", run, "states.npy", "-o", name, "--stages", stages).code == 0
        sizes.append(Path(name).stat().st_size)
    rate = 8 * sizes[1] / 1000
    done = vocabula("compress", run, "states.npy", "-o", "r.vcb", "--target-bpp", rate)
    assert done.code == 0 and Path("r.vcb").read_bytes() == Path("2.vcb").read_bytes()
    for words in ("r.vcb", "2.vcb"):
        vocabula("decompress", run, words, "-o", f"{words}.npy")
    vocabula("decompress", run, "3.vcb", "-o", "cut.npy", "--stages", 2)
    assert np.array_equal(np.load("cut.npy"), np.load("2.vcb.npy"))
    low = vocabula("compress", run, "states.npy", "-o", "low.vcb", "--target-bpp", 0.5)
    assert low.code == 2 and "bits per vector" in low.err and not Path("low.vcb").exists()


def test_several_files_go_beside_or_to_a_folder(vocabula: Vocabula, run: Path) -> None:
    np.save("more.npy", rows(7))
    done = vocabula("compress", run, "states.npy", "more.npy", "-o", "small")
    assert done.code == 0, done.err
    assert "small/more.vcb" in done.out and "wrote 2 files: 1007 vectors" in done.out
    one = vocabula("compress", run, "states.npy", "more.npy", "-o", "all.vcb")
    assert one.code == 2 and "expected one input for the name of a file, got 2" in one.err
    back = vocabula("decompress", run, "small", "-o", "back")
    assert back.code == 0 and "wrote 2 files" in back.out
    assert np.load("back/more.npy").shape == (7, WIDTH)


def test_rows_outside_memory_are_written_piece_by_piece(vocabula: Vocabula, run: Path) -> None:
    np.save("many.npy", rows(400_000))
    assert vocabula("compress", run, "many.npy").code == 0
    assert vocabula("decompress", run, "many.vcb", "-o", "y.npy").code == 0
    wanted = load(run).reconstruct(torch.from_numpy(rows(400_000))).numpy()
    assert np.array_equal(np.load("y.npy"), wanted)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (np.zeros(4, np.float32), "expected vectors (N, D), got shape (4,)"),
        (np.zeros((2, 3, 4), np.float32), "expected vectors (N, D), got shape (2, 3, 4)"),
        (np.zeros((0, WIDTH), np.float32), "got none"),
        (np.zeros((3, WIDTH), np.int64), "got int64"),
        (np.zeros((3, WIDTH + 1), np.float32), f"width {WIDTH}, got {WIDTH + 1}"),
        (np.full((3, WIDTH), np.nan, np.float32), "NaN or infinity in every row"),
    ],
)
def test_bad_arrays_are_refused(
    vocabula: Vocabula, run: Path, content: np.ndarray, words: str
) -> None:
    np.save("bad.npy", content)
    done = vocabula("compress", run, "bad.npy")
    assert done.code == 2 and words in done.err and done.err.count("\n") == 1
    assert not Path("bad.vcb").exists()


def test_other_kinds_are_refused_by_name(
    vocabula: Vocabula, run: Path, saved: Path, pictures: Path
) -> None:
    picture = pictures / "0.png"
    for model, given, words in (
        (run, picture, ("vectors", "an image")),
        (run, pictures, ("vectors", "folder")),
        (saved / "run", "states.npy", ("images", "vectors")),
    ):
        done = vocabula("compress", model, given, "-o", "x.vcb")
        assert done.code == 2 and done.err.count("\n") == 1
        assert all(word in done.err for word in words), done.err
        assert not Path("x.vcb").exists()
    assert vocabula("compress", run, "states.npy").code == 0
    assert vocabula("compress", saved / "run", picture, "-o", "p.vcb").code == 0
    assert vocabula("blocks", picture, "-o", "b.vcb").code == 0
    for model, given, words in (
        (run, "p.vcb", ("kind vector", "kind image")),
        (run, "b.vcb", ("kind vector", "kind image")),
        (saved / "run", "states.vcb", ("kind image", "kind vector")),
    ):
        done = vocabula("decompress", model, given, "-o", "y")
        assert done.code == 2 and done.err.count("\n") == 1
        assert all(word in done.err for word in words), done.err
        assert not Path("y").exists()
    exact = vocabula("compress", run, "states.npy", "-o", "e.vcb", "--lossless")
    assert exact.code == 2 and "expected images, got a tokenizer of vectors" in exact.err
    odd = vocabula("decompress", run, "states.vcb", "-o", "y.csv")
    assert odd.code == 2 and ".npy or .parquet" in odd.err
    missing = vocabula("compress", run, "none.npy")
    assert missing.code == 2 and "expected a file of vectors, got nothing there" in missing.err
