"""Which entropy model to code with, and which one a file needs."""

from __future__ import annotations

from typing import Literal

from vocabula.codec.adaptive import AdaptiveModel
from vocabula.codec.header import Header, ModelName
from vocabula.codec.layout import ModelId
from vocabula.codec.models import EntropyModel, UniformModel
from vocabula.codec.reader import Models
from vocabula.codec.static import StaticModel
from vocabula.codec.statistics import CodeStatistics
from vocabula.errors import CodecError, OptionError

Entropy = Literal["uniform", "static", "adaptive"]
ENTROPIES: tuple[Entropy, ...] = ("uniform", "static", "adaptive")


def choose_model(entropy: str, statistics: CodeStatistics | None) -> EntropyModel:
    """The entropy model of a name.

    Args:
        entropy: one of `ENTROPIES`.
        statistics: counts of the tokenizer's codes, which ``static`` needs and ``adaptive`` uses.

    Raises:
        OptionError: no such model, or it needs statistics.
    """
    if entropy == "uniform":
        return UniformModel()
    if entropy == "adaptive":
        return AdaptiveModel(statistics)
    if entropy != "static":
        raise OptionError(
            f"entropy: expected one of {', '.join(ENTROPIES)}, got {entropy!r}; choose one"
        )
    if statistics is None:
        raise OptionError(
            "entropy: expected counts of codes for static, got a tokenizer without; "
            "run vocabula counts RUN DATA, or use adaptive, which needs none"
        )
    return StaticModel(statistics)


def known_models(name: str, statistics: CodeStatistics | None) -> Models:
    """A function that finds the entropy model that a file asks for.

    Args:
        name: what messages call the file.
        statistics: counts of the tokenizer's codes, if there are any.
    """

    def find(header: Header, wanted: ModelName) -> EntropyModel:
        kind = ModelId(wanted.id).name.lower()
        if kind not in ENTROPIES:
            raise CodecError(
                f"{name}: expected an entropy model of {', '.join(ENTROPIES)}, got {kind!r}, "
                "which this version lacks; use the version of vocabula that wrote the file"
            )
        candidates: list[EntropyModel] = []
        if kind == "static" and statistics is not None:
            candidates = [StaticModel(statistics)]
        elif kind != "static":
            bare = choose_model(kind, None)
            candidates = [bare] if statistics is None else [bare, choose_model(kind, statistics)]
        found = next((model for model in candidates if model.hash == wanted.hash), None)
        if found is None:
            have = ", ".join(model.hash.hex() for model in candidates) or "none"
            raise CodecError(
                f"{name}: expected the {kind} entropy model {wanted.hash.hex()}, got {have}; give "
                "the run that compressed it, with its entropy.safetensors as it was then"
            )
        _check_books(header, statistics, name)
        return found

    return find


def _check_books(header: Header, statistics: CodeStatistics | None, name: str) -> None:
    """A model of other books would look up codes that its tables lack."""
    held = tuple(k for stage in header.stages[: header.kept] for k in stage.symbols)
    if statistics is not None and statistics.symbols[: len(held)] != held:
        raise CodecError(
            f"{name}: expected books of {held} codewords, got statistics of {statistics.symbols}; "
            "give the run that compressed it"
        )
