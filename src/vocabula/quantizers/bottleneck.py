"""The base of all bottlenecks, discrete and continuous: what tokenizers ask of any of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from vocabula.quantizers.foreign import FOREIGN_OPTIONS
from vocabula.quantizers.pending import Pending
from vocabula.signals.codes import CodeSpec
from vocabula.types import Quantized, UsageReport


class Bottleneck(Pending, ABC):
    """A layer that narrows its input: to discrete codes or to a continuous variable.

    A continuous bottleneck has no books; what belongs to codebooks does nothing.

    Attributes:
        dim: D, the width of the vectors that go in and come out.
        spec: what the codes of one vector are; without books for a continuous bottleneck.
        codebook_sizes: K of each book; () without books.
        code_shape: of the codes of one vector; (0,) without books.
        channel_dim: where the vectors' components are.
        frozen: whether learning is off even in training mode; see `freeze`.
    """

    component_kind = "quantizer"
    spec = CodeSpec(())
    foreign_options: ClassVar[Mapping[str, str]] = FOREIGN_OPTIONS
    codebook_sizes: tuple[int, ...] = ()
    code_shape: tuple[int, ...] = (0,)
    channel_dim: int = -1
    frozen: bool = False
    dim: int

    @abstractmethod
    def forward(self, z: Tensor, mask: Tensor | None = None) -> Quantized:
        """Pass (*batch, D) vectors through; `mask` (*batch) marks the ones that count."""

    @abstractmethod
    def evaluate(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Codes and values of vectors (*batch, D) as in evaluation, in any mode.

        Returns:
            Codes (*batch, *code_shape) int64, empty without books; and values (*batch, D).
        """

    @abstractmethod
    def latent_bits(self, z: Tensor) -> Tensor | float:
        """Bits of the codes or the continuous latents of signals.

        Args:
            z: vectors (B, *grid, D).

        Returns:
            (B,), or a number if they are the same for every signal.
        """

    @property
    def books(self) -> int:
        """The number of codes per vector."""
        return self.spec.books

    @property
    def bits(self) -> float:
        """Bits of one vector's codes at a fixed length: the sum of log2 K over the books."""
        return self.spec.bits

    @property
    def discrete(self) -> bool:
        """Whether there are codes."""
        return bool(self.spec.codebook_sizes)

    def posterior(self, z: Tensor) -> tuple[Tensor, Tensor] | None:
        """Mean and log variance, each (*batch, D), of a continuous latent; None for codes."""
        return None

    def sample(self, z: Tensor, *, generator: torch.Generator | None = None) -> Tensor | None:
        """A draw (*batch, D) of a continuous latent of vectors z; None for codes."""
        return None

    def update(self) -> None:
        """Apply pending codebook learning; nothing without a codebook."""

    def freeze(self, frozen: bool = True) -> None:
        """Switch all learning off, or on again."""
        self.requires_grad_(not frozen)

    def usage_report(self) -> UsageReport | None:
        """The recent use of the codewords; None if they are not counted."""
        return None
