"""Measuring, storing and taking apart codes of several levels."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from vocabula.data import ArraySource, TokenRecord, open_source, read_tokens, write_tokens
from vocabula.errors import CodeError, TokensError
from vocabula.evaluation import evaluate
from vocabula.evaluation.ablation import without_each_level
from vocabula.evaluation.histogram import CodeHistogram
from vocabula.evaluation.metrics.similarity import mse
from vocabula.nn import Decoder, Encoder
from vocabula.pipelines import decode_tokens, encode_dataset
from vocabula.quantizers import VectorQuantizer
from vocabula.reports.gallery import make_galleries
from vocabula.tokenizers import (
    HierarchicalTokenizer,
    Level,
    SignalTokenizer,
    build_tokenizer,
)
from vocabula.types import Quantized, Reconstruction

Make = Callable[..., SignalTokenizer]


def source(count: int = 6) -> ArraySource:
    generator = np.random.default_rng(0)
    small = generator.integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    return ArraySource(small.repeat(4, axis=1).repeat(4, axis=2))


def batch(images: ArraySource) -> torch.Tensor:
    read = [images.read(i).image.transpose(2, 0, 1) for i in range(len(images))]
    return torch.from_numpy(np.stack(read)).float() / 255


def test_figures_of_each_level_and_of_all(make_tokenizer: Make) -> None:
    tokenizer, images = make_tokenizer("levels"), source()
    result = evaluate(tokenizer, images, batch_size=4)
    # by hand: 4 + 3 bits for 8 x 8 pixels, 4 bits for 4 x 4
    assert [level.code_bits for level in result.levels] == [7 / 64, 4 / 16]
    assert result.code_bits_per_pixel == pytest.approx(7 / 64 + 4 / 16)
    assert result.bits_per_dim_latent == pytest.approx((7 / 64 + 4 / 16) / 3)
    names = ["level 1, book 1", "level 1, book 2", "level 2"]
    assert [book.name for book in result.books] == names
    codes = tokenizer.encode(batch(images))
    columns = [codes[0][..., 0], codes[0][..., 1], codes[1]]
    for book, column, size in zip(result.books, columns, (16, 8, 16), strict=True):
        counts = np.bincount(column.reshape(-1).numpy(), minlength=size)
        p = counts[counts > 0] / counts.sum()
        assert book.usage == pytest.approx((counts > 0).mean())
        assert book.perplexity == pytest.approx(np.exp(-(p * np.log(p)).sum()))
    usages = [book.usage for book in result.books]
    assert [level.usage for level in result.levels] == pytest.approx(
        [(usages[0] + usages[1]) / 2, usages[2]]
    )
    assert result.usage == pytest.approx(sum(usages) / 3)
    written = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert [level["name"] for level in written["levels"]] == ["level 1", "level 2"]
    rows = {row.name.strip(): row for row in result.rows()}
    assert {"level 1", "level 2", "level 1, book 2", "code bits/pixel"} <= set(rows)


def test_one_level_has_no_figures_beside_those_of_the_whole(make_tokenizer: Make) -> None:
    result = evaluate(make_tokenizer(), source())
    assert result.levels == [] and "levels" not in result.to_dict()
    assert "mean_values" not in result.to_dict()


def test_mean_values_are_those_of_all_positions(make_tokenizer: Make) -> None:
    tokenizer, images = make_tokenizer("levels"), source()
    result = evaluate(tokenizer, images, batch_size=4)
    found = tokenizer.analyse(batch(images))
    for mean, level in zip(result.mean_values, found.levels, strict=True):
        torch.testing.assert_close(mean, level.values.mean((0, 1, 2)), atol=1e-5, rtol=1e-5)


class Mean(Encoder):
    """The mean of each 2 x 2 pixels."""

    in_channels = dim = 1
    stride = 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(x, 2)


class Sum(Decoder):
    """The sum of all channels, for 2 x 2 pixels."""

    out_channels = 1
    stride = 2

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return repeated(z.sum(1, keepdim=True), 2)


def repeated(x: torch.Tensor, times: int) -> torch.Tensor:
    return x.repeat_interleave(times, -2).repeat_interleave(times, -1)


def test_ablation_takes_away_what_one_level_holds() -> None:
    """Decoders that add up: the picture is 1/2 + twice what level 1 says + what level 2 says.

    Twice, as level 1 reaches level 2 through its decoder and through the shortcut around it.
    """
    levels = [Level(Mean(), VectorQuantizer(1, 4), Sum(dim)) for dim in (1, 2)]
    tokenizer = HierarchicalTokenizer(levels).eval()
    coarse = torch.tensor([[-0.2, 0.1], [0.1, 0.2]]).reshape(1, 2, 2, 1)
    fine = torch.tensor([0.05, -0.05]).repeat(8).reshape(1, 4, 4, 1)
    zero, unseen = torch.zeros(()), torch.empty(1, 1, 8, 8)
    levels_found = tuple(Quantized(values, torch.empty(0), zero) for values in (coarse, fine))
    found = Reconstruction(unseen, levels_found, zero, {}, unseen)
    means = [torch.tensor([0.05]), torch.tensor([0.0])]
    held = [2 * repeated(coarse.movedim(-1, 1), 4), repeated(fine.movedim(-1, 1), 2)]
    whole = tokenizer.decode_values([coarse, fine])
    torch.testing.assert_close(whole, 0.5 + held[0] + held[1])
    (one, without_coarse), (two, without_fine) = without_each_level(tokenizer, found, (8, 7), means)
    assert (one.name, two.name) == ("level1", "level2")
    torch.testing.assert_close(without_coarse, (0.5 + 2 * 0.05 + held[1])[..., :7])
    torch.testing.assert_close(without_fine, (0.5 + held[0])[..., :7])


@pytest.mark.slow
def test_ablation_of_a_trained_tokenizer_costs_quality_at_every_level() -> None:
    digits = open_source("sample:digits")
    x = torch.from_numpy(np.stack([digits.read(i).image for i in range(64)])).float() / 255
    x = x.reshape(64, 1, 8, 8)
    torch.manual_seed(0)
    net = {"name": "vqvae", "hidden": 16, "residual_layers": 0, "downsample": 2}
    books = [{"name": "vector", "dim": 4, "codebook_size": size} for size in (16, 4)]
    coarse, fine = ({"encoder": net, "quantizer": book, "decoder": net} for book in books)
    tokenizer = build_tokenizer({"level1": coarse, "level2": fine}, 1).train()
    optimizer = torch.optim.Adam(tokenizer.parameters(), 3e-3)
    for _ in range(200):
        optimizer.zero_grad()
        tokenizer(x).loss.backward()
        optimizer.step()
    tokenizer.eval()
    with torch.inference_mode():
        means = evaluate(tokenizer, digits, limit=64).mean_values
        found = tokenizer.analyse(x)
        error = mse(found.output, x).mean()
        outputs = [output for _, output in without_each_level(tokenizer, found, (8, 8), means)]
    assert len(outputs) == 2
    for output in outputs:
        assert mse(output, x).mean() > 1.5 * error


def test_without_the_level_that_says_nothing_the_picture_stays(make_tokenizer: Make) -> None:
    """A level whose codes are all the same holds nothing: its mean is its only value."""
    tokenizer, images = make_tokenizer("levels"), source()
    level = tokenizer.levels[0].quantizer
    with torch.no_grad():
        tokenizer.hierarchy[0].join.weight.zero_()  # type: ignore[union-attr]
    result = evaluate(tokenizer, images)
    assert result.levels[0].perplexity == pytest.approx(1) and level.dim == 8
    found = tokenizer.analyse(batch(images))
    (_, coarse), (_, fine) = without_each_level(tokenizer, found, (16, 16), result.mean_values)
    torch.testing.assert_close(coarse, found.output, atol=1e-5, rtol=0)
    assert not torch.allclose(fine, found.output, atol=1e-5)


def test_a_single_level_is_not_ablated(make_tokenizer: Make) -> None:
    tokenizer, images = make_tokenizer(), source()
    means = evaluate(tokenizer, images).mean_values
    found = tokenizer.analyse(batch(images))
    assert list(without_each_level(tokenizer, found, (16, 16), means)) == []


def test_galleries_show_every_level(make_tokenizer: Make) -> None:
    tokenizer = make_tokenizer("levels")
    histograms = [CodeHistogram(size) for size in (16, 8, 16)]
    for histogram in histograms:
        histogram.add(torch.tensor([3, 3, 5]))
    galleries = make_galleries(tokenizer, histograms)
    assert [gallery.title.partition(":")[0] for gallery in galleries] == [
        "Level 1, book 1", "Level 1, book 2", "Level 2",
    ]  # fmt: skip
    for gallery in galleries:
        assert [patch.code for patch in gallery.patches] == [3, 5]
        assert gallery.patches[0].uri != gallery.patches[1].uri


def test_token_files_hold_every_level(make_tokenizer: Make, tmp_path: Path) -> None:
    tokenizer, images = make_tokenizer("levels"), source()
    encode_dataset(tokenizer, images, tmp_path / "t.parquet", batch_size=4)
    tokens = read_tokens(tmp_path / "t.parquet")
    assert [layout.code_shape for layout in tokens.levels] == [(2,), ()]
    expected = tokenizer.encode(batch(images))
    for i, record in enumerate(tokens):
        for stored, codes in zip(record.levels, expected, strict=True):
            assert torch.equal(torch.from_numpy(stored), codes[i])


def test_levels_that_do_not_belong_together_are_refused(
    make_tokenizer: Make, tmp_path: Path
) -> None:
    tokenizer, images = make_tokenizer("levels"), source(1)
    encode_dataset(tokenizer, images, tmp_path / "t.parquet")
    tokens = read_tokens(tmp_path / "t.parquet")
    (record,) = tokens
    coarse, fine = record.levels
    options = {"fingerprint": tokens.fingerprint, "levels": tokens.levels}
    wrong = TokenRecord([coarse, fine[:2]], "x.png", None, 16, 16)
    write_tokens(tmp_path / "wrong.parquet", [wrong], **options)
    with pytest.raises(CodeError, match=r"expected levels of .*got \[\(1, 2, 2\), \(1, 2, 4\)\]"):
        decode_tokens(tokenizer, tmp_path / "wrong.parquet", tmp_path / "out")
    flat = make_tokenizer()
    with pytest.raises(TokensError, match="expected tokens of tokenizer"):
        decode_tokens(flat, tmp_path / "t.parquet", tmp_path / "out")
    assert not (tmp_path / "out").exists()
