"""The collapse watch: says in plain sentences when a codebook degenerates, and what helps."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from vocabula.quantizers.rate import RateState
from vocabula.registry import name_of
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
        "usage": "quantizer.initialization=kmeans starts codes and logits on the data; a larger "
        "quantizer.kl_weight or quantizer.temperature also helps.",
        "share": "A larger quantizer.kl_weight or quantizer.temperature spreads them.",
    },
    "bernoulli": {
        "usage": "A smaller quantizer.free_bits, a larger quantizer.kl_weight or fewer "
        "quantizer.bits help.",
        "share": "A smaller quantizer.free_bits or a larger quantizer.kl_weight spreads them.",
    },
    "finite_scalar": {
        "usage": "Fewer quantizer.levels, a smaller optimizer.learning_rate or an encoder that "
        "ends with a normalization helps.",
    },
    "residual": {"usage": f"In quantizer.stages, {_STAGED.format('stages')}."},
    "product": {"usage": f"In quantizer.parts, {_STAGED.format('parts')}."},
    "multi_scale": {"usage": f"In quantizer.stages, {_STAGED.format('stages')}."},
}
_PYTHON_ANY = {
    "usage": "A larger batch or a smaller learning rate helps.",
    "share": "A larger batch or a smaller learning rate helps.",
    "commitment": "A smaller learning rate or clipped gradients hold it.",
    "drift": "A smaller learning rate or clipped gradients hold them.",
}
_PYTHON = {
    "vector": {
        "usage": "VectorQuantizer(revival=Revival()) brings dead codewords back; a smaller "
        "codebook_size or a larger batch also helps.",
        "share": "VectorQuantizer(diversity_weight=0.1) spreads them; "
        "initialization=KMeans() starts them apart.",
        "commitment": "A larger VectorQuantizer(commitment_weight=...) or a smaller learning "
        "rate holds it.",
        "drift": "VectorQuantizer(initialization=KMeans()) places the codebook on the data; a "
        "larger commitment_weight keeps them close.",
    },
    "lookup_free": {
        "usage": "A larger LookupFreeQuantizer(entropy_weight=...) or diversity_gamma helps, "
        "and so do fewer bits.",
        "share": "A larger LookupFreeQuantizer(entropy_weight=...) or diversity_gamma spreads "
        "them.",
        "commitment": "LookupFreeQuantizer(spherical=True) or a larger commitment_weight holds it.",
        "drift": "LookupFreeQuantizer(spherical=True) or a larger commitment_weight holds them.",
    },
    "gumbel": {
        "usage": "GumbelQuantizer(initialization=KMeans()) starts codes and logits on the data; a "
        "larger kl_weight or temperature also helps.",
        "share": "A larger GumbelQuantizer(kl_weight=...) or temperature spreads them.",
    },
    "bernoulli": {
        "usage": "A smaller BernoulliQuantizer(free_bits=...), a larger kl_weight or fewer bits "
        "help.",
        "share": "A smaller BernoulliQuantizer(free_bits=...) or a larger kl_weight spreads them.",
    },
    "finite_scalar": {
        "usage": "Fewer FiniteScalarQuantizer(levels=...) or a smaller learning rate helps, and so "
        "does nn.BatchNorm1d(len(levels), affine=False) before it.",
    },
    "residual": {
        "usage": "Give the stages of ResidualQuantizer a smaller codebook_size, or a "
        "diversity_weight above 0.",
    },
    "product": {
        "usage": "Give the parts of ProductQuantizer a smaller codebook_size, or a "
        "diversity_weight above 0.",
    },
    "multi_scale": {
        "usage": "Give the stages of MultiScaleQuantizer a smaller codebook_size, or a "
        "diversity_weight above 0.",
    },
}
_STANDARDIZE = "scaling=standard for data, a normalization layer at an encoder's end"
_HISTORY = 20
_RISING = 4


@dataclass(frozen=True, kw_only=True)
class CollapseLimits:
    """The thresholds of the warnings.

    Attributes:
        usage: warn when usage is below this fraction of what the window could reach.
        usage_fall: warn when usage falls below this fraction of its best value.
        share: warn when one codeword takes more than this fraction of the vectors.
        commitment_growth: warn when the commitment term, over the mean square norm of the
            codewords, exceeds this multiple of its lowest recent value while rising throughout.
            An encoder whose scale grows takes its codebook along, which gives no warning.
        norm_ratio: warn when the encoder's vectors are longer or shorter than their codewords
            by more than this factor.
        mean_ratio: name the vectors' mean as the cause where its norm is more than this multiple of
            their root mean square distance from it.
        scale_ratio: name the components' scales as the cause where the largest standard deviation
            is more than this multiple of the median one.
        usage_with_cause: warn when usage is below this fraction and there is such a cause.
    """

    usage: Annotated[float, Gt(0)] = 0.1
    usage_fall: Annotated[float, Gt(0)] = 0.5
    share: Annotated[float, Gt(0)] = 0.5
    commitment_growth: Annotated[float, Gt(1)] = 5.0
    norm_ratio: Annotated[float, Gt(1)] = 3.0
    mean_ratio: Annotated[float, Gt(0)] = 1.0
    scale_ratio: Annotated[float, Gt(1)] = 10.0
    usage_with_cause: Annotated[float, Gt(0)] = 0.5


class CollapseWatch:
    """Reads usage reports and loss terms and warns, each warning at most once per `quiet` steps.

    Args:
        quiet: steps for which a warning is not repeated.
        warmup: steps before the first warning; a new codebook is rarely used in full.
        limits: the thresholds of the warnings.
        quantizer: the quantizer that is watched, so that the advice names its arguments; or its
            registered name, for advice in the options of a preset.
        prefix: the beginning of the level's losses, such as ``level1.``; empty for a single level.
        section: the beginning of its options; None is `prefix`.

    Example:
        >>> from vocabula.quantizers import VectorQuantizer
        >>> quantizer = VectorQuantizer(dim=8, codebook_size=16)
        >>> watch = CollapseWatch(quantizer=quantizer, warmup=0)
        >>> result = quantizer(torch.randn(64, 8))
        >>> watch.observe(0, quantizer.usage_report(), result.losses)
        []
    """

    def __init__(
        self,
        *,
        quiet: Annotated[int, Ge(1)] = 1000,
        warmup: Annotated[int, Ge(0)] = 200,
        limits: CollapseLimits | None = None,
        quantizer: str | Any = "vector",
        prefix: str = "",
        section: str | None = None,
    ) -> None:
        if isinstance(quantizer, str):
            remedies = _ANY | _REMEDIES.get(quantizer, {})
        else:
            remedies = _in_python(quantizer)
        self.remedies = {
            key: text.replace("quantizer.", f"{prefix if section is None else section}quantizer.")
            for key, text in remedies.items()
        }
        self.prefix = prefix
        self.quiet = quiet
        self.warmup = warmup
        self.limits = limits or CollapseLimits()
        self._best_usage = 0.0
        self._commitment: deque[tuple[float, float]] = deque(maxlen=_HISTORY)
        self._spoken: dict[str, int] = {}

    def observe(
        self, step: int, report: UsageReport | None, losses: Mapping[str, float | Tensor]
    ) -> list[str]:
        """Take in the figures at one step and return the resulting warnings.

        Args:
            step: optimizer steps done.
            report: the quantizer's usage, or None if it keeps none.
            losses: unweighted loss terms by name, of all levels; for several books the mean counts.
        """
        found: dict[str, str] = {}
        if report is not None and report.vectors.sum() > 0:
            found |= _findings(report, self.limits) | self._fall(report)
            if f"{self.prefix}rate" in losses:
                found = _without_meant(found)
        commitment = losses.get(f"{self.prefix}commitment")
        if commitment is not None and step >= self.warmup:
            found |= self._growth(float(torch.as_tensor(commitment).detach().mean()), report)
        return [
            self._speak(key, f"{text} {self.remedies[key]}", step)
            for key, text in found.items()
            if self._due(key, step)
        ]

    def _due(self, key: str, step: int) -> bool:
        last = self._spoken.get(key)
        return step >= self.warmup and (last is None or step - last >= self.quiet)

    def _speak(self, key: str, text: str, step: int) -> str:
        self._spoken[key] = step
        return f"{self.prefix.rstrip('.')}: {text}" if self.prefix else text

    def _fall(self, report: UsageReport) -> dict[str, str]:
        usage = float((report.usage / attainable_usage(report)).min())
        self._best_usage = max(self._best_usage, usage)
        if usage < self.limits.usage_fall * self._best_usage:
            return {"usage": f"Codebook usage fell from {self._best_usage:.0%} to {usage:.0%}."}
        return {}

    def _growth(self, commitment: float, report: UsageReport | None) -> dict[str, str]:
        norm = None if report is None or report.norm is None else report.norm
        scale = 1.0 if norm is None else float(norm.double().square().mean())
        history = self._commitment
        history.append((commitment / max(scale, 1e-30), commitment))
        lowest, then = min(history)
        recent = [relative for relative, _ in history][-_RISING:]
        rising = len(recent) == _RISING and all(a < b for a, b in itertools.pairwise(recent))
        if not rising or recent[-1] <= self.limits.commitment_growth * lowest or lowest <= 0:
            return {}
        return {
            "commitment": f"The commitment term grew from {then:.3g} to {commitment:.3g} and "
            "still rises: the encoder runs away from the codebook."
        }


def advised(report: UsageReport, quantizer: Any) -> UsageReport:
    """The report with its problems, and the quantizer's arguments that fix them."""
    if not report.vectors.sum() > 0:
        return report
    ratios = quantizer.vector_sample.ratios()
    if ratios is not None:
        report = replace(report, mean_ratio=ratios[0], scale_ratio=ratios[1])
    remedies = _in_python(quantizer)
    found = _findings(report, CollapseLimits())
    if any(isinstance(module, RateState) for module in quantizer.modules()):
        found = _without_meant(found)
    return replace(report, advice=tuple(f"{text} {remedies[key]}" for key, text in found.items()))


def _without_meant(found: dict[str, str]) -> dict[str, str]:
    """The problems of a codebook with a rate term, which prefers few codes and short ones."""
    return {key: text for key, text in found.items() if key == "commitment"}


def _in_python(quantizer: Any) -> dict[str, str]:
    return _PYTHON_ANY | _PYTHON.get(name_of(quantizer), {})


def _findings(report: UsageReport, limits: CollapseLimits) -> dict[str, str]:
    """The problems in one report, by the kind of remedy."""
    found = {}
    usage = float((report.usage / attainable_usage(report)).min())
    cause = _cause(report, limits)
    if usage < limits.usage or (cause and usage < limits.usage_with_cause):
        found["usage"] = f"Only {usage:.1%} of the codebook is used.{cause}"
    share = float(report.largest_share.max())
    if share > limits.share:
        found["share"] = (
            f"One codeword takes {share:.0%} of all vectors, so most codes say nothing."
            + ("" if "usage" in found else cause)
        )
    low, high = float(report.norm_ratio.min()), float(report.norm_ratio.max())
    if not 1 / limits.norm_ratio <= low or not high <= limits.norm_ratio:
        ratio = high if high > limits.norm_ratio else low
        direction = "longer" if ratio > 1 else "shorter"
        factor = ratio if ratio > 1 else 1 / max(ratio, 1e-12)
        found["drift"] = (
            f"The encoder's vectors are {factor:.1f} times {direction} than their codewords: "
            "latents drift away from the codebook."
        )
    return found


def _cause(report: UsageReport, limits: CollapseLimits) -> str:
    """What the vectors have that makes codes alike, with its remedy; empty if nothing is known."""
    if report.mean_ratio is not None and report.mean_ratio > limits.mean_ratio:
        what = f"The vectors' mean is {report.mean_ratio:.1f} times as long as their spread"
    elif report.scale_ratio is not None and report.scale_ratio > limits.scale_ratio:
        what = (
            f"The largest component varies {report.scale_ratio:.0f} times as much as the median one"
        )
    else:
        return ""
    return f" {what}: give each component mean 0 and deviation 1 ({_STANDARDIZE})."


def attainable_usage(report: UsageReport) -> Tensor:
    """The usage (books,) that uniformly drawn codes would show: 1 - exp(-vectors / K)."""
    size = report.dead / (1 - report.usage).clamp_min(1e-9)  # irrelevant if none is dead
    expected = -torch.expm1(-report.vectors / size.clamp_min(1))
    return torch.where(report.dead > 0, expected, 1.0).clamp_min(1e-9)
