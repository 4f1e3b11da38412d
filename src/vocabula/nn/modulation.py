"""Feature-wise modulation: a vector scales and shifts the channels of a signal's features."""

from __future__ import annotations

from torch import Tensor, nn


class Modulation(nn.Module):
    """(1 + a(e)) x + b(e), with a and b linear; both begin at 0.

    Args:
        embedding: width of the vector e.
        channels: of the features x.

    Shape:
        (B, channels, T) and (B, embedding) -> (B, channels, T).

    Source: Perez et al. 2018, "FiLM: Visual Reasoning with a General Conditioning Layer".
    """

    def __init__(self, embedding: int, channels: int) -> None:
        super().__init__()
        self.film = nn.Linear(embedding, 2 * channels)
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.film.bias)

    def forward(self, x: Tensor, embedded: Tensor) -> Tensor:
        """Modulate x (B, channels, T) by vectors (B, embedding)."""
        scale, shift = self.film(embedded).unsqueeze(-1).chunk(2, dim=1)
        modulated: Tensor = (1 + scale) * x + shift
        return modulated
