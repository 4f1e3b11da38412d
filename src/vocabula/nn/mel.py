"""The encoder at the frame rate: log-mel spectra in, ConvNeXt blocks over frames."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Lt
from torch import Tensor, nn
from torch.nn.functional import avg_pool1d

from vocabula.errors import OptionError
from vocabula.functional.mel import log_mel, magnitudes, mel_filters
from vocabula.nn.base import Encoder
from vocabula.nn.causal import Memory
from vocabula.nn.convnext import ConvNeXt
from vocabula.nn.perturbation import VoicePerturbation
from vocabula.registry import component

FLOOR = 1e-5
"""Below this magnitude a band is silent: -100 dB of full scale."""
_MIDDLE, _SPREAD = -7.0, 2.5
"""Of the logarithm of a band's magnitude in speech, roughly; networks learn best around 0."""
_LEAST_VARIANCE = 1e-2  # of a normalized band: silence stays near 0
_LOUD = -4.0
"""The level that a recording has after its own is taken away, that of loud speech in a band."""
_LEAST_POWER = 1e-9
"""Added to the power that a level is measured by: below -90 dB there is nothing to take away."""


@component("encoder", "mel")
class MelEncoder(Encoder):
    """Log-mel spectra, one frame a hop, and a ConvNeXt over the frames.

    ::

        x --STFT, mel, log--> frames (B, n, bands) --ConvNeXt, linear--> (B, dim, n), n = T / hop

    A frame's window lies around the middle of its hop; a causal one ends with it.

    Args:
        in_channels: channels of the recordings; each has its own bands.
        dim: width of the vectors, the quantizer's.
        hop: samples per frame, even or odd.
        window: samples of a frame's window, at least the hop.
        bands: of the mel scale.
        sample_rate: in Hz, of the recordings.
        hidden: width of the blocks.
        blocks: number of them.
        causal: a vector depends on no later sample.
        normalized: every band has mean 0 and variance 1 over a recording, which takes away much of
            the speaker and the microphone; a vector then depends on the whole recording.
        level: seconds on each side of a frame in which the level of sound is measured and taken
            away, so that loudness does not matter; 0 leaves it.
        warp: in training, largest change of the frequencies of a recording, as a fraction; see
            `VoicePerturbation`.
        colour: in training, size of the random frequency response of a recording, in nepers.

    Shape:
        (B, in_channels, T) -> (B, dim, T / hop).

    Raises:
        OptionError: the window is shorter than the hop, or a causal encoder is to be normalized or
            levelled.

    Example:
        >>> MelEncoder(1, 8, hop=5, window=16, bands=4, hidden=8)(torch.zeros(1, 1, 30)).shape
        torch.Size([1, 8, 6])
    """

    axes: ClassVar[int] = 1
    masked: ClassVar[bool] = True
    added_options: ClassVar[tuple[str, ...]] = ("level",)
    causal: bool
    filters: Tensor
    curve: Tensor

    def __init__(
        self,
        in_channels: Annotated[int, Ge(1)],
        dim: Annotated[int, Ge(1)],
        *,
        hop: Annotated[int, Ge(1)] = 160,
        window: Annotated[int, Ge(2)] = 512,
        bands: Annotated[int, Ge(1)] = 64,
        sample_rate: Annotated[int, Ge(1)] = 8000,
        hidden: Annotated[int, Ge(1)] = 128,
        blocks: Annotated[int, Ge(0)] = 2,
        causal: bool = False,
        normalized: bool = False,
        warp: Annotated[float, Ge(0), Lt(1)] = 0.0,
        colour: Annotated[float, Ge(0)] = 0.0,
        level: Annotated[float, Ge(0)] = 0.0,
    ) -> None:
        super().__init__()
        if window < hop:
            raise OptionError(
                f"encoder mel.window: expected at least its hop, {hop}, got {window}; widen it"
            )
        if causal and normalized:
            raise OptionError(
                "encoder mel.normalized: expected false of a causal encoder, which cannot know the "
                "mean of what comes, got true; set causal=false"
            )
        if causal and level:
            raise OptionError(
                "encoder mel.level: expected 0 of a causal encoder, which cannot know how loud is "
                f"what comes, got {level}; set causal=false"
            )
        self.in_channels, self.dim, self.stride = in_channels, dim, hop
        self.causal, self.normalized = causal, normalized
        self.before = window - hop if causal else (window - hop) // 2
        self.register_buffer("filters", mel_filters(sample_rate, window, bands), persistent=False)
        self.register_buffer("curve", torch.hann_window(window), persistent=False)
        self.around = round(level * sample_rate / hop)
        if level and not self.around:
            raise OptionError(
                f"encoder mel.level: expected 0 or at least a hop, {hop / sample_rate:g} seconds, "
                f"got {level}; use 1"
            )
        self.perturbation = VoicePerturbation(bands, sample_rate, warp, colour)
        self.frames = ConvNeXt(in_channels * bands, hidden, blocks, causal=causal)
        self.last = nn.Linear(hidden, dim)

    @property
    def context(self) -> int | None:
        """Frames on each side on which a vector depends; None if it is on all."""
        if self.normalized:
            return None
        outside = max(self.before, len(self.curve) - self.stride - self.before)
        return self.frames.context + self.around + -(-outside // self.stride)

    def forward(
        self, x: Tensor, *, mask: Tensor | None = None, memory: Memory | None = None
    ) -> Tensor:
        """Encode recordings x (B, in_channels, T), or the next part of a stream.

        Args:
            x: (B, in_channels, T), 0 where a recording of a padded batch has ended.
            mask: (B, T / hop) bool, which frames are a recording's.
            memory: of a stream; for a causal encoder.
        """
        count, before = x.shape[-1] // self.stride, self.before
        if memory is not None:
            x, before = memory.extended(self, x, before), 0
        wave, curve = x.flatten(0, 1).float(), self.curve.float()
        spectrum = magnitudes(wave, curve, self.stride, before=before, frames=count)
        mel = log_mel(spectrum, self.filters, FLOOR).unflatten(0, (len(x), -1))
        if self.around:
            mel = mel - _level(mel, mask, self.around) + _LOUD
        heard = self.perturbation(mel)
        levels = (heard - _MIDDLE) / _SPREAD
        rows = levels.flatten(1, 2).transpose(1, 2)
        if self.normalized:
            rows = _normalized(rows, mask)
        encoded: Tensor = self.last(
            self.frames(rows.to(self.last.weight.dtype), mask, None, memory)
        )
        return encoded.transpose(1, 2)


def _normalized(rows: Tensor, mask: Tensor | None) -> Tensor:
    """Rows (B, n, width) of mean 0 and variance 1 over the frames of each signal."""
    inside = rows.new_ones(rows.shape[:2]) if mask is None else mask.to(rows.dtype)
    inside = inside.unsqueeze(-1)
    count = inside.sum(1, keepdim=True).clamp_min(1)
    around = (rows - (rows * inside).sum(1, keepdim=True) / count) * inside
    variance = around.square().sum(1, keepdim=True) / count
    return around / (variance + _LEAST_VARIANCE).sqrt()


def _level(mel: Tensor, mask: Tensor | None, around: int) -> Tensor:
    """The level (B, 1, 1, n) around each frame of log-mel levels (B, channels, bands, n).

    It is half the logarithm of the mean power of all bands in the frame and `around` frames on
    each side, as far as they are a recording's.
    """
    power = (2 * mel).exp().mean((1, 2)).unsqueeze(1)
    inside = torch.ones_like(power) if mask is None else mask.to(power.dtype).unsqueeze(1)
    total, count = (
        avg_pool1d(one, 2 * around + 1, stride=1, padding=around)
        for one in (power * inside, inside)
    )
    mean = total / count.clamp_min(1 / (2 * around + 2))
    return ((mean + _LEAST_POWER).log() / 2).unsqueeze(1)
