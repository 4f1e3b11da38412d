"""The prior model: a generator's networks predict each code from all codes before it."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vocabula.codec.adaptive import AdaptiveModel
from vocabula.codec.batches import Batch, batches, row_batches
from vocabula.codec.build import build_of, reproducible
from vocabula.codec.coder import new_decoder, new_encoder
from vocabula.codec.header import Header
from vocabula.codec.layout import Attachment, ModelId
from vocabula.codec.models import EntropyModel, short_hash
from vocabula.codec.rows import LARGEST_WEIGHT, cumulative_rows, shares_of
from vocabula.codec.span import Block, Codes
from vocabula.codec.stages import discrete
from vocabula.codec.table import PRECISION
from vocabula.codec.words import bad_words
from vocabula.errors import CodecError, CodecWarning, CodeError, OptionError
from vocabula.priors import Condition, Prior, load_generator
from vocabula.tokenizers import SignalTokenizer
from vocabula.tokenizers.inference import device_of

_NETWORK, _ADAPTIVE = b"\0", b"\1"
_SYMBOL_BYTES = 48
"""What a probability, or a symbol, takes in memory in all its forms on the way."""

Rows = NDArray[np.uint32]
Known = Codes | None
Step = Callable[[Rows, Known], Codes]
"""From tables of the next symbols (B, V + 1), and the symbols if they are known, to the symbols."""


class PriorModel(EntropyModel):
    """Codes each code by a prior's probabilities given all codes before it, without class or text.

    ::

        codes so far --> prior, step by step --> logits --> integer widths --> range coder

    Probabilities are floating-point numbers, whose last bits may differ with another build of torch
    or another processor. If they differ, a file cannot be decoded there; it says which build made
    it. The encoder takes the same steps as the decoder, with the same signals in each batch, and
    decodes what it wrote. If that fails, the adaptive model codes the stage, without counts.

    The books of a level are one stage of the file, as the prior predicts them together.

    Args:
        priors: the priors of all levels, the coarsest first; they are put into evaluation mode.
        tokenizer: the name of its codes, see `CodeNames`; None takes that of the codes that the
            priors were trained on.

    Raises:
        OptionError: there is no prior, one needs a class or a text, or its grid has other axes.

    Example:
        >>> generator = vocabula.load_generator("runs/prior")
        >>> model = PriorModel(generator.priors)
        >>> vocabula.codec.write("photos.vcb", images, generator.tokenizer, entropy=model) > 0
        True
    """

    id = ModelId.PRIOR
    joins = True

    def __init__(self, priors: Sequence[Prior], tokenizer: str | None = None) -> None:
        if not priors:
            raise OptionError("entropy: expected a prior for each level, got none; give them")
        for prior in priors:
            known = prior.conditioning
            if known.withholdable and not known.dropout:
                raise OptionError(
                    "entropy: expected a prior that can do without class and text, got one trained "
                    "with conditioning.dropout=0; train it with dropout, or without classes"
                )
            if len(prior.codes.grid) != 2 and prior.codes.grid != (1,):
                raise OptionError(
                    "entropy: expected priors of grids of 2 axes, or of signals without axes, got "
                    f"the grid {prior.codes.grid}; use another model"
                )
        self.priors = tuple(prior.eval() for prior in priors)
        self.books = tuple(size for prior in priors for size in prior.codes.codebook_sizes)
        made_for = self.priors[0].origin.tokenizer if tokenizer is None else tokenizer
        self.hash = prior_hash(self.priors, made_for)
        self._fallback = AdaptiveModel()

    @property
    def build(self) -> str:
        """The build that it runs on."""
        return build_of(self.priors[0].device)

    def attachments(self) -> Mapping[int, bytes]:
        """The build; see `EntropyModel.attachments`."""
        return {Attachment.BUILD: self.build.encode()}

    def hint(self, header: Header) -> str:
        """The build that is needed; see `EntropyModel.hint`."""
        if header.build in ("", self.build):
            return ""
        return (
            f"its prior ran on torch {header.build}, and this is torch {self.build}, where it may "
            "give other probabilities: decode it there, or compress the original again"
        )

    def serves(self, books: tuple[int, ...]) -> bool:
        """Whether these are all books of its first levels."""
        ends = np.cumsum([len(prior.codes.codebook_sizes) for prior in self.priors])
        return len(books) in ends and super().serves(books)

    def refusal(self, grids: Sequence[tuple[int, ...]]) -> str:
        """See `EntropyModel.refusal`."""
        try:
            for prior, grid in zip(self.priors, grids, strict=False):  # `serves` counts them
                _check_grid(prior, grid)
        except OptionError as error:
            return str(error)
        return ""

    def memory(self, block: Block, stage: int) -> int:
        """See `EntropyModel.memory`."""
        if stage >= len(self.priors):
            return 0
        prior = self.priors[stage]
        rows = _SYMBOL_BYTES * max(prior.codes.symbol_sizes)
        code = _SYMBOL_BYTES * len(prior.codes.slots)

        @functools.cache  # a file may have millions of equal grids
        def each(grid: tuple[int, ...]) -> int:
            return rows + code * math.prod(grid) + prior.decoding_bytes(grid)

        found = _batches(prior, block, stage)
        return max(batch.signals * each(batch.grids[stage]) for batch in found)

    # ------------------------------------------------------------------ coding

    def encode(self, block: Block, stage: int) -> bytes:
        """See `EntropyModel.encode`.

        Raises:
            OptionError: no prior has this level, or its prior cannot compute the grid.
        """
        content = self._checked(block, stage)
        if content is not None:
            return _NETWORK + content
        warnings.warn(
            "prior: expected the same codes back from what was coded, got others or none; those "
            "are coded by the adaptive model instead",
            CodecWarning,
            stacklevel=2,
        )
        return _ADAPTIVE + self._fallback.encode(block, stage)

    def decode(self, block: Block, stage: int, content: bytes) -> list[Codes]:
        """See `EntropyModel.decode`."""
        kind, message = content[:1], content[1:]
        if kind == _ADAPTIVE:
            return self._fallback.decode(block, stage, message)
        if kind != _NETWORK:
            raise bad_words()
        try:
            return self._read(block, stage, message)
        except (OptionError, CodeError) as error:
            raise CodecError(str(error)) from None

    def bits(self, block: Block, stage: int) -> float:
        """See `EntropyModel.bits`."""
        total = 0.0

        def count(rows: Rows, known: Known) -> Codes:
            nonlocal total
            assert known is not None, "the codes are in the block"
            total += float((PRECISION - np.log2(shares_of(rows, known)[1])).sum())
            return known

        self._run(block, stage, count, known=True)
        return total

    def _checked(self, block: Block, stage: int) -> bytes | None:
        """The message of a stage; None if decoding it does not give back the codes."""
        streams = block.streams(stage)
        before = Block(block.books, block.grids, block.codes[: streams.start])
        try:
            content = self._write(block, stage)
            codes = self._read(before, stage, content)
        except CodecError:
            return None
        same = (np.array_equal(block.codes[s], c) for s, c in zip(streams, codes, strict=True))
        return content if all(same) else None

    def _write(self, block: Block, stage: int) -> bytes:
        encoder = new_encoder()

        def write(rows: Rows, known: Known) -> Codes:
            assert known is not None, "the codes are in the block"
            encoder.shares(*shares_of(rows, known))
            return known

        self._run(block, stage, write, known=True)
        return encoder.content()

    def _read(self, block: Block, stage: int, content: bytes) -> list[Codes]:
        decoder = new_decoder(content)
        codes = self._run(block, stage, lambda rows, _: decoder.rows(rows), known=False)
        decoder.end()
        return codes

    def _run(self, block: Block, stage: int, step: Step, *, known: bool) -> list[Codes]:
        """Run through a stage symbol by symbol and return its streams.

        Args:
            block: the segment.
            stage: the level.
            step: takes tables of the next symbols and gives the symbols.
            known: whether the block has the codes; `step` then gets them.
        """
        prior = self._prior(block, stage)
        streams = np.zeros((len(block.books[stage]), block.positions(stage)), np.uint32)
        with reproducible(prior.device):
            for batch in _batches(prior, block, stage):
                symbols = _symbols(prior, batch.codes(block, stage)) if known else None
                upper = [batch.codes(block, coarser) for coarser in range(stage)]
                codes = _decoded(prior, batch, upper, symbols, step)
                streams[:, batch.places(stage)] = codes
        return list(streams)

    def _prior(self, block: Block, stage: int) -> Prior:
        """The prior of a stage.

        Raises:
            OptionError: there is none, or it cannot compute one of the grids.
        """
        levels = [prior.codes.codebook_sizes for prior in self.priors[: stage + 1]]
        if levels != list(block.books[: stage + 1]):
            raise OptionError(
                f"prior: expected levels with books of {levels} codewords, got "
                f"{list(block.books[: stage + 1])}; use the codes that it was trained on"
            )
        for _, grid in block.grids[stage]:
            _check_grid(self.priors[stage], grid)
        return self.priors[stage]


def prior_hash(priors: Sequence[Prior], tokenizer: str) -> bytes:
    """The hash by which files name the model of priors.

    Args:
        priors: the priors of all levels, the coarsest first.
        tokenizer: the name of the tokenizer's codes; see `CodeNames`.
    """
    names = [tokenizer, *(prior.fingerprint() for prior in priors)]
    return short_hash(b"prior", *map(bytes.fromhex, names))


def load_prior(folder: str | Path, tokenizer: SignalTokenizer) -> PriorModel:
    """The prior model of a tokenizer's codes, on the tokenizer's device.

    Args:
        folder: what ``vocabula train-prior --out`` wrote.
        tokenizer: the tokenizer of the codes.

    Raises:
        CheckpointError: a part of the folder is missing or damaged.
        OptionError: the tokenizer is continuous, or the priors belong to another tokenizer.
    """
    discrete(tokenizer)
    training = tokenizer.training
    generator = load_generator(folder, tokenizer)
    tokenizer.train(training)
    names, got = tokenizer.code_names(), generator.tokenizer.code_names()
    if not names.know(got.written):
        raise OptionError(
            f"{folder}: expected a prior of tokenizer {names.in_words()}, got one of tokenizer "
            f"{got.in_words()}; give the prior that was trained on this run's codes"
        )
    priors = [prior.to(device_of(tokenizer)) for prior in generator.priors]
    return PriorModel(priors, names.written)


def _batches(prior: Prior, block: Block, stage: int) -> Iterator[Batch]:
    """The signals that are coded together: those of equal grids, or rows without axes."""
    return (row_batches if prior.codes.grid == (1,) else batches)(block, stage)


def _check_grid(prior: Prior, grid: tuple[int, ...]) -> None:
    """Refuse a grid of a file that the prior cannot compute; rows without axes are one each."""
    if prior.codes.grid != (1,):
        prior.check_grid(grid)


def _symbols(prior: Prior, codes: NDArray[np.int64]) -> Codes:
    """Symbols (B, n, S) of codes (B, *grid, books)."""
    return prior.codes.split(torch.from_numpy(codes)).flatten(1, -2).numpy().astype(np.uint32)


def _decoded(
    prior: Prior,
    batch: Batch,
    upper: Sequence[NDArray[np.int64]],
    known: Known,
    step: Step,
) -> NDArray[np.int64]:
    """The codes (books, B, n) of a batch, by cached decoding.

    Args:
        prior: the level's prior.
        batch: the signals.
        upper: codes (B, *grid, books) of the coarser levels.
        known: symbols (B, n, S), or None.
        step: see `PriorModel._run`.
    """
    count, grid = batch.signals, batch.grids[-1]
    shapes = [coarser.shape_of_code for coarser in prior.conditioning.upper]
    coarser = tuple(
        torch.from_numpy(codes).reshape(*codes.shape[:3], *shape)
        for codes, shape in zip(upper, shapes, strict=False)
    )
    condition = prior.conditioning.complete(Condition(upper=coarser), count, prior.device)
    decoding = prior.decoding(count, grid, condition)
    slots = prior.codes.slots
    symbols = torch.zeros(count, math.prod(grid), len(slots), dtype=torch.long)
    for position, number in prior.visits(grid):
        here = symbols[:, position]
        if slots[number].size > 1:
            logits = prior.codes.forbid(decoding.logits().cpu(), number, here)
            symbol = step(_rows(logits), None if known is None else known[:, position, number])
            here[:, number] = torch.from_numpy(symbol.astype(np.int64))
        decoding.push(here[:, number].to(prior.device, copy=True))
    codes = prior.codes.join(symbols).reshape(count, math.prod(grid), -1).permute(2, 0, 1).numpy()
    if (codes.max((1, 2)) >= prior.codes.codebook_sizes).any():
        raise bad_words()  # digits that occur in no code
    return codes


def _rows(logits: Tensor) -> Rows:
    """Cumulative widths (B, V + 1) of logits (B, V)."""
    shares = logits.double().softmax(-1)
    if not bool(shares.isfinite().all()):
        raise CodecError(
            "prior: expected finite probabilities, got others; the file or the prior is damaged"
        )
    return cumulative_rows(shares.mul(LARGEST_WEIGHT).long().numpy())
