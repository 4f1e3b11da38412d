"""Likelihoods add up: values by brute force and by hand."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from priors.generators import make_generator, make_priors, make_tokenizer
from vocabula.data import open_source
from vocabula.errors import OptionError
from vocabula.evaluation.prior_likelihood import by_label, image_bits, prior_likelihood
from vocabula.priors import Generator

LIKELIHOODS = ("gaussian", "categorical", "logistic_mixture")
every_likelihood = pytest.mark.parametrize("likelihood", LIKELIHOODS)


def images(count: int, channels: int = 1) -> torch.Tensor:
    return torch.randint(256, (count, channels, 12, 16), dtype=torch.uint8)


@every_likelihood
@pytest.mark.parametrize("levels", [1, 2])
def test_bits_are_those_of_codes_and_pixels(likelihood: str, levels: int) -> None:
    """-log2 p(c) - log2 p(x | c), over the values, from the parts."""
    generator = make_generator("pixelcnn", levels, likelihood=likelihood)
    x = images(3)
    tokenizer = generator.tokenizer
    codes = tokenizer.encode(x)
    codes = codes if isinstance(codes, tuple) else (codes,)
    bits = image_bits(generator, x)
    nats = -generator.log_prob(codes)
    torch.testing.assert_close(
        bits.codes.float(), nats.float() / math.log(2) / 192, rtol=1e-5, atol=0
    )
    torch.testing.assert_close(bits.likelihood, tokenizer.bits_per_dim(x).likelihood)
    torch.testing.assert_close(bits.total, bits.codes + bits.likelihood)


@every_likelihood
def test_they_bound_what_the_model_gives_the_image(likelihood: str) -> None:
    """With 4 codes in all, p(x) = sum over them of p(c) p(x | c) can be summed up."""
    tokenizer = make_tokenizer(codebook_size=2, likelihood=likelihood)
    generator = Generator(tokenizer, make_priors(tokenizer, "pixelcnn", size=(4, 4)))
    x = torch.rand(1, 1, 4, 4)
    terms = []
    with torch.no_grad():
        for code in itertools.product(range(2), repeat=2):
            codes = torch.tensor(code).view(1, 1, 1, 2)
            values = tokenizer.quantizer.decode(codes)
            parameters = tokenizer._describe(tokenizer._ascend([values]), (4, 4))
            given = tokenizer.likelihood.log_prob(parameters, x).sum().double()
            terms.append(given + generator.log_prob([codes])[0].double())
    exact = -torch.stack(terms).logsumexp(0).item() / math.log(2) / 16
    bound = image_bits(generator, x).total.item()
    # one of four terms: at most 2 bits for 16 values away where it is the largest of them
    assert exact - 1e-6 <= bound
    best = -max(term.item() for term in terms) / math.log(2) / 16
    assert bound >= best - 1e-6 and best <= exact + 2 / 16


def test_a_uniform_prior_costs_the_fixed_length() -> None:
    generator = make_generator("pixelcnn")
    with torch.no_grad():
        for layer in generator.priors[0].head.outer:
            layer.weight.zero_()
            layer.bias.zero_()
    x = images(2)
    # 3 x 4 positions of 2 books of 16: 96 bits over 192 values
    assert image_bits(generator, x).codes.tolist() == pytest.approx([0.5, 0.5])
    fixed = generator.tokenizer.bits_per_dim(x)
    torch.testing.assert_close(image_bits(generator, x).codes.float(), fixed.codes)


def test_a_source_is_measured_over_all_its_values(tmp_path: Path) -> None:
    generator = make_generator("pixelcnn", 2, classes=3)
    sizes = {"a": (12, 16), "b": (12, 16), "c": (8, 8)}
    numbers = np.random.default_rng(0)
    for name, size in sizes.items():
        (tmp_path / name).mkdir()
        picture = Image.fromarray(numbers.integers(0, 256, size, dtype=np.uint8))
        picture.save(tmp_path / name / "1.png")
    source = open_source(tmp_path)
    found = prior_likelihood(generator, source, conditions=by_label, workers=0)
    total, nats, codes, dims = 0.0, [0.0, 0.0], [0, 0], 0
    for i in range(3):
        x = torch.from_numpy(source.read(i).image.copy()).permute(2, 0, 1)[None]
        known = generator.conditions(1, attributes={"class": i})
        total += float(image_bits(generator, x, known).total) * x.numel()
        levels = generator.tokenizer.encode(x)
        for level, part in enumerate(generator.log_probs(levels, known)):
            nats[level] -= float(part.sum())
            codes[level] += part.numel()
        dims += x.numel()
    assert (found.images, found.skipped) == (3, 0)
    assert found.bits_per_dim == pytest.approx(total / dims)
    assert found.nats_per_code == pytest.approx([n / c for n, c in zip(nats, codes, strict=True)])
    assert found.fixed_code_bits_per_dim == pytest.approx(4 * sum(codes) / dims)
    without = prior_likelihood(generator, source, workers=0, limit=2)
    assert without.images == 2 and without.nats_per_code != found.nats_per_code


def test_a_size_that_the_prior_cannot_compute() -> None:
    with pytest.raises(OptionError, match="whose codes this TransformerPrior cannot compute"):
        image_bits(make_generator("gpt2"), torch.rand(1, 1, 16, 16))
