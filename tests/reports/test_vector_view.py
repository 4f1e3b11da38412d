"""What a page shows of vectors: error by book, nearest vectors, errors of single vectors."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vocabula.data import VectorSource
from vocabula.evaluation import evaluate
from vocabula.reports import build_report
from vocabula.reports.compare import compare_tokenizers
from vocabula.reports.comparison_page import build_comparison
from vocabula.reports.views.vector_figures import error_by_prefix, nearest_vectors
from vocabula.tokenizers import Tokenizer, build_tokenizer

ROWS = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
BOOK = {"name": "vector", "dim": 4, "codebook_size": 8}


def _tokenizer(quantizer: dict[str, Any]) -> Tokenizer:
    torch.manual_seed(0)
    parts = {"encoder": "identity", "decoder": "identity", "likelihood": "normal"}
    specs = {**parts, "signal": "vector", "quantizer": quantizer}
    tokenizer = build_tokenizer(specs, 4)
    assert isinstance(tokenizer, Tokenizer)
    with torch.no_grad():
        tokenizer.train()(torch.from_numpy(ROWS))
    return tokenizer.eval()


@pytest.fixture(scope="module")
def residual() -> Tokenizer:
    return _tokenizer({"name": "residual", "stages": [BOOK] * 3})


def test_error_by_prefix_is_that_of_the_first_stages(residual: Tokenizer) -> None:
    x = torch.from_numpy(ROWS)
    errors = error_by_prefix(residual, x)
    rest, variance = x.double(), float(x.double().var(0, correction=0).mean())
    for stage, error in zip(residual.quantizer.stages, errors, strict=True):
        rest = rest - stage.decode(stage.encode(rest.float())).double()
        assert error == pytest.approx(float(rest.square().mean()) / variance, rel=1e-4)
    assert errors == sorted(errors, reverse=True)
    one = _tokenizer(BOOK)
    assert error_by_prefix(one, x) == pytest.approx(
        [evaluate(one, VectorSource(ROWS)).mse_over_variance], rel=1e-4
    )


def test_the_nearest_vectors_are_the_nearest(residual: Tokenizer) -> None:
    result = evaluate(residual, VectorSource(ROWS))
    names = [f"v{i}" for i in range(len(ROWS))]
    rows = nearest_vectors(residual, result, torch.from_numpy(ROWS), names)["nearest"]
    assert len(rows) == 8 and sum(float(row["share"].rstrip("%")) for row in rows) > 99
    words = residual.quantizer.stages[0].decode(torch.arange(8)).numpy()
    for row in rows:
        distances = np.linalg.norm(ROWS - words[row["code"]], axis=1)
        first = re.match(r"v(\d+) \((.*?)\)", row["vectors"])
        assert first is not None and int(first[1]) == int(distances.argmin())
        assert float(first[2]) == pytest.approx(distances.min(), rel=1e-2)


def test_a_page_of_vectors(residual: Tokenizer, tmp_path: Path) -> None:
    source = VectorSource(ROWS, keys=[f"state {i}" for i in range(300)], name="states")
    build_report(residual, source, tmp_path / "page.html", examples=5)
    text = (tmp_path / "page.html").read_text()
    for words in (
        "Error by book",
        "nearest to codewords",
        "explained variance",
        "state 4",
        "cosine",
    ):
        assert words in text
    assert "PSNR" not in text and "pixel" not in text.split("</style>")[1].split("<script")[0]


def test_two_tokenizers_of_vectors_side_by_side(residual: Tokenizer, tmp_path: Path) -> None:
    tokenizers = {"three books": residual, "one book": _tokenizer(BOOK)}
    source = VectorSource(ROWS)
    found = compare_tokenizers(tokenizers, source)
    assert found[0].columns()[2:5] == ("code bits/vector", "explained variance", "MSE / variance")
    assert [one.cells()[2] for one in found] == ["9.000", "3.000"]
    build_comparison(tokenizers, found, source, tmp_path / "page.html")
    assert "explained variance of one book" in (tmp_path / "page.html").read_text()
