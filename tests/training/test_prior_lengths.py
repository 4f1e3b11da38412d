"""Training priors on recordings of different lengths, of one level and of two."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vocabula.data.token_writer import TokenWriter
from vocabula.errors import OptionError, TokensError
from vocabula.levels import levels_of
from vocabula.priors import load_generator
from vocabula.tokenizers import SignalTokenizer, build_tokenizer
from vocabula.training.config import config_from_sections
from vocabula.training.prior_run import train_prior

LENGTHS = tuple(range(40, 160, 10))
CELLS = {"name": "seanet", "hidden": 2}
TINY = {
    "pixelcnn": {"name": "pixelcnn", "hidden": 4, "layers": 2},
    "transformer": {"name": "transformer", "hidden": 8, "layers": 1, "heads": 2},
}


def tokenizer_of(levels: int, rate: int = 100) -> SignalTokenizer:
    torch.manual_seed(0)
    audio = {"name": "audio", "sample_rate": rate}
    parts = {
        f"level{i + 1}": {
            "name": "independent",
            "encoder": {**CELLS, "ratios": ratios},
            "quantizer": {"name": "vector", "dim": 4, "codebook_size": 8},
            "decoder": {**CELLS, "ratios": ratios},
        }
        for i, ratios in enumerate(([2, 5], [5]))
    }
    if levels == 1:
        parts = {name: part for name, part in parts["level1"].items() if name != "name"}
    specs = {"signal": audio, "likelihood": {"name": "spectral", "windows": [16]}, **parts}
    return build_tokenizer(specs, channels=1).eval()


def write(tokenizer: SignalTokenizer, path: Path) -> Path:
    """Codes of noise of several lengths, by two speakers, of whom one is short."""
    rng = torch.Generator().manual_seed(0)
    with TokenWriter(
        path,
        fingerprint=tokenizer.fingerprint(),
        levels=[level.spec for level in tokenizer.levels],
        signal="audio",
        attributes={"speaker": ("short", "long")},
    ) as writer:
        for i, length in enumerate(LENGTHS * 2):
            codes = levels_of(tokenizer.encode(torch.rand(1, 1, length, generator=rng)))
            speaker = {"speaker": [int(length >= 100)]}
            writer.extend([c.numpy() for c in codes], [f"{i}.wav"], None, (length,), speaker)
    return path


def config(kind: str, **sections: dict[str, object]):
    training = {"name": "training", "steps": 3, "batch_size": 4, "log_every": 1}
    held_out = {"name": "held_out", "share": 0.25, "every": 2}
    made = {"prior": TINY[kind], "training": training, "held_out": held_out, **sections}
    return config_from_sections(made)


def test_a_prior_learns_lengths_and_draws_them(tmp_path: Path) -> None:
    tokenizer = tokenizer_of(1)
    tokens = write(tokenizer, tmp_path / "tokens.parquet")
    figures = train_prior(config("transformer"), tokenizer, tokens, tmp_path / "p", progress=False)
    assert 0 < figures["levels"][0]["nats_per_token"] < 10
    generator = load_generator(tmp_path / "p")
    prior = generator.priors[0]
    assert (prior.codes.grid, prior.conditioning.timing) == ((15,), 15)
    drawn = generator.sample(8, attributes={"speaker": ["short", "long"] * 4}, seed=0)
    assert drawn.lengths is not None
    short, long = drawn.lengths[::2], drawn.lengths[1::2]
    assert int(short.max()) < 100 <= int(long.min())
    for group in drawn.each():
        assert group.signals.shape[2] == 10 * group.levels[0].shape[1]


def test_parts_of_long_recordings_are_learned(tmp_path: Path) -> None:
    tokenizer = tokenizer_of(1)
    tokens = write(tokenizer, tmp_path / "tokens.parquet")
    parts = config("transformer", context={"name": "context", "positions": 6})
    train_prior(parts, tokenizer, tokens, tmp_path / "p", progress=False)
    generator = load_generator(tmp_path / "p")
    assert generator.priors[0].codes.grid == (6,)
    assert generator.priors[0].conditioning.timing == 15
    found = generator.sample(1, size=(300,), overlap=0.5, seed=0).signals
    assert found.shape == (1, 1, 300) and bool(found.isfinite().all())
    long = {"speaker": "long"}
    cut = generator.sample(6, attributes=long, seed=0).lengths
    whole = generator.sample(6, attributes=long, overlap=0.5, seed=0).lengths
    assert cut is not None and set(cut.tolist()) == {60}
    assert whole is not None and 100 <= int(whole.min()) < int(whole.max()) <= 150


def test_a_transformer_above_and_convolutions_below(tmp_path: Path) -> None:
    tokenizer = tokenizer_of(2)
    tokens = write(tokenizer, tmp_path / "tokens.parquet")
    with pytest.raises(OptionError, match="or a convolutional prior"):
        train_prior(config("transformer"), tokenizer, tokens, tmp_path / "no", progress=False)
    for level, kind in ((1, "transformer"), (2, "pixelcnn")):
        train_prior(config(kind), tokenizer, tokens, tmp_path / "p", level=level, progress=False)
    generator = load_generator(tmp_path / "p")
    assert [prior.codes.grid for prior in generator.priors] == [(15,), (30,)]
    drawn = generator.sample(5, seed=0, batch_size=5)
    assert drawn.lengths is not None
    counts = [(codes >= 0).sum(1) for codes in drawn.levels]
    assert torch.equal(counts[1], 2 * counts[0]) and torch.equal(10 * counts[0], drawn.lengths)
    alone = generator.sample(5, seed=0, batch_size=1)
    np.testing.assert_array_equal(alone.levels[0], drawn.levels[0])


def test_tokens_of_another_rate_are_refused(tmp_path: Path) -> None:
    tokens = write(tokenizer_of(1, rate=200), tmp_path / "tokens.parquet")
    with pytest.raises(TokensError, match="use the tokenizer that wrote them"):
        train_prior(config("pixelcnn"), tokenizer_of(1), tokens, tmp_path / "p", progress=False)
