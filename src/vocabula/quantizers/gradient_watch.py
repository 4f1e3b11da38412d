"""A warning where a codebook that learns by gradient gets none."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from vocabula.functional import readable

UPDATES = 100


class GradientWatch:
    """Warns once after 100 updates without a gradient, and rests after the first gradient.

    It is idle in a compiled graph.
    """

    def __init__(self) -> None:
        self._resting = False
        self._used = False
        self._updates = 0

    def follow(self, codebook: Tensor) -> None:
        """Take in the codewords (K, D) of a training forward pass."""
        if torch.compiler.is_compiling() or self._resting or not codebook.requires_grad:
            return
        self._used = True
        codebook.register_hook(self._arrived)

    def count(self, codebook_weight: float) -> None:
        """Count an update of a codebook whose loss term has this weight."""
        if torch.compiler.is_compiling() or self._resting or not self._used:
            return
        self._used = False
        self._updates += 1  # with auto_update before the backward pass of the same step
        if self._updates <= UPDATES:
            return
        self._resting = True
        cause = (
            "the loss was taken from the values alone, whose straight-through gradient goes to z "
            "and to no codeword: add the result's .loss to it"
            if codebook_weight > 0
            else "codebook_weight is 0: set it above 0, or use learning=EMA()"
        )
        warnings.warn(
            f"VectorQuantizer: expected a gradient for a codebook that learns by gradient, got "
            f"none in {UPDATES} updates; {cause}",
            stacklevel=2,
        )

    def _arrived(self, gradient: Tensor) -> None:
        values = readable(gradient)
        self._resting = self._resting or (values is not None and bool(values.any()))
