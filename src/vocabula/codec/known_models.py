"""The entropy models that files may have been written with."""

from __future__ import annotations

from collections.abc import Sequence

from vocabula.codec.adaptive import AdaptiveModel
from vocabula.codec.choice import MENDED_BY
from vocabula.codec.header import Header, ModelName
from vocabula.codec.layout import ModelId
from vocabula.codec.models import EntropyModel
from vocabula.codec.reader import Models
from vocabula.codec.static import StaticModel
from vocabula.codec.uniform import UniformModel
from vocabula.errors import CodecError
from vocabula.tokenizers import SignalTokenizer
from vocabula.tokenizers.code_statistics import CodeStatistics


def statistics_of(
    tokenizer: SignalTokenizer, given: CodeStatistics | None = None
) -> CodeStatistics | None:
    """The counts to code with: the given ones, or else the tokenizer's own if still valid.

    A tokenizer that was trained further since it was loaded has other codes.
    """
    own = tokenizer.code_statistics
    if given is not None or own is None:
        return given
    return own if tokenizer.code_names().know(own.fingerprint) else None


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
            if kind == ModelId.PIXELS:
                raise CodecError(
                    f"{name}: expected the tokenizer whose reconstruction its exact pixels are "
                    "coded with, got another with the same codes; give the run that compressed "
                    "it, or read the codes alone with stages= (--stages)"
                )
            have = ", ".join(model.hash.hex() for model in candidates) or "none"
            counts = "give the run that compressed it, with the entropy.safetensors it had then"
            raise CodecError(
                f"{name}: expected the {kind.name.lower()} entropy model {wanted.hash.hex()}, got "
                f"{have}; {MENDED_BY.get(kind, counts)}"
            )
        if not found.serves(header.books):
            # The model would look up codes that its tables lack.
            raise CodecError(
                f"{name}: expected an entropy model of books of {header.books} codewords, got "
                f"{found.books}; give the run that compressed it"
            )
        return found

    return find
