"""A prior over the books of vectors from the command line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vocabula.data.token_file import read_tokens

SMALL = ("prior.hidden=16", "prior.layers=2", "training.batch_size=32", "training.steps=4")


def table(path: str, count: int = 300) -> None:
    """Vectors around three centres, with the centre as label and a key."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, count)
    centres = random.normal(size=(3, 6)) * 3
    values = (centres[labels] + random.normal(size=(count, 6))).astype(np.float32)
    vectors = pa.array(values.tolist(), pa.list_(pa.float32()))
    keys = [f"k{i}" for i in range(count)]
    pq.write_table(pa.table({"x": vectors, "key": keys, "label": labels}), path)


def test_train_look_draw_and_report(vocabula: Callable[..., Any], tmp_path: Path) -> None:
    table("in.parquet")
    books = [f"quantizer.stages.{i}.codebook_size=8" for i in range(4)]
    made = vocabula("train", "in.parquet", "--preset", "vectors", "--out", "run",
                    "training.steps=3", *books)  # fmt: skip
    assert made.code == 0, made.err
    assert vocabula("encode", "run", "in.parquet", "-o", "t.parquet").code == 0
    done = vocabula("train-prior", "run", "t.parquet", "-o", "prior", "--model", "pixelcnn", *SMALL)
    assert done.code == 0, done.err
    assert "codes:  4 books of 8\n" in done.err and "the book before" in done.out
    assert "vocabula sample prior -o samples.npy" in done.out
    metrics = json.loads((tmp_path / "prior/metrics.json").read_text())
    assert len(metrics["nats_by_book"]) == 4 and metrics["left"] < metrics["order0"]
    shown = re.sub(" +", " ", vocabula("info", "prior").out)
    assert "draws vectors of width 6\n" in shown
    assert "grid 1 position, codebooks of 8, 8, 8, 8\n" in shown

    drawn = vocabula("sample", "prior", "-n", 9, "--class", "all", "--seed", 1, "-o", "s.npy",
                     "--codes", "s.tokens.parquet")  # fmt: skip
    assert (drawn.code, drawn.out.splitlines()[0]) == (0, "drew 9 vectors with seed 1: s.npy")
    found = np.load("s.npy")
    assert found.shape == (9, 6)
    assert [record.label for record in read_tokens("s.tokens.parquet")] == [0, 1, 2] * 3
    assert vocabula("decode", "run", "s.tokens.parquet", "-o", "d.npy").code == 0
    assert np.array_equal(np.load("d.npy"), found)
    assert vocabula("sample", "prior", "-n", 2, "--class", 2, "-o", "s.parquet").code == 0
    assert pq.read_table("s.parquet")["key"].to_pylist() == ["00000-2", "00001-2"]

    for words, message in (
        (("sample", "prior", "-o", "x.npy", "--size", "3x3"), "size: expected none, as vectors"),
        (("sample", "prior", "-o", "x.png"), "ends in .npy or .parquet"),
        (("complete", "prior", "in.parquet", "--keep", "top:0.5", "-o", "x.png"),
         "expected a prior of images, or of signals of one axis, got one of vectors"),
    ):  # fmt: skip
        wrong = vocabula(*words)
        assert wrong.code == 2 and message in wrong.err and wrong.err.count("\n") == 1
    assert not list(Path().glob("x.*"))

    assert vocabula("report", "prior", "--samples", 6).code == 0
    page = Path("prior/report.html").read_text()
    assert "Samples beside the nearest training vectors" in page
    assert re.search(r"<td>k\d+ \(RMSE [\d.]+\)</td>", page)
    assert "<th>book</th>" in page and "given the book before" in page
    assert "images" not in re.sub("<(style|script).*?</(style|script)>", "", page, flags=re.DOTALL)
