"""The collapse watch: says in a plain sentence when a codebook goes wrong, and what helps."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from vocabula.types import UsageReport

_ANY = {
    "usage": "A larger training.batch_size or a smaller optimizer.learning_rate helps.",
    "share": "A larger training.batch_size or a smaller optimizer.learning_rate helps.",
    "commitment": "A smaller optimizer.learning_rate or training.clip_norm=1 holds it.",
    "drift": "A smaller optimizer.learning_rate or training.clip_norm=1 holds them.",
}
_STAGED = "give its {} a smaller codebook_size, or a diversity_weight above 0"
_REMEDIES = {
    "vector": {
        "usage": "Dead codewords come back with quantizer.revival=revival; a smaller "
        "quantizer.codebook_size or a larger training.batch_size also helps.",
        "share": "A larger quantizer.diversity_weight spreads them; "
        "quantizer.initialization=kmeans starts them apart.",
        "commitment": "A larger quantizer.commitment_weight or a smaller "
        "optimizer.learning_rate holds it.",
        "drift": "quantizer.initialization=kmeans places the codebook on the data; a larger "
        "quantizer.commitment_weight keeps them close.",
    },
    "lookup_free": {
        "usage": "A larger quantizer.entropy_weight or quantizer.diversity_gamma helps, "
        "and so do fewer quantizer.bits.",
        "share": "A larger quantizer.entropy_weight or quantizer.diversity_gamma spreads them.",
        "commitment": "A larger quantizer.commitment_weight or quantizer.spherical=true holds it.",
        "drift": "A larger quantizer.commitment_weight or quantizer.spherical=true holds them.",
    },
    "gumbel": {
        "usage": "A larger quantizer.kl_weight or quantizer.temperature, or a smaller "
        "quantizer.codebook_size helps.",
        "share": "A larger quantizer.kl_weight or quantizer.temperature spreads them.",
    },
    "finite_scalar": {
        "usage": "Fewer quantizer.levels or a smaller optimizer.learning_rate helps.",
    },
    "residual": {"usage": f"In quantizer.stages, {_STAGED.format('stages')}."},
    "product": {"usage": f"In quantizer.parts, {_STAGED.format('parts')}."},
}
_HISTORY = 20
_RISING = 4


@dataclass(frozen=True, kw_only=True)
class CollapseLimits:
    """When the watch speaks.

    Attributes:
        usage: warn when less than this fraction of what the window could use is used.
        usage_fall: warn when usage falls below this fraction of its best value.
        share: warn when one codeword takes more than this fraction of the vectors.
        commitment_growth: warn when the commitment term exceeds this multiple of its lowest
            recent value while rising throughout.
        norm_ratio: warn when the encoder's vectors are longer or shorter than their codewords
            by more than this factor.
    """

    usage: Annotated[float, Gt(0)] = 0.1
    usage_fall: Annotated[float, Gt(0)] = 0.5
    share: Annotated[float, Gt(0)] = 0.5
    commitment_growth: Annotated[float, Gt(1)] = 5.0
    norm_ratio: Annotated[float, Gt(1)] = 3.0


class CollapseWatch:
    """Reads usage reports and loss terms and warns, each warning at most once per `quiet` steps.

    Args:
        quiet: steps for which a warning is not repeated.
        warmup: steps before the watch speaks; a fresh codebook is rarely used in full.
        limits: when it speaks.
        quantizer: registered name of the quantizer, whose own options the advice names.
        prefix: what the level's options and losses begin with, such as ``level1.``; empty for
            the only one.
    """

    def __init__(
        self,
        *,
        quiet: Annotated[int, Ge(1)] = 1000,
        warmup: Annotated[int, Ge(0)] = 200,
        limits: CollapseLimits | None = None,
        quantizer: str = "vector",
        prefix: str = "",
    ) -> None:
        remedies = _ANY | _REMEDIES.get(quantizer, {})
        self.remedies = {
            key: text.replace("quantizer.", f"{prefix}quantizer.") for key, text in remedies.items()
        }
        self.prefix = prefix
        self.quiet = quiet
        self.warmup = warmup
        self.limits = limits or CollapseLimits()
        self._best_usage = 0.0
        self._commitment: deque[float] = deque(maxlen=_HISTORY)
        self._spoken: dict[str, int] = {}

    def observe(
        self, step: int, report: UsageReport | None, losses: Mapping[str, float]
    ) -> list[str]:
        """Take in the figures at one step and return the warnings they give rise to.

        Args:
            step: optimizer steps done.
            report: the quantizer's usage, or None where it keeps none.
            losses: unweighted loss terms by name, those of every level.
        """
        found: dict[str, str] = {}
        if report is not None and report.vectors.sum() > 0:
            found |= self._usage(report) | self._dominance(report) | self._drift(report)
        commitment = losses.get(f"{self.prefix}commitment")
        if commitment is not None and step >= self.warmup:
            found |= self._growth(commitment)
        return [self._speak(key, text, step) for key, text in found.items() if self._due(key, step)]

    def _due(self, key: str, step: int) -> bool:
        last = self._spoken.get(key)
        return step >= self.warmup and (last is None or step - last >= self.quiet)

    def _speak(self, key: str, text: str, step: int) -> str:
        self._spoken[key] = step
        return f"{self.prefix.rstrip('.')}: {text}" if self.prefix else text

    def _usage(self, report: UsageReport) -> dict[str, str]:
        usage = float((report.usage / attainable_usage(report)).min())
        self._best_usage = max(self._best_usage, usage)
        remedy = self.remedies["usage"]
        if usage < self.limits.usage_fall * self._best_usage:
            return {
                "usage": f"Codebook usage fell from {self._best_usage:.0%} to {usage:.0%}. {remedy}"
            }
        if usage < self.limits.usage:
            return {"usage": f"Only {usage:.1%} of the codebook is used. {remedy}"}
        return {}

    def _dominance(self, report: UsageReport) -> dict[str, str]:
        share = float(report.largest_share.max())
        if share <= self.limits.share:
            return {}
        return {
            "share": f"One codeword takes {share:.0%} of all vectors, so most codes say nothing. "
            + self.remedies["share"]
        }

    def _growth(self, commitment: float) -> dict[str, str]:
        history = self._commitment
        history.append(commitment)
        lowest = min(history)
        recent = list(history)[-_RISING:]
        pairs = itertools.pairwise(recent)
        rising = len(recent) == _RISING and all(a < b for a, b in pairs)
        if not rising or commitment <= self.limits.commitment_growth * lowest or lowest <= 0:
            return {}
        return {
            "commitment": f"The commitment term grew from {lowest:.3g} to {commitment:.3g} and "
            "still rises: the encoder runs away from the codebook. " + self.remedies["commitment"]
        }

    def _drift(self, report: UsageReport) -> dict[str, str]:
        low, high = float(report.norm_ratio.min()), float(report.norm_ratio.max())
        limit = self.limits.norm_ratio
        if 1 / limit <= low and high <= limit:
            return {}
        ratio = high if high > limit else low
        direction = "longer" if ratio > 1 else "shorter"
        factor = ratio if ratio > 1 else 1 / max(ratio, 1e-12)
        return {
            "drift": f"The encoder's vectors are {factor:.1f} times {direction} than their "
            "codewords: latents drift away from the codebook. " + self.remedies["drift"]
        }


def attainable_usage(report: UsageReport) -> Tensor:
    """The usage (books,) that uniformly drawn codes would show: 1 - exp(-vectors / K)."""
    size = report.dead / (1 - report.usage).clamp_min(1e-9)  # of no account where none is dead
    expected = -torch.expm1(-report.vectors / size.clamp_min(1))
    return torch.where(report.dead > 0, expected, 1.0).clamp_min(1e-9)
