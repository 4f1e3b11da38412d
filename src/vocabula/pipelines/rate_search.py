"""How compression spends bits with a rate term: its quality, and the search for a file's size."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vocabula.codec.batching import codes_of, encode_batch
from vocabula.codec.choice import choose_model
from vocabula.codec.known_models import statistics_of
from vocabula.codec.layouts import to_signals
from vocabula.codec.models import EntropyModel
from vocabula.codec.stages import discrete
from vocabula.codec.writer import CodedSignal
from vocabula.errors import OptionError
from vocabula.pipelines.rate_objective import Objective
from vocabula.pipelines.rate_prices import PRIOR
from vocabula.pipelines.rate_refinement import SWEEPS, refined
from vocabula.quantizers.base import Quantizer
from vocabula.quantizers.composite import CompositeQuantizer
from vocabula.quantizers.rate import LEAST_SHARE, RateState
from vocabula.quantizers.residual import ResidualQuantizer
from vocabula.quantizers.vector import VectorQuantizer
from vocabula.tokenizers import SignalTokenizer
from vocabula.tokenizers.inference import inference

LOWEST, TRAINED, HIGHEST = 0, 50, 100
"""Qualities; at `TRAINED` bits weigh what they weighed in training."""
RANGE = 16.0
"""By how much bits weigh more at the lowest quality, and less at the highest."""
BEAM = 4
"""Partial sums of residual stages that effort 1 keeps."""
STEPS = 9
"""Files tried in the search for a size; the last differ by 1 % of the weight of bits."""
EFFORTS = (0, 1, *SWEEPS)


@dataclass(frozen=True, slots=True)
class Spending:
    """How the search for codes spends bits; it needs quantizers with a `RateTerm`.

    Attributes:
        quality: from 0, the smallest files, to 100; 50 weighs bits as in training.
        effort: 0 counts the bits of a code as in training; 1 encodes each signal twice, at last
            with the bits that its own codes suggest; 2 goes on with two sweeps of `refined` codes,
            and 3 with more, in which bits follow from neighbouring codes. Each keeps the best codes
            that it has seen, by `Objective.cost`, so that none is worse than the one below.
    """

    quality: float = TRAINED
    effort: int = 0

    @property
    def scale(self) -> float:
        """What multiplies the weight of bits: 16 at quality 0, 1 at 50, 1/16 at 100."""
        return float(RANGE ** ((TRAINED - self.quality) / (HIGHEST - TRAINED)))


def spending(tokenizer: SignalTokenizer, quality: float | None, effort: int | None) -> Spending:
    """The checked options of a command, with their defaults.

    Raises:
        OptionError: one is out of range, or given without a rate term in the tokenizer.
    """
    if quality is not None and not LOWEST <= quality <= HIGHEST:
        raise OptionError(
            f"quality: expected a number from {LOWEST} to {HIGHEST}, got {quality:g}; "
            f"{TRAINED} weighs bits as in training"
        )
    if effort is not None and effort not in EFFORTS:
        raise OptionError(
            f"effort: expected one of {', '.join(map(str, EFFORTS))}, got {effort}; more takes "
            "longer and saves bits"
        )
    given = "quality" if quality is not None else "effort" if effort is not None else None
    if given and not rate_states(tokenizer):
        raise OptionError(
            f"{given}: expected a tokenizer whose quantizers have a rate term, such as that of the "
            f"preset photos-rd, got one without; leave --{given} out"
        )
    return Spending(TRAINED if quality is None else quality, effort or 0)


def rate_states(tokenizer: SignalTokenizer) -> list[RateState]:
    """The averaged shares of all codebooks with a rate term."""
    return [module for module in tokenizer.modules() if isinstance(module, RateState)]


@contextlib.contextmanager
def weighing(tokenizer: SignalTokenizer, scale: float) -> Iterator[None]:
    """Within the block, bits weigh `scale` times as much as in training."""
    states = rate_states(tokenizer)
    before = [state.scale for state in states]
    for state in states:
        state.scale = scale
    try:
        yield
    finally:
        for state, own in zip(states, before, strict=True):
            state.scale = own


def levels_spending(
    tokenizer: SignalTokenizer, x: Tensor, spent: Spending, model: EntropyModel | None = None
) -> Sequence[Tensor]:
    """The codes of each level of a batch (B, C, *extent), with bits as they weigh.

    Args:
        tokenizer: with codebooks.
        x: signals, as they are stored.
        spent: how bits are spent.
        model: codes the file, for efforts from 1; None is the adaptive model.
    """
    if not rate_states(tokenizer):
        return codes_of(tokenizer, x)
    with weighing(tokenizer, spent.scale):
        levels = codes_of(tokenizer, x)
        if spent.effort == 0 or not len(x):
            return levels
        with suggested(tokenizer, levels):
            again = codes_of(tokenizer, x)
        model = model or choose_model("adaptive", statistics_of(tokenizer, None))
        with inference(tokenizer) as device, torch.inference_mode(False), torch.no_grad():
            plain, other = ([each.clone() for each in one] for one in (levels, again))
            objective = Objective(tokenizer, x.to(device), model, spent.scale, plain)
            cost, best = objective.cost(plain), plain
            if (paid := objective.cost(other)) < cost:
                cost, best = paid, other
            if spent.effort in SWEEPS:
                best = refined(objective, best, cost, spent.effort)
    return best


def encode_spending(
    tokenizer: SignalTokenizer,
    x: Tensor,
    spent: Spending,
    *,
    lossless: bool = False,
    model: EntropyModel | None = None,
) -> list[CodedSignal]:
    """The coded signals of a batch (B, C, *extent), as `encode_batch`, with bits as they weigh."""
    if not rate_states(tokenizer) or lossless:
        with weighing(tokenizer, spent.scale):
            return encode_batch(tokenizer, x, lossless=lossless)
    parts = x.split(1) if spent.effort else [x]
    found = [levels_spending(tokenizer, part, spent, model) for part in parts]
    return to_signals([torch.cat(level) for level in zip(*found, strict=True)], x.shape[2:])


def books_of(quantizer: Quantizer) -> list[Quantizer]:
    """The quantizer that each book of codes belongs to, in their order."""
    if isinstance(quantizer, CompositeQuantizer):
        return [book for part in quantizer.parts for book in books_of(part)]
    return [quantizer] * quantizer.books


@contextlib.contextmanager
def suggested(tokenizer: SignalTokenizer, levels: Sequence[Tensor]) -> Iterator[None]:
    """Within the block the shares of codes are those of some codes and, a little, of training.

    A table of a context is multiplied by how much more frequent each code is than in training. Sums
    of stages are found by a beam of `BEAM` at least.
    """
    before: list[tuple[RateState, Tensor]] = []
    sums = [part for part in tokenizer.modules() if isinstance(part, ResidualQuantizer)]
    beams = [part.beam for part in sums]
    quantizers = discrete(tokenizer)
    books = [book for quantizer in quantizers for book in books_of(quantizer)]
    columns = [
        column
        for quantizer, codes in zip(quantizers, levels, strict=True)
        for column in codes.reshape(-1, quantizer.books).T
    ]
    statistics = tokenizer.code_statistics
    known = statistics and [torch.from_numpy(each) + 1 for each in statistics.counts]
    try:
        for part in sums:
            part.beam = max(BEAM, part.beam)
        for number, (book, codes) in enumerate(zip(books, columns, strict=True)):
            if not isinstance(book, VectorQuantizer) or book.rate is None:
                continue
            state = book.rate
            before.append((state, state.share.clone()))
            share = state.share.reshape(-1, state.share.shape[-1]) + LEAST_SHARE
            usual = known[number].to(share) if known and len(share) > 1 else share.mean(0)
            usual = usual / usual.sum()
            counts = torch.bincount(codes, minlength=len(usual)).to(share)
            found = share * (counts + PRIOR * usual) / usual
            state.share.copy_((found / found.sum(-1, keepdim=True)).view_as(state.share))
        yield
    finally:
        for part, beam in zip(sums, beams, strict=True):
            part.beam = beam
        for state, share in reversed(before):
            state.share.copy_(share)


def search_quality(size_of: Callable[[float], int], most: float, what: object) -> float:
    """The highest quality whose file has at most `most` bytes.

    Args:
        size_of: bytes of the file of a quality.
        most: bytes that it may have.
        what: the file, for the error.

    Raises:
        OptionError: the file of the lowest quality is too large.
    """
    low, high = float(LOWEST), float(HIGHEST)
    least = size_of(low)
    if least > most:
        raise OptionError(
            f"{what}: expected at most {most:.0f} bytes, got {least} with the lowest quality; "
            "raise the target or use another tokenizer"
        )
    if size_of(high) <= most:
        return high
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if size_of(middle) <= most else (low, middle)
    return low
