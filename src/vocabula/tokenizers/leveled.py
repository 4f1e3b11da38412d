"""What tokenizers of several levels share, however their levels depend on one another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vocabula.errors import OptionError
from vocabula.levels import level_name
from vocabula.nn.base import Decoder
from vocabula.signals import Image, Signal
from vocabula.tokenizers.base import SignalTokenizer
from vocabula.tokenizers.code_level import CodeLevel
from vocabula.tokenizers.gaussian import Gaussian
from vocabula.tokenizers.likelihood import Likelihood


class SeveralLevels(SignalTokenizer):
    """Turns signals into one tensor of codes per level."""

    @torch.no_grad()
    def encode(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, ...]:
        """Codes (B, *grid, *code_shape), int64, of signals (B, C, *extent), one tensor per level.

        The coarsest comes first; the grid of each as in `grids`.

        Args:
            x: signals.
            mask: (B, *extent) bool, True where a signal is; codes outside are -1.

        Raises:
            DataError: wrong shape, dtype, channels or values, also of the mask.
        """
        return tuple(self._encode_all(x, mask))


class LeveledTokenizer(SeveralLevels):
    """Turns signals into codes of several levels, each with its own networks.

    A subclass calls `_hold` in its constructor.
    """

    @property
    def levels(self) -> tuple[CodeLevel, ...]:
        """The levels of codes, the coarsest first."""
        modules: Any = self.hierarchy
        return tuple(
            CodeLevel(level_name(i), level.quantizer, (stride,) * len(self.signal.axes))
            for i, (level, stride) in enumerate(zip(modules, self._strides, strict=True))
        )

    @property
    def _last_decoder(self) -> Decoder:
        last: Any = self.hierarchy[-1]
        decoder: Decoder = last.decoder
        return decoder

    def _hold(
        self,
        levels: Sequence[Any],
        strides: Sequence[int],
        likelihood: Likelihood | None,
        signal: Signal | None,
        owner: str,
    ) -> None:
        """Set the parts: the levels, their strides in elements of the signal, and the rest.

        Raises:
            OptionError: there are fewer than two levels.
        """
        if len(levels) < 2:
            raise OptionError(
                f"{owner} levels: expected at least 2, got {len(levels)}; for one level "
                "give encoder, quantizer and decoder"
            )
        self.hierarchy = nn.ModuleList(levels)
        self.likelihood: Likelihood = Gaussian() if likelihood is None else likelihood
        self.scaling = None
        self.channels = levels[-1].encoder.in_channels
        self.signal: Signal = Image(self.channels) if signal is None else signal
        self._strides = list(strides)
        self.strides = (self._strides[0],) * len(self.signal.axes)
