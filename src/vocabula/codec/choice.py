"""Choosing the entropy model to write with, and finding the one that a file needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from vocabula.codec.adaptive import AdaptiveModel
from vocabula.codec.layout import ModelId
from vocabula.codec.models import EntropyModel
from vocabula.codec.portable import PortableModel
from vocabula.codec.prior import load_prior
from vocabula.codec.static import StaticModel
from vocabula.codec.uniform import UniformModel
from vocabula.errors import OptionError
from vocabula.priors import PortablePrior
from vocabula.tokenizers import SignalTokenizer
from vocabula.tokenizers.code_statistics import CodeStatistics
from vocabula.tokenizers.inference import device_of

Entropy = Literal["uniform", "static", "adaptive"]
ENTROPIES: tuple[Entropy, ...] = ("uniform", "static", "adaptive")
"""Models of counts alone."""
NETWORKS = ("portable", "prior")
"""Models that are networks, which `offered_models` opens."""
MENDED_BY = dict.fromkeys(
    (ModelId.PORTABLE, ModelId.PRIOR), "give the prior that it was compressed with (--prior PRIOR)"
)
"""What to do about a file whose model is not there; for others it is the run's counts."""


def offered_models(
    tokenizer: SignalTokenizer, *, prior: str | Path | None = None
) -> list[EntropyModel]:
    """The networks that a tokenizer's codes can be coded with.

    Args:
        tokenizer: the tokenizer of the codes.
        prior: a folder that ``vocabula train-prior --out`` wrote.

    Raises:
        CheckpointError: the folder is not such a folder, or is damaged.
        OptionError: its prior belongs to another tokenizer.
    """
    if prior is None:
        return []
    in_float = load_prior(prior, tokenizer)
    portable = [one for one in in_float.priors if isinstance(one, PortablePrior)]
    if len(portable) < len(in_float.priors):
        return [in_float]
    device = device_of(tokenizer)
    has_float64 = device.type != "mps"
    place = device if has_float64 else "cpu"
    return [PortableModel(portable, place, falls_back=True), in_float]


def choose_model(
    entropy: str | EntropyModel,
    statistics: CodeStatistics | None,
    models: Sequence[EntropyModel] = (),
) -> EntropyModel:
    """The entropy model of a name.

    Args:
        entropy: one of `ENTROPIES` or `NETWORKS`, or a model, which is taken as it is.
        statistics: counts of the tokenizer's codes, which ``static`` needs and ``adaptive`` uses.
        models: the available networks, see `offered_models`.

    Raises:
        OptionError: there is no such model, or it lacks the statistics or network it needs.
    """
    if isinstance(entropy, EntropyModel):
        return entropy
    offered = [model for model in models if model.id.name.lower() == entropy]
    if offered:
        return offered[0]
    if entropy == "uniform":
        return UniformModel()
    if entropy == "adaptive":
        return AdaptiveModel(statistics)
    if entropy in NETWORKS:
        what, got = ("prior", "none") if not models else ("portable prior", "one of another kind")
        raise OptionError(
            f"entropy: expected a trained {what} for {entropy}, got {got}; give the folder that "
            f"vocabula train-prior{' --model portable' * (entropy == 'portable')} wrote "
            "(--prior PRIOR)"
        )
    if entropy != "static":
        known = ", ".join((*ENTROPIES, *NETWORKS))
        raise OptionError(f"entropy: expected one of {known}, got {entropy!r}; choose one")
    if statistics is None:
        raise OptionError(
            "entropy: expected counts of codes for static, got a tokenizer without; "
            "run vocabula counts RUN DATA, or use adaptive, which needs none"
        )
    return StaticModel(statistics)
