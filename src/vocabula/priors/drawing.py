"""Drawing a symbol from logits: guidance, temperature, truncation and the draw itself."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from vocabula.errors import OptionError


@dataclass(frozen=True, slots=True)
class Drawing:
    """How a symbol is drawn from its logits.

    Args:
        temperature: logits are divided by it; below 1 sharpens, above 1 flattens.
        top_k: only the k most probable values are drawn; None takes all.
        top_p: only the fewest most probable values whose probabilities reach p; None takes all.
        guidance: weight g of the condition, see `guide`.

    Raises:
        OptionError: an option is out of range.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    guidance: float = 1.0

    def __post_init__(self) -> None:
        k, p = self.top_k, self.top_p
        for name, value, fine, wanted, remedy in (
            ("temperature", self.temperature, 0 < self.temperature < math.inf, "a number > 0",
             "for the most probable code every time use top_k=1"),
            ("top_k", k, k is None or (k == int(k) and k >= 1), "a whole number >= 1 or none",
             "leave it out to draw from all codes"),
            ("top_p", p, p is None or 0 < p <= 1, "a number in (0, 1] or none",
             "leave it out to draw from all codes"),
            ("guidance", self.guidance, 0 <= self.guidance < math.inf, "a number >= 0",
             "1 is plain conditional sampling"),
        ):  # fmt: skip
            if not fine:
                raise OptionError(f"sample.{name}: expected {wanted}, got {value}; {remedy}")

    def options(self, *, guided: bool) -> dict[str, Any]:
        """The options of a prior's draws; without guidance unless there is a condition to guide."""
        return {**asdict(self), **({} if guided else {"guidance": 1.0})}

    def log_probs(self, logits: Tensor) -> Tensor:
        """Log-probabilities (..., V) of drawing each value, minus infinity for values never drawn.

        Temperature comes first, then top_k, then top_p of what remains. Among equally probable
        values, the lower ones stay.

        Source: Fan et al. 2018, "Hierarchical Neural Story Generation" (top_k); Holtzman et al.
        2020, "The Curious Case of Neural Text Degeneration" (top_p).
        """
        return self._kept(logits).log_softmax(-1)

    def draw(self, logits: Tensor, uniform: Tensor) -> Tensor:
        """Values (B,) of logits (B, V): the smallest v with P(value <= v) > uniform (B,).

        Sums are in float64, so that rounding rarely changes a draw.
        """
        wide = logits if logits.dtype == torch.float64 else logits.float()
        cumulative = self._kept(wide).softmax(-1).cumsum(-1, dtype=torch.float64)
        # a number within rounding of 1 must not lead past the last possible value
        threshold = uniform.double().clamp(max=1 - 2.0**-40) * cumulative[:, -1]
        return torch.searchsorted(cumulative, threshold[:, None], right=True)[:, 0]

    def _kept(self, logits: Tensor) -> Tensor:
        """Logits over temperature, minus infinity for values that are never drawn."""
        if self.temperature != 1:
            # the highest becomes 0, so that no temperature makes an infinity of it
            logits = _below_highest(logits) / max(self.temperature, _least(logits))
        if self.top_k is None and self.top_p is None:
            return logits
        ordered, places = logits.sort(dim=-1, descending=True, stable=True)
        ranks = torch.arange(logits.shape[-1], device=logits.device)
        if self.top_k is not None:
            ordered = ordered.masked_fill(ranks >= min(self.top_k, len(ranks)), -math.inf)
        if self.top_p is not None:
            probabilities = ordered.softmax(-1)
            before = probabilities.cumsum(-1) - probabilities
            ordered = ordered.masked_fill(before >= self.top_p, -math.inf)
        return torch.empty_like(logits).scatter_(-1, places, ordered)


def guide(conditional: Tensor, unconditional: Tensor, guidance: float) -> Tensor:
    """Logits of p(v | c)^g p(v)^(1 - g), up to a constant: l_0 + g (l_c - l_0 - max(l_c - l_0)).

    The constant keeps the logits of the most probable values finite for any g.

    Args:
        conditional: l_c (..., V).
        unconditional: l_0 (..., V).
        guidance: g; 0 forgets the condition, 1 is p(v | c), more exaggerates it.

    Source: Ho and Salimans 2022, "Classifier-Free Diffusion Guidance", equation 6 with
    g = 1 + w, on logits in place of scores.
    """
    most = torch.finfo(conditional.dtype).max
    return unconditional + min(guidance, most) * _below_highest(conditional - unconditional)


def _below_highest(logits: Tensor) -> Tensor:
    """Logits (..., V) less the highest of them: the same distribution."""
    return logits - logits.amax(-1, keepdim=True)


def _least(logits: Tensor) -> float:
    """The smallest temperature that is not rounded to 0."""
    return torch.finfo(logits.dtype).tiny
