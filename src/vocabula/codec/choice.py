"""Which entropy model to code with, and which one a file needs."""

from __future__ import annotations

from collections.abc import Sequence
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


def choose_model(entropy: str | EntropyModel, statistics: CodeStatistics | None) -> EntropyModel:
    """The entropy model of a name.

    Args:
        entropy: one of `ENTROPIES`, or a model, which is taken as it is.
        statistics: counts of the tokenizer's codes, which ``static`` needs and ``adaptive`` uses.

    Raises:
        OptionError: no such model, or it needs statistics.
    """
    if isinstance(entropy, EntropyModel):
        return entropy
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


def known_models(
    name: str, statistics: CodeStatistics | None, models: Sequence[EntropyModel] = ()
) -> Models:
    """A function that finds the entropy model that a file asks for.

    Args:
        name: what messages call the file.
        statistics: counts of the tokenizer's codes, if there are any.
        models: further ones, such as those that a file was written with in Python.
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
        if statistics is not None and kind in (ModelId.STATIC, ModelId.ADAPTIVE):
            candidates.append(choose_model(kind.name.lower(), statistics))
        found = next((model for model in candidates if model.hash == wanted.hash), None)
        if found is None:
            have = ", ".join(model.hash.hex() for model in candidates) or "none"
            raise CodecError(
                f"{name}: expected the {kind.name.lower()} entropy model {wanted.hash.hex()}, got "
                f"{have}; give the run that compressed it, with the entropy.safetensors it had then"
            )
        if not found.serves(header.books):
            # It would look up codes that its tables lack.
            raise CodecError(
                f"{name}: expected an entropy model of books of {header.books} codewords, got "
                f"{found.books}; give the run that compressed it"
            )
        return found

    return find
