"""Figures over a data set, against figures computed directly from the pixels."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from vocabula.data import ArraySource, open_source
from vocabula.data import source as source_module
from vocabula.errors import DataError, OptionError
from vocabula.evaluation import Evaluation, evaluate
from vocabula.evaluation.batches import read_batches
from vocabula.tokenizers import Tokenizer

Make = Callable[..., Tokenizer]


def _images(count: int, height: int, width: int, channels: int = 3) -> np.ndarray:
    generator = np.random.default_rng(1)
    return generator.integers(0, 256, (count, height, width, channels), dtype=np.uint8)


def test_fidelity_by_hand(make_tokenizer: Make) -> None:
    tokenizer = make_tokenizer()
    images = _images(4, 12, 16)
    result = evaluate(tokenizer, ArraySource(images), batch_size=3)
    x = images.transpose(0, 3, 1, 2).astype(np.float64) / 255
    output = tokenizer.reconstruct(torch.from_numpy(x).float()).double().numpy()
    errors = ((output - x) ** 2).mean(axis=(1, 2, 3))
    assert result.images == 4
    assert result.mse == pytest.approx(errors.mean(), rel=1e-5)
    assert result.mse_over_variance == pytest.approx(errors.mean() / x.var(), rel=1e-5)
    assert result.psnr == pytest.approx(np.mean(-10 * np.log10(errors)), rel=1e-5)
    assert result.psnr_all_pixels == pytest.approx(-10 * np.log10(errors.mean()), rel=1e-5)
    assert result.psnr_all_pixels <= result.psnr


def test_bits_of_codes_count_padding(make_tokenizer: Make) -> None:
    """9 x 13 pixels at stride 4 are 3 x 4 codes of log2 16 = 4 bits: 48 bits on 117 pixels."""
    result = evaluate(make_tokenizer(), ArraySource(_images(2, 9, 13)))
    assert result.code_bits_per_pixel == pytest.approx(48 / 117)
    assert result.bits_per_dim_latent == pytest.approx(48 / (3 * 117))
    total = result.bits_per_dim_latent + result.bits_per_dim_likelihood
    assert result.bits_per_dim == pytest.approx(total)
    assert result.bits_per_dim_likelihood > 0


def test_bits_of_several_books_add_up(make_tokenizer: Make) -> None:
    """One code position of 4 x 4 pixels costs log2 16 + log2 8 = 7 bits."""
    result = evaluate(make_tokenizer("residual"), ArraySource(_images(3, 16, 16)))
    assert result.code_bits_per_pixel == pytest.approx(7 / 16)
    assert [b.size for b in result.books] == [16, 8]


def test_use_of_the_codebook_is_over_all_images(make_tokenizer: Make) -> None:
    tokenizer = make_tokenizer()
    images = _images(6, 8, 8)
    result = evaluate(tokenizer, ArraySource(images), batch_size=2)
    codes = tokenizer.encode(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
    counts = np.bincount(codes.flatten().numpy(), minlength=16)
    p = counts[counts > 0] / counts.sum()
    assert result.usage == (counts > 0).sum() / 16
    assert result.perplexity == pytest.approx(math.exp(-(p * np.log(p)).sum()))
    assert result.books[0].largest_share == pytest.approx(p.max())


def test_batches_do_not_change_the_figures(make_tokenizer: Make, pictures: Path) -> None:
    tokenizer = make_tokenizer()
    with pytest.warns(UserWarning, match=r"broken\.png"):
        source = open_source(pictures)
    alone = evaluate(tokenizer, source, batch_size=1).to_dict()
    together = evaluate(tokenizer, source, batch_size=64).to_dict()
    assert alone["books"] == together["books"]
    numbers = [k for k, v in alone.items() if isinstance(v, (int, float)) and k != "seconds"]
    assert [alone[k] for k in numbers] == pytest.approx([together[k] for k in numbers], rel=1e-4)
    assert alone["images"] == 5
    assert alone["ssim_window"] == 9  # the smallest side is 9 pixels


def test_large_images_go_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_module, "BATCH_PIXELS", 200)
    sizes = [len(b.paths) for b in read_batches(ArraySource(_images(7, 8, 8)))]
    assert sizes == [3, 3, 1]
    sizes = [len(b.paths) for b in read_batches(ArraySource(_images(2, 20, 20)))]
    assert sizes == [1, 1]


def test_limit_takes_the_first_images(make_tokenizer: Make) -> None:
    tokenizer, images = make_tokenizer(), _images(5, 8, 8)
    limited = evaluate(tokenizer, ArraySource(images), limit=2)
    first = evaluate(tokenizer, ArraySource(images[:2]))
    assert (limited.images, limited.mse) == (2, first.mse)


def test_evaluation_changes_no_state(make_tokenizer: Make) -> None:
    tokenizer = make_tokenizer().train()
    before = {k: v.clone() for k, v in tokenizer.state_dict().items()}
    evaluate(tokenizer, ArraySource(_images(2, 8, 8)))
    assert tokenizer.training
    for name, value in tokenizer.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_a_vae_has_latent_dimensions_and_no_codes(make_tokenizer: Make) -> None:
    tokenizer = make_tokenizer("vae")
    with torch.no_grad():  # posterior N(0, 1) everywhere: collapsed by construction
        tokenizer.quantizer.project.weight.zero_()
        tokenizer.quantizer.project.bias.zero_()
    collapsed = evaluate(tokenizer, ArraySource(_images(3, 8, 8)))
    assert collapsed.kl_per_dimension == pytest.approx([0.0] * 8)
    assert collapsed.active_units == 0
    assert collapsed.bits_per_dim_latent == pytest.approx(0.0, abs=1e-6)
    assert (collapsed.usage, collapsed.perplexity, collapsed.code_bits_per_pixel) == (None,) * 3
    with torch.no_grad():  # mean 2 everywhere: KL = 2^2 / 2 nats a dimension, still not active
        tokenizer.quantizer.project.bias[:8] = 2.0
    shifted = evaluate(tokenizer, ArraySource(_images(3, 8, 8)))
    assert shifted.kl_per_dimension == pytest.approx([2.0] * 8)
    assert shifted.active_units == 0
    # 2 x 2 positions x 8 dimensions x 2 nats over 3 x 8 x 8 values
    assert shifted.bits_per_dim_latent == pytest.approx(4 * 8 * 2 / math.log(2) / 192)


def test_constant_data_has_no_relative_error(make_tokenizer: Make) -> None:
    result = evaluate(make_tokenizer(), ArraySource(np.zeros((2, 8, 8, 3), np.uint8)))
    assert result.mse_over_variance is None
    assert any(row.value == "-" for row in result.rows())


@pytest.mark.parametrize("quantizer", ["vector", "vae", "residual", "lfq18"])
def test_figures_are_json_and_a_table(make_tokenizer: Make, quantizer: str) -> None:
    result = evaluate(make_tokenizer(quantizer), ArraySource(_images(2, 8, 8)))
    assert json.loads(json.dumps(result.to_dict(), allow_nan=False))["images"] == 2
    assert "histograms" not in result.to_dict()
    assert isinstance(result, Evaluation)
    assert result.table().row_count == len(result.rows())
    assert len({row.name for row in result.rows()}) == len(result.rows())


def test_wrong_input_is_named(make_tokenizer: Make) -> None:
    tokenizer, source = make_tokenizer(), ArraySource(_images(2, 8, 8))
    with pytest.raises(OptionError, match="limit: expected an integer >= 1"):
        evaluate(tokenizer, source, limit=0)
    with pytest.raises(OptionError, match="batch size"):
        evaluate(tokenizer, source, batch_size=0)
    with pytest.raises(OptionError, match="workers: expected an integer >= 0, got -1"):
        evaluate(tokenizer, source, workers=-1)
    with pytest.raises(DataError, match="channels"):
        evaluate(tokenizer, ArraySource(_images(2, 8, 8, channels=1)))
    assert not tokenizer.training
