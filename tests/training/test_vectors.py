"""Training on vectors: what they are scaled by, what is refused, and a run that goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import explained_variance_score
from sklearn.preprocessing import StandardScaler

from vocabula import load
from vocabula.data import DataWarning, VectorSource
from vocabula.errors import DataError, TrainingError
from vocabula.evaluation import evaluate
from vocabula.tokenizers import build_tokenizer
from vocabula.tokenizers.scaling import QuantileScaling
from vocabula.training import load_config, train
from vocabula.training.checks import fit_scaling

ROWS = np.random.default_rng(0).normal(3, 2, (400, 6)).astype(np.float32)
SMALL = [
    "training.steps=4",
    "training.batch_size=64",
    "quantizer.stages.*.codebook_size=8",
    "training.memory_check=false",
]


def _train(source: VectorSource, out: Path, *more: str, **options: Any) -> dict[str, Any]:
    return train(load_config("vectors", [*SMALL, *more]), source, out, progress=False, **options)


def test_values_are_scaled_by_the_training_data_and_the_model_keeps_it(tmp_path: Path) -> None:
    source = VectorSource(ROWS, name="rows")
    result = _train(source, tmp_path / "run")
    assert "psnr" not in result and result["vectors_per_second"] > 0
    tokenizer = load(tmp_path / "run")
    known = StandardScaler().fit(ROWS.astype(np.float64))
    assert tokenizer.scaling is not None
    np.testing.assert_allclose(tokenizer.scaling.shift, known.mean_, rtol=1e-5)
    np.testing.assert_allclose(tokenizer.scaling.scale, known.scale_, rtol=1e-5)
    figures = evaluate(tokenizer, source)
    x, output = torch.from_numpy(ROWS), tokenizer.reconstruct(torch.from_numpy(ROWS))
    assert figures.mse == pytest.approx(float((x - output).square().mean()), rel=1e-5)
    expected = explained_variance_score(x, output, multioutput="variance_weighted")
    assert figures.explained_variance == pytest.approx(expected, rel=1e-5)
    cosine = torch.nn.functional.cosine_similarity(x, output, dim=1).mean()
    assert figures.cosine == pytest.approx(float(cosine), rel=1e-5)
    assert figures.code_bits_per_vector == 4 * 3 and figures.bits_per_dim is None
    assert figures.mse_over_variance == pytest.approx(figures.mse / ROWS.var(0).mean(), rel=1e-4)


def test_a_run_that_goes_on_ends_with_the_same_weights(tmp_path: Path) -> None:
    source = VectorSource(ROWS, name="rows")
    every = "training.checkpoint_every=2"
    _train(source, tmp_path / "whole", every)
    _train(source, tmp_path / "cut", every, "training.steps=2")
    _train(source, tmp_path / "cut", every, resume=True)
    weights = [(tmp_path / n / "model.safetensors").read_bytes() for n in ("whole", "cut")]
    assert weights[0] == weights[1]


def test_constant_channels_keep_their_scale(tmp_path: Path) -> None:
    rows = ROWS.copy()
    rows[:, 2] = 7.0
    for scaling in ("standard", "quantile"):
        _train(VectorSource(rows), tmp_path / scaling, f"scaling={scaling}")
        tokenizer = load(tmp_path / scaling)
        assert tokenizer.scaling is not None
        assert float(tokenizer.scaling.scale[2]) == 1.0
        assert float(tokenizer.scaling.shift[2]) == 7.0
        assert torch.isfinite(tokenizer.reconstruct(torch.from_numpy(rows))).all()


def test_quantiles_become_one() -> None:
    scaling = QuantileScaling(2, tail=0.1)
    x = torch.stack([torch.linspace(0, 10, 101), torch.linspace(-50, 50, 101)], 1)
    scaling.fit([x[:40], x[40:]])
    assert scaling.shift.tolist() == pytest.approx([5.0, 0.0], abs=1e-5)  # by hand
    assert scaling.scale.tolist() == pytest.approx([4.0, 40.0], rel=1e-5)
    assert torch.allclose(scaling.inverse(scaling(x)), x, atol=1e-5)


def test_without_scaling_values_are_as_they_are(tmp_path: Path) -> None:
    _train(VectorSource(ROWS), tmp_path, "scaling=none")
    tokenizer = load(tmp_path)
    x = torch.from_numpy(ROWS)
    assert torch.equal(tokenizer.encode(x), tokenizer.quantizer.encode(x))


@pytest.mark.parametrize(
    ("rows", "more", "reason"),
    [
        (ROWS[:5], [], "at least 8 vectors, one for each codeword, got 5"),
        (np.ones((50, 6), np.float32), [], "expected different vectors, got 50 equal ones"),
        (
            np.concatenate([ROWS[:20], np.zeros((1, 6), np.float32)]),
            ["scaling=none", "quantizer.stages.*.distance=cosine"],
            r"\[20\]: expected a direction for distance=cosine, got a zero vector",
        ),
        (np.full((50, 6), np.nan, np.float32), [], "in every row"),
    ],
)
def test_what_no_codebook_can_learn_from(
    rows: np.ndarray, more: list[str], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=reason):
        _train(VectorSource(rows), tmp_path / "run", *more)
    assert not (tmp_path / "run").exists() or not list((tmp_path / "run").glob("[!.]*"))


def test_a_run_that_comes_to_nothing_leaves_nothing(tmp_path: Path) -> None:
    far = np.full((50, 6), 1e30, np.float32) * np.linspace(1, 2, 50, dtype=np.float32)[:, None]
    (tmp_path / "there").mkdir()
    for name in ("new", "there"):
        with pytest.raises(TrainingError, match=r"step 1: .*nothing of the run is kept"):
            _train(VectorSource(far), tmp_path / name, "scaling=none")
    assert list(tmp_path.rglob("*")) == [tmp_path / "there"]


class _Counting(VectorSource):
    rows_read = 0

    def gather(self, indices: Any) -> np.ndarray:
        found = super().gather(indices)
        self.rows_read += len(found)
        return found


def test_vectors_are_read_once_before_the_first_step() -> None:
    rows = ROWS.copy()
    rows[7, 2] = np.nan
    source = _Counting(rows)
    tokenizer = build_tokenizer(load_config("vectors", SMALL).sections, channels=6)
    with pytest.warns(DataWarning, match="left out 1 row with NaN or infinity: 7"):
        fit_scaling(tokenizer, source)
    finite = source.finite_rows()
    assert finite is not None and finite.tolist() == [i for i in range(400) if i != 7]
    assert source.rows_read == 400
    assert tokenizer.scaling is not None
    known = StandardScaler().fit(np.delete(rows, 7, 0).astype(np.float64))
    np.testing.assert_allclose(tokenizer.scaling.shift, known.mean_, rtol=1e-5)
