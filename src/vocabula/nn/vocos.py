"""The decoder at the frame rate: ConvNeXt blocks over frames, then an inverse STFT.

::

    z (B, dim, n) --ConvNeXt--> --linear--> log magnitude m, phase p of each frame's spectrum
    y = overlap-add(w irfft(e^m e^(i p))) / overlap-add(w^2)         exactly n hop samples

A frame's window lies around the middle of its hop. Frames that are not there add nothing to either
sum, at both ends of a signal and in the padding of a batch, so every sample is scaled rightly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Lt
from torch import Tensor, nn
from torch.nn.functional import fold

from vocabula.errors import OptionError
from vocabula.nn.base import Decoder
from vocabula.nn.causal import Memory
from vocabula.nn.conditional import AttributeEmbedding, ConditionalDecoder
from vocabula.nn.convnext import ConvNeXt
from vocabula.nn.jitter import TimeJitter
from vocabula.registry import component
from vocabula.signals import Condition

_LOUDEST = 6.0
"""Largest log magnitude: e^6 in one coefficient is above full scale for any window here."""


class InverseSTFT(nn.Module):
    """Features of frames to a wave: a spectrum for each frame, the frames overlapped and added.

    Args:
        width: of the features.
        channels: of the wave.
        hop: samples per frame.
        window: samples of a frame's window, at least the hop.
        owner: the component that a message names.

    Attributes:
        context: frames on each side on which the samples of a hop depend.

    Shape:
        (B, n, width) -> (B, channels, n hop).

    Raises:
        OptionError: the window is shorter than the hop.

    Source: Siuzdak 2023, "Vocos", section 3; the phase is the angle of two outputs, which needs no
    wrapping.
    """

    curve: Tensor

    def __init__(self, width: int, channels: int, hop: int, window: int, *, owner: str) -> None:
        super().__init__()
        if window < hop:
            raise OptionError(
                f"{owner}.window: expected at least its hop, {hop}, got {window}; widen it"
            )
        self.hop, self.window, self.channels = hop, window, channels
        self.before = (window - hop) // 2
        self.context = -(-(window - hop - self.before) // hop)
        self.spectrum = nn.Linear(width, channels * 3 * (window // 2 + 1))
        # without its zeros, so that the samples of a lone frame are not divided by 0
        curve = torch.hann_window(window + 2, periodic=False)[1:-1]
        self.register_buffer("curve", curve, persistent=False)

    def forward(
        self, rows: Tensor, mask: Tensor | None = None, memory: Memory | None = None
    ) -> Tensor:
        """The wave (B, channels, n hop) of features (B, n, width).

        With the memory of a stream, the hops whose frames are now all known.
        """
        frames = self._frames(rows)
        if memory is not None:
            return self._next(frames, memory)
        return self._wave(frames, mask)

    def rest(self, memory: Memory) -> Tensor | None:
        """The last hops of a stream, which no further frame follows."""
        kept = memory.frames.pop(self, None)
        if kept is None:
            return None
        frames, past = kept
        return self._wave(frames)[..., past * self.hop :]

    def _frames(self, rows: Tensor) -> Tensor:
        """The windowed samples (B, channels, n, window) of features (B, n, width)."""
        parts = self.spectrum(rows).float().unflatten(-1, (self.channels, 3, -1))
        size, real, imaginary = parts.unbind(3)
        size = size.clamp(max=_LOUDEST).exp()
        length = (real.square() + imaginary.square() + 1e-9).sqrt()
        spectrum = torch.complex(size * real / length, size * imaginary / length)
        frames = torch.fft.irfft(spectrum, n=self.window, dim=-1) * self.curve.float()
        return frames.transpose(1, 2)

    def _next(self, frames: Tensor, memory: Memory) -> Tensor:
        """The hops that further frames complete; keeps those that later hops need."""
        kept, past = memory.frames.get(self, (frames[:, :, :0], 0))
        frames = torch.cat([kept, frames], dim=2)
        ready = max(0, frames.shape[2] - past - self.context)
        count = frames.shape[2]
        scaled, scale = memory.scales.get(self, (0, frames))
        if scaled != count:  # each push of as many frames has the same
            memory.scales[self] = (count, scale := self._scale(count))
        wave = self._added(frames) / scale
        wave = wave[..., past * self.hop : (past + ready) * self.hop]
        first = max(0, past + ready - self.context)
        memory.frames[self] = (frames[:, :, first:], past + ready - first)
        return wave

    def _wave(self, frames: Tensor, mask: Tensor | None = None) -> Tensor:
        """Frames (B, channels, n, window) overlapped, added and scaled: (B, channels, n hop)."""
        if mask is not None:
            frames = frames * mask[:, None, :, None]
        return self._added(frames) / self._scale(frames.shape[2], mask)

    def _scale(self, count: int, mask: Tensor | None = None) -> Tensor:
        """What overlapping windows of `count` frames add up to: (B or 1, 1, count hop)."""
        weight = self.curve.float().square().expand(1, 1, count, self.window)
        if mask is not None:
            weight = weight * mask[:, None, :, None]
        total = self._added(weight)
        return torch.where(total > 0, total, 1.0)  # beyond a signal's end no frame adds: 0 / 1

    def _added(self, frames: Tensor) -> Tensor:
        """Frames (B, channels, n, window) overlapped and added: (B, channels, n hop)."""
        batch, channels, count, _ = frames.shape
        whole = (count - 1) * self.hop + self.window
        columns = frames.flatten(0, 1).transpose(1, 2)
        added = fold(columns, (1, whole), (1, self.window), stride=(1, self.hop))
        here = slice(self.before, self.before + count * self.hop)
        return added[:, 0, 0, here].unflatten(0, (batch, channels))


class FrameDecoder(Decoder):
    """A decoder of blocks over frames and an inverse STFT.

    A subclass calls `_hold` in its constructor, and `_decoded` in its forward pass.

    Attributes:
        frames: the blocks.
        head: the inverse STFT.
    """

    axes: ClassVar[int] = 1
    masked: ClassVar[bool] = True
    frames: ConvNeXt
    head: InverseSTFT

    @property
    def context(self) -> int:
        """Frames on each side on which the samples of a hop depend."""
        return self.frames.context + self.head.context

    def rest(self, memory: Memory) -> Tensor | None:
        """The last hops of a stream."""
        return self.head.rest(memory)

    def _hold(self, dim: int, frames: ConvNeXt, head: InverseSTFT, *, causal: bool) -> None:
        """Set the parts, and what follows from them."""
        self.frames, self.head = frames, head
        self.dim, self.out_channels, self.stride = dim, head.channels, head.hop
        self.causal, self.lookahead = causal, head.context

    def _decoded(
        self,
        z: Tensor,
        mask: Tensor | None,
        memory: Memory | None,
        embedded: Tensor | None = None,
    ) -> Tensor:
        """The wave of vectors z (B, dim, n), modulated by vectors (B, width) if there are any."""
        rows = self.frames(z.transpose(1, 2), mask, embedded, memory)
        wave: Tensor = self.head(rows, mask, memory)
        return wave


@component("decoder", "vocos")
class VocosDecoder(FrameDecoder):
    """A ConvNeXt over frames and an inverse STFT.

    Args:
        dim: width of the quantizer's vectors.
        out_channels: the likelihood's parameters per sample.
        hop: samples per frame, the encoder's.
        window: samples of a frame's window, at least the hop.
        hidden: width of the blocks.
        blocks: number of them.
        causal: the samples of a hop depend on no frame later than those whose windows reach it.

    Shape:
        (B, dim, n) -> (B, out_channels, n hop).

    Raises:
        OptionError: the window is shorter than the hop.

    Example:
        >>> VocosDecoder(8, 1, hop=5, window=16, hidden=8)(torch.zeros(1, 8, 6)).shape
        torch.Size([1, 1, 30])

    Source: Siuzdak 2023, "Vocos: Closing the gap between time-domain and Fourier-based neural
    vocoders", without its adversary.
    """

    def __init__(
        self,
        dim: Annotated[int, Ge(1)],
        out_channels: Annotated[int, Ge(1)],
        *,
        hop: Annotated[int, Ge(1)] = 160,
        window: Annotated[int, Ge(2)] = 512,
        hidden: Annotated[int, Ge(1)] = 192,
        blocks: Annotated[int, Ge(0)] = 4,
        causal: bool = False,
    ) -> None:
        super().__init__()
        self._hold(
            dim,
            ConvNeXt(dim, hidden, blocks, causal=causal),
            InverseSTFT(hidden, out_channels, hop, window, owner="decoder vocos"),
            causal=causal,
        )

    def forward(
        self, z: Tensor, *, mask: Tensor | None = None, memory: Memory | None = None
    ) -> Tensor:
        """Decode vectors z (B, dim, n), of which a mask (B, n) says which are a signal's."""
        return self._decoded(z, mask, memory)


@component("decoder", "vocos_film")
class VocosFiLMDecoder(FrameDecoder, ConditionalDecoder):
    """A `VocosDecoder` in which attributes scale and shift the features of every block.

    Args:
        dim: width of the quantizer's vectors.
        out_channels: the likelihood's parameters per sample.
        attributes: number of values of each attribute of the data; a training run counts them.
        names: what the values are called, in order, where they have names.
        given: the attributes that the decoder takes; None takes all.
        dropout: probability in training that a signal's attributes are withheld.
        hop: samples per frame, the encoder's.
        window: samples of a frame's window, at least the hop.
        hidden: width of the blocks, and of the vectors of the attributes.
        blocks: number of them, at least one.
        causal: see `VocosDecoder`.
        jitter: probability in training that a vector is a neighbour's; see `TimeJitter`.

    Shape:
        (B, dim, n) and a `Condition` -> (B, out_channels, n hop).

    Raises:
        OptionError: the window is shorter than the hop; see also `ConditionalDecoder.take`.
    """

    def __init__(
        self,
        dim: Annotated[int, Ge(1)],
        out_channels: Annotated[int, Ge(1)],
        *,
        attributes: Mapping[str, Annotated[int, Ge(1)]],
        names: Mapping[str, Sequence[str]] | None = None,
        given: Sequence[str] | None = None,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.0,
        hop: Annotated[int, Ge(1)] = 160,
        window: Annotated[int, Ge(2)] = 512,
        hidden: Annotated[int, Ge(1)] = 192,
        blocks: Annotated[int, Ge(1)] = 4,
        causal: bool = False,
        jitter: Annotated[float, Ge(0), Lt(1)] = 0.0,
    ) -> None:
        super().__init__()
        taken = self.take(attributes, names, given)
        self.embedding = AttributeEmbedding(taken, hidden, dropout)
        self.jitter = TimeJitter(jitter)
        self._hold(
            dim,
            ConvNeXt(dim, hidden, blocks, causal=causal, embedding=hidden),
            InverseSTFT(hidden, out_channels, hop, window, owner="decoder vocos_film"),
            causal=causal,
        )

    def forward(
        self,
        z: Tensor,
        condition: Condition | None = None,
        *,
        mask: Tensor | None = None,
        memory: Memory | None = None,
    ) -> Tensor:
        """Decode vectors z (B, dim, n) of signals with the attributes of a condition."""
        z = self.jitter(z, mask)
        return self._decoded(z, mask, memory, self.embedded(condition, z))
