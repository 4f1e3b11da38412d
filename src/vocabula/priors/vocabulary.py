"""The integers that a language model reads: text, codes, coarser codes, classes and a start."""

from __future__ import annotations

import torch
from torch import Tensor

from vocabula.priors.codes import CodeGrid
from vocabula.priors.condition import NO_LABEL, Condition, Conditioning


class TokenVocabulary:
    """One vocabulary for a condition and the codes that follow it.

    A sequence is ``[text] [class] [coarser codes] start codes``, without parts that a prior does
    not know. Its length is the same for all: a missing class is the token "no class", a missing
    text is padding. Tokens are numbered in the order

        text | first symbol of a position | second | ... | symbols of coarser levels |
        classes | no class | start

    so that text tokens keep the numbers they have in ``tokenizer.json``, and without text and
    with one book a code is its own token.

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
        self._classes = self.size
        self.size += conditioning.classes + bool(conditioning.classes)
        self.start = self.size
        self.size += 1
        upper = sum(grid.positions * len(grid.slots) for grid in conditioning.upper)
        self.prefix_length = conditioning.text_length + bool(conditioning.classes) + upper + 1

    def prefix(self, condition: Condition, batch: int, device: torch.device) -> Tensor:
        """The tokens (B, prefix_length) before the codes, of a complete condition.

        Raises:
            CodeError: coarser codes have another grid than in training.
        """
        parts = []
        if condition.text is not None:
            parts.append(condition.text)
        if condition.labels is not None:
            none = condition.labels == NO_LABEL
            labels = condition.labels.masked_fill(none, self.conditioning.classes)
            parts.append(labels[:, None] + self._classes)
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

    def _reserve(self, codes: CodeGrid) -> list[int]:
        offsets = []
        for size in codes.symbol_sizes:
            offsets.append(self.size)
            self.size += size
        return offsets


def _flat(symbols: Tensor, offsets: list[int]) -> Tensor:
    return (symbols + torch.tensor(offsets, device=symbols.device)).flatten(1)
