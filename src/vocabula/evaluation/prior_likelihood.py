"""Bits per dimension of images under a generator: codes by the priors, pixels by the decoder."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import torch
from torch import Tensor

from vocabula.data import Batch, ImageSource
from vocabula.evaluation.batches import read_batches, signal_count
from vocabula.evaluation.counting import counted
from vocabula.priors import Condition, Generator
from vocabula.tokenizers.analysis import BitsPerDim

Conditions = Callable[[Batch], Condition | None]
"""What is known of the images of a batch."""


@dataclass(frozen=True, slots=True)
class PriorLikelihood:
    """The cost of images, codes by the priors and pixels by the decoder, in bits per dimension.

    Attributes:
        images: number of images measured.
        skipped: images that could not be read.
        nats_per_code: -log p of a code, mean over all codes of each level, the coarsest first.
        code_bits_per_dim: -log2 p(codes), per channel of a pixel.
        likelihood_bits_per_dim: -log2 p(image | codes), per channel of a pixel.
        fixed_code_bits_per_dim: cost of the codes at a fixed length, log2 K each.
    """

    images: int
    skipped: int
    nats_per_code: tuple[float, ...]
    code_bits_per_dim: float
    likelihood_bits_per_dim: float
    fixed_code_bits_per_dim: float

    @property
    def bits_per_dim(self) -> float:
        """The sum: an upper bound on -log2 p(image) / (C H W)."""
        return self.code_bits_per_dim + self.likelihood_bits_per_dim


@torch.no_grad()
def image_bits(
    generator: Generator, images: Tensor, condition: Condition | None = None
) -> BitsPerDim:
    """Bits per dimension of images, codes by the priors instead of at a fixed length.

    ::

        bits(x) = (-sum_l log2 p(c_l | c_1 ... c_{l-1}, condition) - log2 p(x | c)) / (C H W)

    with c = encode(x), an upper bound on -log2 p(x | condition) / (C H W): the model's p(x) sums
    p(c) p(x | c) over all codes c, and this takes only one of them. p(x | c) is the probability of
    the 8-bit image by the tokenizer's likelihood: exact for `Categorical` and `LogisticMixture`;
    for `Gaussian` the mass of the discretized Gaussian of variance `noise_variance` (see there).

    Args:
        generator: tokenizer and priors.
        images: (B, C, H, W), uint8 or in [0, 1], of a size that the priors can compute.
        condition: what is known of the images, as `Generator.conditions` gives it.

    Returns:
        `BitsPerDim`, each part (B,).

    Raises:
        DataError: wrong shape, dtype, channels or values.
        OptionError: a prior cannot compute such a size.
    """
    return _measure(generator, images, condition)[0]


def prior_likelihood(
    generator: Generator,
    source: ImageSource,
    *,
    conditions: Conditions | None = None,
    batch_size: int = 64,
    limit: int | None = None,
    workers: int | None = None,
    progress: bool = False,
) -> PriorLikelihood:
    """Measure `image_bits` on a source of images, a mean over all their values.

    Args:
        generator: tokenizer and priors.
        source: the images, with the tokenizer's number of channels.
        conditions: gives the condition of a batch, such as `by_label`; None for no condition.
        batch_size: most images of a batch.
        limit: measure the first `limit` images only.
        workers: threads that decode ahead; None takes one for each core, 0 decodes in this one.
        progress: show a progress bar on a terminal.

    Raises:
        DataError: no image can be read, or the channels differ from the tokenizer's.
        OptionError: a prior cannot compute the codes of an image's size.
    """
    total = signal_count(source, limit)
    images = dims = 0
    nats = [0.0] * len(generator.priors)
    codes = [0] * len(generator.priors)
    sums = {"codes": 0.0, "likelihood": 0.0, "fixed": 0.0}
    batches = read_batches(source, batch_size=batch_size, limit=limit, workers=workers)
    with counted("measuring", total, show=progress) as advance, closing(batches):
        for batch in batches:
            condition = None if conditions is None else conditions(batch)
            bits, log_probs, fixed = _measure(generator, batch.values, condition)
            values = batch.values[0].numel()
            images, dims = images + len(batch), dims + batch.values.numel()
            for level, part in enumerate(log_probs):
                nats[level] -= float(part.double().sum())
                codes[level] += part.numel()
            sums["codes"] += float(bits.codes.double().sum()) * values
            sums["likelihood"] += float(bits.likelihood.double().sum()) * values
            sums["fixed"] += float(fixed.double().sum()) * values
            advance(len(batch.values))
    return PriorLikelihood(
        images=images,
        skipped=total - images,
        nats_per_code=tuple(n / count for n, count in zip(nats, codes, strict=True)),
        code_bits_per_dim=sums["codes"] / dims,
        likelihood_bits_per_dim=sums["likelihood"] / dims,
        fixed_code_bits_per_dim=sums["fixed"] / dims,
    )


def by_label(batch: Batch) -> Condition:
    """The class of every image; none for images without a label."""
    return Condition.of_class(batch.labels)


def _measure(
    generator: Generator, images: Tensor, condition: Condition | None
) -> tuple[BitsPerDim, tuple[Tensor, ...], Tensor]:
    """Bits with the priors' codes, log-probabilities of every code, and bits at a fixed length."""
    x = generator.tokenizer.signal.to_values(images.to(generator.device))
    generator.check_size((x.shape[2], x.shape[3]))
    found = generator.tokenizer.analyse(x)
    levels = [level.codes for level in found.levels]
    log_probs = generator.log_probs(levels, condition)
    nats = torch.stack([-part.double().flatten(1).sum(1) for part in log_probs]).sum(0)
    codes = nats / (math.log(2) * x[0].numel())
    return BitsPerDim(codes, found.bits.likelihood), log_probs, found.bits.codes
