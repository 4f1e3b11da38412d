"""How many codes differ from those of float32 on the CPU, each signal in a batch of its own."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from vocabula.levels import levels_of
from vocabula.tokenizers import SignalTokenizer
from vocabula.tokenizers.inference import device_of

#: Signals encoded again, evenly spaced over the data; fewer where they are large.
SIGNALS = 256

#: Elements of the signals encoded again, such as 21 images of 256 x 256 pixels and 3 channels.
ELEMENTS = 2**22


class CodeReference:
    """Encodes some signals again and counts the codes that come out otherwise.

    Args:
        tokenizer: the tokenizer that is measured; its weights are copied, in float32.
        total: how many signals there will be.

    Attributes:
        compared: codes compared so far, over all levels and books.
        differing: how many of them differ.
    """

    def __init__(self, tokenizer: SignalTokenizer, total: int) -> None:
        self.compared = self.differing = 0
        self._tokenizer = copy.deepcopy(tokenizer).to("cpu", torch.float32).eval()
        self._every = -(-total // SIGNALS) or 1
        self._seen, self._elements = 0, ELEMENTS

    @torch.no_grad()
    def add(self, signals: Tensor, codes: Sequence[Tensor]) -> None:
        """Compare some of the signals.

        Args:
            signals: (B, C, *extent), as the tokenizer got them.
            codes: (B, *grid, *code_shape) of each level, which the tokenizer gave.
        """
        first = -self._seen % self._every
        self._seen += len(signals)
        for row in range(first, len(signals), self._every):
            one = signals[row : row + 1]
            if self.compared and one.numel() > self._elements:
                return
            self._elements -= one.numel()
            with torch.autocast("cpu", enabled=False):
                reference = levels_of(self._tokenizer.encode(_plain(one)))
            for level, expected in zip(codes, reference, strict=True):
                self.compared += expected.numel()
                self.differing += int((level[row : row + 1].cpu() != expected).sum())

    @property
    def share(self) -> float | None:
        """The share of the compared codes that differ; None before any."""
        return self.differing / self.compared if self.compared else None


def _plain(signals: Tensor) -> Tensor:
    """Signals on the CPU; floating-point ones in float32."""
    signals = signals.cpu()
    return signals.float() if signals.is_floating_point() else signals


def computes_otherwise(tokenizer: SignalTokenizer) -> bool:
    """Whether a tokenizer computes on another device, or in another precision, than the reference.

    That is also the case within ``torch.autocast``.
    """
    device = device_of(tokenizer)
    floating = (p for p in tokenizer.parameters() if p.is_floating_point())
    exact = device.type == "cpu" and all(p.dtype == torch.float32 for p in floating)
    return not exact or torch.is_autocast_enabled(device.type)
