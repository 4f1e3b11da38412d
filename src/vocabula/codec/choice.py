"""Choosing the entropy model to write with, and finding the one that a file needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from vocabula.codec.adaptive import AdaptiveModel
from vocabula.codec.header import Header, ModelName
from vocabula.codec.layout import ModelId
from vocabula.codec.models import EntropyModel
from vocabula.codec.portable import PortableModel
from vocabula.codec.prior import load_prior
from vocabula.codec.reader import Models
from vocabula.codec.static import StaticModel
from vocabula.codec.uniform import UniformModel
from vocabula.errors import CodecError, OptionError
from vocabula.priors import PortablePrior
from vocabula.tokenizers import SignalTokenizer
from vocabula.tokenizers.code_statistics import CodeStatistics
from vocabula.tokenizers.inference import device_of

Entropy = Literal["uniform", "static", "adaptive"]
ENTROPIES: tuple[Entropy, ...] = ("uniform", "static", "adaptive")
"""Models of counts alone."""
NETWORKS = ("portable", "prior")
"""Models that are networks, which `offered_models` opens."""
_MENDED_BY = dict.fromkeys(
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
    return [PortableModel(portable, device if has_float64 else "cpu"), in_float]


def statistics_of(
    tokenizer: SignalTokenizer, given: CodeStatistics | None = None
) -> CodeStatistics | None:
    """The counts to code with: the given ones, or else the tokenizer's own if still valid.

    A tokenizer that was trained further since it was loaded has other codes.
    """
    own = tokenizer.code_statistics
    if given is not None or own is None:
        return given
    return own if own.fingerprint == tokenizer.fingerprint() else None


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


def known_models(
    name: str, statistics: CodeStatistics | None, models: Sequence[EntropyModel] = ()
) -> Models:
    """A function that finds the entropy model that a file asks for.

    Args:
        name: what messages call the file.
        statistics: counts of the tokenizer's codes, if there are any.
        models: further models, such as ones that a file was written with in Python.
    """

    def find(header: Header, wanted: ModelName) -> EntropyModel:
        kind = ModelId(wanted.id)
        if kind == ModelId.PIXELS and not any(model.id == kind for model in models):
            raise CodecError(
                f"{name}: expected the tokenizer, whose reconstruction the exact pixels are coded "
                "with, got none; read the images, or the codes alone with stages="
            )
        candidates = [model for model in models if model.id == kind]
        if kind == ModelId.UNIFORM:
            candidates.append(UniformModel())
        elif kind == ModelId.ADAPTIVE:
            candidates.append(AdaptiveModel())
        if statistics is not None and kind == ModelId.ADAPTIVE:
            candidates.append(AdaptiveModel(statistics))
        elif statistics is not None and kind == ModelId.STATIC:
            candidates += [StaticModel(statistics), StaticModel(statistics, None)]
        found = next((model for model in candidates if model.hash == wanted.hash), None)
        if found is None:
            have = ", ".join(model.hash.hex() for model in candidates) or "none"
            counts = "give the run that compressed it, with the entropy.safetensors it had then"
            raise CodecError(
                f"{name}: expected the {kind.name.lower()} entropy model {wanted.hash.hex()}, got "
                f"{have}; {_MENDED_BY.get(kind, counts)}"
            )
        if not found.serves(header.books):
            # The model would look up codes that its tables lack.
            raise CodecError(
                f"{name}: expected an entropy model of books of {header.books} codewords, got "
                f"{found.books}; give the run that compressed it"
            )
        return found

    return find
