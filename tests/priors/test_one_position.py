"""Priors of signals without axes: the books of one position, each given those before it."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from priors.builders import MAKERS
from vocabula import codec
from vocabula.codec.portable import PortableModel
from vocabula.codec.prior import PriorModel
from vocabula.data import read_tokens
from vocabula.errors import OptionError
from vocabula.pipelines.sample_kinds import draw_samples
from vocabula.pipelines.sample_options import SampleOptions
from vocabula.priors import CodeGrid, Condition, Generator, Origin, PortablePrior, Prior
from vocabula.priors.completion import check_completes
from vocabula.tokenizers import SignalTokenizer, build_tokenizer

WIDTH, BOOKS = 5, (8, 8, 6)
WIDE = {"hidden": 32}


def vectors_tokenizer() -> SignalTokenizer:
    torch.manual_seed(0)
    stages = [{"name": "vector", "dim": WIDTH, "codebook_size": k} for k in BOOKS]
    quantizer = {"name": "residual", "stages": stages}
    specs: dict[str, Any] = {"encoder": "identity", "decoder": "identity", "quantizer": quantizer}
    tokenizer = build_tokenizer({**specs, "likelihood": "normal", "signal": "vector"}, WIDTH)
    with torch.no_grad():
        tokenizer.train()(torch.randn(256, WIDTH))
    return tokenizer.eval()


def make_prior(kind: str, tokenizer: SignalTokenizer | None = None, **options: Any) -> Prior:
    torch.manual_seed(1)
    prior = MAKERS[kind](CodeGrid(BOOKS, (1,)), **options).eval()
    if tokenizer is not None:
        prior.origin = Origin(tokenizer.fingerprint())
    return prior


def dependent(count: int) -> torch.Tensor:
    """Codes (count, 1, 3): the second is the first in 9 of 10 signals, the third the sum mod 6."""
    generator = torch.Generator().manual_seed(count)
    first = torch.randint(8, (count,), generator=generator)
    noise = torch.randint(8, (count,), generator=generator)
    kept = torch.rand(count, generator=generator) < 0.9
    second = torch.where(kept, first, noise)
    return torch.stack([first, second, (first + second) % 6], -1)[:, None]


@pytest.mark.slow
@pytest.mark.parametrize("kind", MAKERS)
def test_every_family_learns_that_books_depend_on_earlier_books(kind: str) -> None:
    """The frequencies of a book cost ln 8, ln 8 and ln 6; given those before, 2.08, 0.61 and 0."""
    prior = make_prior(kind, **WIDE).train()
    optimizer = torch.optim.Adam(prior.parameters(), lr=0.02)
    codes = dependent(2048)
    for step in range(64):
        rows = slice(step * 64 % 2048, step * 64 % 2048 + 64)
        optimizer.zero_grad()
        prior.loss(codes[rows]).backward()
        optimizer.step()
    with torch.no_grad():
        nats = -prior.eval().log_probs(dependent(1000)).mean((0, 1))
    assert nats[0] == pytest.approx(math.log(8), abs=0.1)
    assert nats[1] < 0.9 < 0.5 * math.log(8)
    assert nats[2] < 0.9 < 0.6 * math.log(6)
    drawn = prior.sample((1000, 1), seed=0)[:, 0]
    assert (drawn[:, 0] == drawn[:, 1]).double().mean() > 0.75  # by chance 0.125


@pytest.mark.parametrize("kind", MAKERS)
def test_draws_agree_with_and_without_a_cache(kind: str) -> None:
    prior = make_prior(kind)
    one, other = (prior.sample((6, 1), seed=3, cache=cache) for cache in (True, False))
    assert one.shape == (6, 1, 3) and torch.equal(one, other)


def test_a_portable_prior_looks_at_earlier_books_only() -> None:
    prior = make_prior("portable")
    codes = dependent(20)
    before = prior.symbol_logits(prior.codes.split(codes), Condition())
    for book in range(3):
        other = codes.clone()
        other[:, 0, book] = (other[:, 0, book] + 1) % BOOKS[book]
        after = prior.symbol_logits(prior.codes.split(other), Condition())
        same = [bool(torch.equal(a, b)) for a, b in zip(after, before, strict=True)]
        assert same == [later <= book for later in range(3)]


def test_a_portable_prior_refuses_three_axes_and_names_others() -> None:
    with pytest.raises(OptionError, match=r"1 or 2 axes, .* pixelcnn, pixelsnail or transformer"):
        PortablePrior(CodeGrid(BOOKS, (2, 3, 4)))


@pytest.mark.parametrize("kind", ["pixelcnn", "gpt2"])
def test_a_generator_draws_vectors(kind: str) -> None:
    tokenizer = vectors_tokenizer()
    generator = Generator(tokenizer, [make_prior(kind, tokenizer)])
    assert generator.extent == ()
    drawn = generator.sample(7, seed=0, batch_size=3)
    assert drawn.signals.shape == (7, WIDTH) and drawn.levels[0].shape == (7, 3)
    assert torch.equal(tokenizer.decode(drawn.levels[0]), drawn.signals)
    again = generator.sample(4, seed=0, start=3)
    assert torch.equal(again.levels[0], drawn.levels[0][3:])
    nats = generator.log_probs(drawn.levels)[0]
    own = generator.priors[0].log_probs(drawn.levels[0][:, None])[:, 0]
    assert nats.shape == (7, 3) and torch.equal(nats, own)
    with pytest.raises(OptionError, match="size: expected none, as vectors have no axes, got 4"):
        generator.sample(1, size=(4,))
    with pytest.raises(OptionError, match="expected a prior of images, got one of vectors"):
        check_completes(tokenizer)


def test_a_generator_refuses_a_prior_of_a_grid() -> None:
    with pytest.raises(OptionError, match=r"on a grid of 1 axis, got .* on 2"):
        Generator(vectors_tokenizer(), [MAKERS["pixelcnn"](CodeGrid(BOOKS, (1, 1)))])


def test_samples_become_one_file_with_the_same_codes(tmp_path: Path) -> None:
    tokenizer = vectors_tokenizer()
    generator = Generator(tokenizer, [make_prior("pixelcnn", tokenizer)])
    options, codes = SampleOptions(10, seed=4, batch_size=4), tmp_path / "codes.parquet"
    drawn = draw_samples(generator, options, tmp_path / "samples.npy", codes=codes)
    assert drawn.complete and drawn.seed == 4
    found = np.load(tmp_path / "samples.npy")
    tokens = read_tokens(codes, fingerprint=tokenizer.fingerprint())
    assert tokens.signal == "vector" and len(tokens) == 10
    stored = torch.from_numpy(np.stack([record.codes for record in tokens]).astype(np.int64))
    assert np.array_equal(tokenizer.decode(stored).numpy(), found)
    for out, resume, message in (
        ("grid.png", False, "ends in .npy or .parquet, got .png"),
        ("more.npy", True, "--resume: expected none"),
    ):
        with pytest.raises(OptionError, match=message):
            draw_samples(generator, options, tmp_path / out, resume=resume)
        assert not (tmp_path / out).exists()


@pytest.mark.parametrize("kind", ["portable", "pixelcnn", "gpt2"])
def test_files_of_vectors_by_a_prior(kind: str) -> None:
    tokenizer = vectors_tokenizer()
    prior = make_prior(kind, tokenizer)
    model = PortableModel([prior]) if isinstance(prior, PortablePrior) else PriorModel([prior])
    vectors = torch.randn(5000, WIDTH)  # more than the rows that are coded together
    file = io.BytesIO()
    codec.write(file, vectors, tokenizer, entropy=model)
    file.seek(0)
    found = torch.stack(list(codec.read(file, tokenizer, models=[model])))
    assert torch.equal(found, tokenizer.reconstruct(vectors))
    nats = -prior.log_prob(tokenizer.encode(vectors)[:, None]).sum().detach()
    head = file.getbuffer().nbytes - float(nats) / math.log(2) / 8
    assert 0 < head < 200  # the header, and a few bytes by which the coder falls short
