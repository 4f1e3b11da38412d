"""Voice perturbation: in training, an encoder hears every recording in another voice and room."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vocabula.functional.mel import hertz_of_mel, mel_of_hertz

CURVES = 4
"""Cosines of the random frequency response: level, tilt and two more."""


class VoicePerturbation(nn.Module):
    """In training, log-mel levels of a recording are warped and coloured at random.

    ::

        y(f) = x(a f) + sum_k c_k cos(pi k b(f)),   k = 0 ... 3,   b(f) in [0, 1] the mel scale

        a uniform in [1 - warp, 1 + warp], c_k uniform in [-colour, colour], for each recording

    a stands for the length of the vocal tract, c for loudness and microphone. Vectors that a
    decoder has to understand in spite of both cannot depend on either, and a decoder that knows
    the speaker need not be told. Levels between two bands are interpolated; above the highest band
    they are those of the highest. In evaluation nothing changes.

    Args:
        bands: of the mel scale, evenly spaced.
        sample_rate: in Hz; the bands end at half of it.
        warp: largest change of a frequency, as a fraction.
        colour: largest coefficient of a cosine, in nepers.

    Shape:
        levels (B, channels, bands, n) -> the same.

    Source: Jaitly and Hinton 2013, "Vocal Tract Length Perturbation (VTLP) improves speech
    recognition", without its bend below the highest frequency; Choi et al. 2021, "Neural Analysis
    and Synthesis" (NANSY), section 3.1, for the random frequency response.
    """

    hertz: Tensor
    curves: Tensor

    def __init__(self, bands: int, sample_rate: int, warp: float, colour: float) -> None:
        super().__init__()
        self.bands, self.warp, self.colour = bands, warp, colour
        self.step = mel_of_hertz(sample_rate / 2) / (bands + 1)
        numbers = torch.arange(1, bands + 1, dtype=torch.float64)
        self.register_buffer("hertz", hertz_of_mel(numbers * self.step).float(), persistent=False)
        angles = math.pi * torch.arange(CURVES)[:, None] * (numbers - 0.5) / bands
        self.register_buffer("curves", angles.cos().float(), persistent=False)

    def forward(self, levels: Tensor) -> Tensor:
        """Perturb the levels (B, channels, bands, n) of recordings."""
        if not self.training or not len(levels):
            return levels
        if self.warp:
            draw = torch.rand(len(levels), device=levels.device)
            levels = self.warped(levels, 1 + self.warp * (2 * draw - 1))
        if self.colour:
            draw = torch.rand(len(levels), CURVES, device=levels.device)
            response = self.colour * (2 * draw - 1) @ self.curves.float()
            levels = levels + response[:, None, :, None]
        return levels

    def warped(self, levels: Tensor, factors: Tensor) -> Tensor:
        """Levels (B, channels, bands, n), each at frequencies `factors` (B,) times as high."""
        place = mel_of_hertz(factors[:, None] * self.hertz.float()) / self.step - 1
        place = place.clamp(0, self.bands - 1)
        low = place.floor().clamp_max(max(0, self.bands - 2))
        share = (place - low)[:, None, :, None]
        index = low.long()[:, None, :, None].expand_as(levels)
        above = (index + 1).clamp_max(self.bands - 1)
        return levels.gather(2, index) * (1 - share) + levels.gather(2, above) * share
