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
from collections.abc import Callable
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
        RateTerm,
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
    "RateTerm",
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


def lazy_names(package: str) -> Callable[[str], Any]:
    """A ``__getattr__`` for a package whose names are imported when they are first used.

    The names are those that its source imports for type checkers, under ``if TYPE_CHECKING``.

    Args:
        package: its full name.
    """
    homes: dict[str, str] = {}

    def find(name: str) -> Any:
        if not homes and not name.startswith("__"):
            homes.update(_declared(str(sys.modules[package].__file__)))
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        if homes[name] == package:  # a module of it
            return import_module(f"{package}.{name}")
        value = getattr(import_module(homes[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    return find


def _declared(file: str) -> dict[str, str]:
    """The names that a source imports under ``if TYPE_CHECKING``, each with its module."""
    import ast

    with open(file, encoding="utf-8") as source:
        blocks = [node for node in ast.parse(source.read()).body if isinstance(node, ast.If)]
    imports = [
        node
        for block in blocks
        if isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
    ]
    return {name.name: str(node.module) for node in imports for name in node.names}


__getattr__ = lazy_names(__name__)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
