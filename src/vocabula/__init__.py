"""Learn a discrete vocabulary for signals: quantizers, tokenizers, priors, and their training.

``import vocabula`` is light: PyTorch is imported when the first name that needs it is used.

Example:
    >>> import torch, vocabula
    >>> quantizer = vocabula.VectorQuantizer(dim=8, codebook_size=16)
    >>> quantized = quantizer(torch.randn(4, 100, 8))
    >>> quantized.codes.shape
    torch.Size([4, 100])
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vocabula import (
        codec,
        data,
        errors,
        evaluation,
        functional,
        nn,
        palette,
        pipelines,
        priors,
        quantizers,
        registry,
        reports,
        tokenizers,
        training,
        types,
    )
    from vocabula.data import ImageData, open_source
    from vocabula.errors import VocabulaError
    from vocabula.priors import (
        Generator,
        PixelCNN,
        PixelSNAIL,
        TransformerPrior,
        load_generator,
    )
    from vocabula.quantizers import (
        EMA,
        AttentionTransform,
        BernoulliQuantizer,
        ConditionalResidualQuantizer,
        DiVeQ,
        FiniteScalarQuantizer,
        FromData,
        Gradient,
        GumbelQuantizer,
        IndexBackpropagation,
        KMeans,
        LinearReparametrization,
        LinearTransform,
        LookupFreeQuantizer,
        MLPTransform,
        MultiScaleQuantizer,
        NetworkReparametrization,
        Normal,
        ProductQuantizer,
        Quantizer,
        ResidualQuantizer,
        Revival,
        Uniform,
        VectorQuantizer,
    )
    from vocabula.tokenizers import (
        Categorical,
        Gaussian,
        GaussianBottleneck,
        HierarchicalTokenizer,
        LogisticMixture,
        MultiScaleTokenizer,
        Tokenizer,
        build_tokenizer,
        load,
    )
    from vocabula.types import Quantized, Reconstruction, UsageReport

__version__ = "0.1.0"

_MODULES = (
    "codec",
    "data",
    "errors",
    "evaluation",
    "functional",
    "nn",
    "palette",
    "pipelines",
    "priors",
    "quantizers",
    "registry",
    "reports",
    "tokenizers",
    "training",
    "types",
)

_NAMES = {
    "data": ("ImageData", "open_source"),
    "errors": ("VocabulaError",),
    "priors": (
        "Generator",
        "PixelCNN",
        "PixelSNAIL",
        "TransformerPrior",
        "load_generator",
    ),
    "quantizers": (
        "EMA",
        "AttentionTransform",
        "ConditionalResidualQuantizer",
        "DiVeQ",
        "BernoulliQuantizer",
        "FiniteScalarQuantizer",
        "FromData",
        "Gradient",
        "GumbelQuantizer",
        "IndexBackpropagation",
        "KMeans",
        "LinearReparametrization",
        "LinearTransform",
        "LookupFreeQuantizer",
        "MLPTransform",
        "NetworkReparametrization",
        "MultiScaleQuantizer",
        "Normal",
        "ProductQuantizer",
        "Quantizer",
        "ResidualQuantizer",
        "Revival",
        "Uniform",
        "VectorQuantizer",
    ),
    "tokenizers": (
        "Categorical",
        "Gaussian",
        "GaussianBottleneck",
        "HierarchicalTokenizer",
        "LogisticMixture",
        "MultiScaleTokenizer",
        "Tokenizer",
        "build_tokenizer",
        "load",
    ),
    "types": ("Quantized", "Reconstruction", "UsageReport"),
}

__all__ = [
    "EMA",
    "AttentionTransform",
    "BernoulliQuantizer",
    "Categorical",
    "ConditionalResidualQuantizer",
    "DiVeQ",
    "FiniteScalarQuantizer",
    "FromData",
    "Gaussian",
    "GaussianBottleneck",
    "Generator",
    "Gradient",
    "GumbelQuantizer",
    "HierarchicalTokenizer",
    "ImageData",
    "IndexBackpropagation",
    "KMeans",
    "LinearReparametrization",
    "LinearTransform",
    "LogisticMixture",
    "LookupFreeQuantizer",
    "MLPTransform",
    "MultiScaleQuantizer",
    "MultiScaleTokenizer",
    "NetworkReparametrization",
    "Normal",
    "PixelCNN",
    "PixelSNAIL",
    "ProductQuantizer",
    "Quantized",
    "Quantizer",
    "Reconstruction",
    "ResidualQuantizer",
    "Revival",
    "Tokenizer",
    "TransformerPrior",
    "Uniform",
    "UsageReport",
    "VectorQuantizer",
    "VocabulaError",
    "__version__",
    "build_tokenizer",
    "codec",
    "data",
    "errors",
    "evaluation",
    "functional",
    "load",
    "load_generator",
    "nn",
    "open_source",
    "palette",
    "pipelines",
    "priors",
    "quantizers",
    "registry",
    "reports",
    "tokenizers",
    "training",
    "types",
]


def lazy_names(package: str, names: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """A ``__getattr__`` for a package whose names are imported when they are first used.

    Args:
        package: its full name.
        names: the names that each module provides; a module outside the package by its full name.
    """
    homes = {
        name: module if module.startswith("vocabula.") else f"{package}.{module}"
        for module, given in names.items()
        for name in given
    }

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(homes[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    return find


_find = lazy_names(__name__, _NAMES)


def __getattr__(name: str) -> Any:
    return import_module(f"vocabula.{name}") if name in _MODULES else _find(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
