"""The integers that a language model reads: text, codes, coarser codes, attributes, a start."""

from __future__ import annotations

import torch
from torch import Tensor

from vocabula.priors.codes import CodeGrid
from vocabula.priors.condition import Conditioning
from vocabula.signals.attributes import NOT_GIVEN
from vocabula.signals.condition import Condition

TIMES = 64
"""Different times of a language model, from the start to the end of the longest signal."""


class TokenVocabulary:
    """One vocabulary for a condition and the codes that follow it.

    A sequence is ``[text] [class] [other attributes] [times] [coarser codes] start codes``, without
    parts that a prior does not know. Its length is the same for all: a missing class is the token
    "no class", and so on, a missing text is padding. Tokens are numbered in the order

        text | first symbol of a position | second | ... | symbols of coarser levels |
        classes | no class | values of another attribute | no value | ... | starts | totals | start

    so that text tokens keep the numbers they have in ``tokenizer.json``, and without text and
    with one book a code is its own token. Times are two tokens: where in the whole signal the codes
    start, and how long it is, in `TIMES` equal steps up to the longest signal of the training data.

    Args:
        codes: what the codes look like.
        conditioning: what they can be conditioned on.

    Attributes:
        size: number of tokens.
        start: the token before the first code.
        prefix_length: number of tokens before the first code, including ``start``.
        offsets: the first token of each symbol of a position.
        upper_offsets: the same for each coarser level.
    """

    def __init__(self, codes: CodeGrid, conditioning: Conditioning) -> None:
        self.codes, self.conditioning = codes, conditioning
        self.size = conditioning.text_tokens
        self.offsets = self._reserve(codes)
        self.upper_offsets = [self._reserve(grid) for grid in conditioning.upper]
        self._attributes: dict[str, int] = {}
        for name, size in conditioning.values.items():
            self._attributes[name] = self.size
            self.size += size + 1
        self._times = self.size
        self.size += 2 * TIMES if conditioning.timing else 0
        self.start = self.size
        self.size += 1
        upper = sum(grid.positions * len(grid.slots) for grid in conditioning.upper)
        times = 2 if conditioning.timing else 0
        self.prefix_length = conditioning.text_length + len(self._attributes) + times + upper + 1

    def prefix(self, condition: Condition, batch: int, device: torch.device) -> Tensor:
        """The tokens (B, prefix_length) before the codes, of a complete condition.

        Raises:
            CodeError: coarser codes have another grid than in training.
        """
        parts = []
        if condition.text is not None:
            parts.append(condition.text)
        for name, size in self.conditioning.values.items():
            values = condition.attributes[name]
            values = values.masked_fill(values == NOT_GIVEN, size)
            parts.append(values[:, None] + self._attributes[name])
        if condition.timing is not None:
            parts.append(self._timing(condition.timing))
        for codes, grid, offsets in zip(
            condition.upper, self.conditioning.upper, self.upper_offsets, strict=True
        ):
            grid.check(codes, grid.grid)  # a prefix has a fixed length
            parts.append(_flat(grid.split(codes), offsets))
        parts.append(torch.full((batch, 1), self.start, device=device))
        return torch.cat(parts, 1)

    def tokens(self, symbols: Tensor) -> Tensor:
        """The tokens (B, n x S) of symbols (B, *grid, S)."""
        return _flat(symbols, self.offsets)

    def _timing(self, timing: Tensor) -> Tensor:
        """The tokens (B, 2) of start and total (B, 2)."""
        steps = (timing - timing.new_tensor([0, 1])) * TIMES // self.conditioning.timing
        return steps.clamp(max=TIMES - 1) + self._times + timing.new_tensor([0, TIMES])

    def _reserve(self, codes: CodeGrid) -> list[int]:
        offsets = []
        for size in codes.symbol_sizes:
            offsets.append(self.size)
            self.size += size
        return offsets


def _flat(symbols: Tensor, offsets: list[int]) -> Tensor:
    return (symbols + torch.tensor(offsets, device=symbols.device)).flatten(1)
