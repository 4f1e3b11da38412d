"""ConvNeXt blocks over frames: few frames a second make a wide network cheap.

Blocks hold features as rows (B, n, width). A `mask` (B, n) says which frames are a signal's: the
others are 0 where a convolution looks, as beyond the ends of a signal alone, so that a padded batch
gives what its signals alone give.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import conv1d, gelu, linear, pad

from vocabula.nn.causal import Memory

KERNEL = 7
"""Frames that a convolution takes."""
_FEW = 4
"""So many frames are multiplied out: to prepare a convolution costs more than they do."""
_FIRST_SCALE = 0.1
"""At first a block's share of the sum: small, so that deep stacks begin near the identity."""


class Spread(nn.Conv1d):
    """A convolution over the frames of rows (B, n, inputs) -> (B, n, outputs).

    Args:
        inputs: channels in.
        outputs: channels out.
        kernel: frames that it takes.
        causal: it takes its own frame and those before it, else as many on both sides.
        groups: 1, or as many as channels: each is then convolved alone.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, causal: bool, groups: int = 1
    ) -> None:
        super().__init__(inputs, outputs, kernel, groups=groups)
        after = 0 if causal else (kernel - 1) // 2
        self.around = (kernel - 1 - after, after)

    def forward(
        self, rows: Tensor, mask: Tensor | None = None, memory: Memory | None = None
    ) -> Tensor:
        """Convolve rows (B, n, inputs) of which a mask (B, n) says which are a signal's."""
        seen = rows if mask is None else rows * mask.unsqueeze(-1)
        if memory is None:
            return self._convolved(pad(seen.transpose(1, 2), self.around))
        seen = memory.extended(self, seen, self.around[0], dim=1)
        if rows.shape[1] <= _FEW:
            return self._multiplied(seen)
        return self._convolved(seen.transpose(1, 2))

    def _convolved(self, x: Tensor) -> Tensor:
        return conv1d(x, self.weight, self.bias, groups=self.groups).transpose(1, 2)

    def _multiplied(self, rows: Tensor) -> Tensor:
        windows = rows.unfold(1, self.kernel_size[0], 1)  # (B, n, inputs, kernel)
        if self.groups == 1:
            return linear(windows.flatten(2), self.weight.flatten(1), self.bias)
        found = (windows * self.weight[:, 0]).sum(-1)
        return found if self.bias is None else found + self.bias


class ConvNeXtBlock(nn.Module):
    """A residual block: ``x + g * W2 gelu(W1 film(norm(spread(x))))``.

    ``spread`` is a convolution of each channel alone, 7 frames wide; W1 widens. ``film`` scales
    and shifts by a vector e, (1 + a(e)) x + b(e), where there is one.

    Args:
        width: channels in and out.
        inner: channels between W1 and W2.
        causal: see `Spread`.
        embedding: width of the vector that modulates; 0: none does.

    Shape:
        (B, n, width) -> the same.

    Source: Liu et al. 2022, "A ConvNet for the 2020s", over time as in Siuzdak 2023, "Vocos".
    """

    def __init__(self, width: int, inner: int, *, causal: bool = False, embedding: int = 0) -> None:
        super().__init__()
        self.spread = Spread(width, width, KERNEL, causal=causal, groups=width)
        self.norm = nn.LayerNorm(width)
        self.film = nn.Linear(embedding, 2 * width) if embedding else None
        if self.film is not None:
            nn.init.zeros_(self.film.weight)
            nn.init.zeros_(self.film.bias)
        self.first = nn.Linear(width, inner)
        self.second = nn.Linear(inner, width)
        self.scale = nn.Parameter(self.norm.weight.new_full((width,), _FIRST_SCALE))

    def forward(
        self,
        rows: Tensor,
        mask: Tensor | None = None,
        embedded: Tensor | None = None,
        memory: Memory | None = None,
    ) -> Tensor:
        """Add the block's correction to rows (B, n, width)."""
        seen = self.norm(self.spread(rows, mask, memory))
        if self.film is not None and embedded is not None:
            factor, shift = self.film(embedded).unsqueeze(1).chunk(2, dim=-1)
            seen = (1 + factor) * seen + shift
        change: Tensor = self.second(gelu(self.first(seen)))
        return rows + self.scale * change


class ConvNeXt(nn.Module):
    """A convolution, a norm, blocks and a last norm over frames.

    Args:
        inputs: channels in.
        width: channels out.
        blocks: number of blocks.
        causal: see `Spread`.
        embedding: width of the vectors that modulate every block; 0: none do.

    Shape:
        (B, n, inputs) -> (B, n, width).
    """

    def __init__(
        self, inputs: int, width: int, blocks: int, *, causal: bool = False, embedding: int = 0
    ) -> None:
        super().__init__()
        self.first = Spread(inputs, width, KERNEL, causal=causal)
        self.norm = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(
            ConvNeXtBlock(width, 3 * width, causal=causal, embedding=embedding)
            for _ in range(blocks)
        )
        self.last = nn.LayerNorm(width)

    @property
    def context(self) -> int:
        """Frames on each side, or before, on which a frame depends."""
        return (1 + len(self.blocks)) * max(self.first.around)

    def forward(
        self,
        rows: Tensor,
        mask: Tensor | None = None,
        embedded: Tensor | None = None,
        memory: Memory | None = None,
    ) -> Tensor:
        """Pass rows (B, n, inputs) through all layers.

        Args:
            rows: features of frames.
            mask: (B, n) bool, which frames are a signal's; None: all.
            embedded: (B, embedding), what modulates every block.
            memory: of a stream, of which these are the next frames; for causal layers.
        """
        rows = self.norm(self.first(rows, mask, memory))
        for block in self.blocks:
            rows = block(rows, mask, embedded, memory)
        last: Tensor = self.last(rows)
        return last
