"""How close compressed signals are to the originals, measured on a few of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vocabula.data.long_signal import Parts
from vocabula.evaluation.metrics import METRICS
from vocabula.pipelines.fidelity import without
from vocabula.tokenizers import SignalTokenizer
from vocabula.tokenizers.inference import inference
from vocabula.tokenizers.tiles import Tile, tiles

MOST_VALUES = 2**22
"""Most values of a file that are decoded."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """Signals that are decoded to measure them, or a part of one.

    Attributes:
        values: (B, C, *extent).
        codes: of each level, of all that the decoder sees.
        size: the extent of what the decoder gives.
        place: `values` in it.
        signals: how many signals these are.
    """

    values: Tensor
    codes: list[Tensor]
    size: tuple[int, ...]
    place: tuple[slice, ...]
    signals: float


class SignalFidelity:
    """The mean squared error of compressed signals, in terms of their variance.

    Decoding may take as long as encoding, so at most `MOST_VALUES` values of each file are decoded,
    in whole signals that are spread evenly over it; of a long one, in parts spread over it.

    Attributes:
        figures: see the `Fidelity` of the kind of signal; empty before.
        share: fraction of the signals that were measured.
    """

    def __init__(self) -> None:
        self.figures: dict[str, float | int | None] = {}
        self.share = 0.0
        self._seen, self._measured = 0, 0.0
        self._kept: list[_Kept] = []
        self._excerpts: list[tuple[Tile, list[Tensor]]] = []
        self._tiles = 1

    @property
    def words(self) -> str:
        """The result for the last line of a command; empty where nothing was measured."""
        if not self.figures:
            return ""
        relative = self.figures["mse_over_variance"]
        mse = f"MSE {self.figures['mse']:.4g}"
        return f"{mse if relative is None else f'MSE / variance {relative:.4g}'}{self.about}"

    @property
    def about(self) -> str:
        """On how many signals it was measured, if not on all."""
        return "" if self._measured == self._seen else f" (on {self.share:.1%} of them)"

    def begin(self, tokenizer: SignalTokenizer, count: int) -> None:
        """Say how many signals the next file has."""
        if not self._seen:
            self._tokenizer = tokenizer
            self._figures = METRICS.of(tokenizer.signal.kind).measuring(tokenizer.signal)
        self._count, self._at, self._kept = count, 0, []

    def look(self, x: Tensor, levels: Sequence[Tensor]) -> None:
        """Keep some signals of a batch (B, C, *extent), and their codes."""
        chosen = self._chosen(len(x), x[0].numel())
        if len(chosen):
            codes = [level[chosen.to(level.device)].cpu() for level in levels]
            size = tuple(x.shape[2:])
            everything = tuple(slice(side) for side in size)
            self._kept.append(_Kept(x[chosen], codes, size, everything, len(chosen)))

    def listening(self, x: Parts) -> Parts:
        """A long signal, some of whose samples are kept when it is read; then `look_at_parts`."""
        tokenizer, self._excerpts = self._tokenizer, []
        values = x.length * tokenizer.channels
        if not len(self._chosen(1, values)):
            return x
        cut = list(tiles((x.length,), tokenizer.strides[0], tokenizer.decode_context or 0))
        most = min(len(cut), max(1, len(cut) * MOST_VALUES // values))
        numbers = [number * len(cut) // most for number in range(most)]
        self._excerpts, self._tiles = [(cut[number], []) for number in numbers], len(cut)

        def read() -> Iterator[Tensor]:
            at = 0
            for part in x.read():
                after = at + part.shape[2]
                for tile, held in self._excerpts:
                    first, last = tile.ranges[0].first, tile.ranges[0].after
                    if first < after and last > at:
                        held.append(part[..., max(0, first - at) : last - at].clone())
                at = after
                yield part

        return Parts(x.length, read)

    def look_at_parts(self, levels: Sequence[Tensor]) -> None:
        """Keep the codes (1, n, *code_shape) of what was kept of a long signal."""
        for tile, held in self._excerpts:
            pairs = zip(levels, self._tokenizer.levels, strict=True)
            codes = [codes[:, *tile.seen(level.stride)].long() for codes, level in pairs]
            values, share = torch.cat(held, 2), 1 / self._tiles
            self._kept.append(_Kept(values, codes, tile.size, tile.kept(), share))
        self._excerpts = []

    def _chosen(self, signals: int, values: int) -> Tensor:
        """Which of the next signals, of so many values each, are measured."""
        most = max(1, min(self._count, MOST_VALUES // values))
        ends = (torch.arange(self._at, self._at + signals + 1) * most) // self._count
        self._at += signals
        return (ends[1:] > ends[:-1]).nonzero()[:, 0]

    def finish(self, left: int) -> None:
        """Decode what was kept of the file.

        Args:
            left: how many streams of codes the file holds.
        """
        for one in self._kept:
            with inference(self._tokenizer) as device:
                cut = [level.to(device) for level in without(one.codes, left, self._tokenizer)]
                shown = self._tokenizer.decode(cut, size=one.size)[:, :, *one.place]
                self._figures.add(shown.cpu(), self._tokenizer.signal.to_values(one.values))
            self._measured += one.signals
        self._seen, self._kept = self._seen + self._at, []
        self.figures = dict(self._figures.figures())
        self.share = self._measured / self._seen
