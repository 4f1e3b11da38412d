"""The result types that every layer shares."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vocabula.levels import only

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Quantized:
    """What every quantizer returns, for any batch shape.

    Attributes:
        values: (*batch, dim), exactly ``decode(codes)`` in the codebook that was searched (with
            ``auto_update``, a training forward pass then moves it); gradient: the estimator's.
        codes: (*batch, *code_shape), int64.
        loss: (), the weighted sum of `losses`: add it to the reconstruction loss.
        losses: unweighted terms by name, each () or (books,).
    """

    values: Tensor
    codes: Tensor
    loss: Tensor
    losses: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """What a tokenizer's forward pass returns.

    Attributes:
        output: the reconstructed signal, same shape as the input; images lie in [0, 1].
        levels: the bottleneck's result at each level, the coarsest first, channel last.
        loss: (), the training loss: reconstruction plus the bottlenecks'.
        losses: unweighted terms by name, ``reconstruction`` among them; of several levels the
            bottlenecks' are named ``level1.commitment`` and so on.
    """

    output: Tensor
    levels: tuple[Quantized, ...]
    loss: Tensor
    losses: dict[str, Tensor] = field(default_factory=dict)

    @property
    def quantized(self) -> Quantized:
        """The bottleneck's result, where there is one level."""
        return only(self.levels, "Reconstruction.quantized")


@dataclass(frozen=True, slots=True)
class UsageReport:
    """How the codewords of each book were used over a stated window.

    Attributes:
        window: number of updates that the figures cover at most.
        vectors: (books,) vectors counted in the window.
        perplexity: (books,) exp of the entropy of the code histogram, in [1, K].
        usage: (books,) fraction of codewords used at least once.
        dead: (books,) number of codewords not used in the window.
        oldest: (books,) updates since the longest unused codeword was last used.
        norm_ratio: (books,) mean norm of the encoder's vectors over that of their codewords.
        largest_share: (books,) fraction of the vectors that the most used codeword takes.
    """

    window: int
    vectors: Tensor
    perplexity: Tensor
    usage: Tensor
    dead: Tensor
    oldest: Tensor
    norm_ratio: Tensor
    largest_share: Tensor
