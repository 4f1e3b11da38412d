"""The result types that every layer shares."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from vocabula.levels import only

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Quantized:
    """The result of every quantizer, for any batch shape; ``values, codes, loss = quantizer(z)``.

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

    def __iter__(self) -> Iterator[Tensor]:
        """Values, codes and loss, so that the result unpacks into three."""
        return iter((self.values, self.codes, self.loss))


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """What a tokenizer makes of signals; its forward pass returns it, and `analyse` with more.

    Outside of the signals of a padded batch codes are -1, and values, output and target 0.

    Attributes:
        output: the reconstructed signal, same shape as the input; images lie in [0, 1].
        levels: the bottleneck's result at each level, the coarsest first, channel last.
        loss: (), the training loss: reconstruction plus the bottlenecks'.
        losses: unweighted terms by name, including ``reconstruction``; with several levels, the
            bottlenecks' terms are named ``level1.commitment`` and so on.
        target: the input in floating point, as used by the loss.
        parameters: what the decoder gave, of which the likelihood makes loss and output; only of a
            training pass.
    """

    output: Tensor
    levels: tuple[Quantized, ...]
    loss: Tensor
    losses: dict[str, Tensor]
    target: Tensor
    parameters: Tensor | None = field(default=None, kw_only=True)

    @property
    def quantized(self) -> Quantized:
        """The bottleneck's result, if there is one level."""
        return only(self.levels, "Reconstruction.quantized")

    @property
    def codes(self) -> Tensor:
        """The codes (B, *grid, *code_shape) int64, if there is one level."""
        return only(self.levels, "Reconstruction.codes").codes


@dataclass(frozen=True, slots=True)
class UsageReport:
    """How the codewords of each book were used over a stated window; print it to read it.

    Attributes:
        window: number of updates that the figures cover at most.
        vectors: (books,) vectors counted in the window.
        perplexity: (books,) exp of the entropy of the code histogram, in [1, K].
        usage: (books,) fraction of codewords used at least once.
        dead: (books,) number of codewords not used in the window.
        oldest: (books,) updates since the longest unused codeword was last used.
        norm_ratio: (books,) mean norm of the encoder's vectors over that of their codewords.
        largest_share: (books,) fraction of the vectors that the most used codeword takes.
        norm: (books,) mean norm of the codewords that were chosen; None where it is not known.
        mean_ratio: norm of the mean of recent vectors of this process over their root mean square
            distance from it; None where it is not known.
        scale_ratio: largest standard deviation of a component of these vectors over the median one.
        advice: problems and the quantizer's options that fix them, a sentence or two each.
    """

    window: int
    vectors: Tensor
    perplexity: Tensor
    usage: Tensor
    dead: Tensor
    oldest: Tensor
    norm_ratio: Tensor
    largest_share: Tensor
    norm: Tensor | None = None
    mean_ratio: float | None = None
    scale_ratio: float | None = None
    advice: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain numbers and lists with one item per book, for JSON."""
        figures = {f.name: getattr(self, f.name) for f in fields(self)}
        return {
            name: value.tolist() if hasattr(value, "tolist") else value
            for name, value in (figures | {"advice": list(self.advice)}).items()
        }

    def __str__(self) -> str:
        """One line per book within 80 columns, and the advice."""
        figures = self.to_dict()
        lines = [
            f"Use of the codewords over the last {self.window:,} updates at most",
            "book    vectors   usage  perplexity    dead  oldest  largest share  norm ratio",
        ]
        rows = zip(*(figures[name] for name in _COLUMNS), strict=True)
        for book, (vectors, usage, perplexity, dead, oldest, share, ratio) in enumerate(rows, 1):
            lines.append(
                f"{book:4} {vectors:10,} {usage:7.1%} {perplexity:11,.1f} {dead:7,} {oldest:7,} "
                f"{share:14.1%} {ratio:11.2f}"
            )
        if not sum(figures["vectors"]):
            lines.append("Nothing was counted yet: only training counts.")
        return "\n".join([*lines, *(textwrap.fill(text, 80) for text in self.advice)])


_COLUMNS = (
    *("vectors", "usage", "perplexity", "dead", "oldest"),
    *("largest_share", "norm_ratio"),
)
