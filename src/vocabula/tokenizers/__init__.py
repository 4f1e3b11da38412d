"""Tokenizers: an encoder, a bottleneck, a decoder and a likelihood that belong together.

    image --> encoder --> quantizer --> codes --> decoder --> likelihood --> image

`Tokenizer` has one level of codes, `HierarchicalTokenizer`, `IndependentTokenizer` and
`MultiScaleTokenizer` several; all are `SignalTokenizer`s (formerly named `ImageTokenizer`).

`build_tokenizer` makes one from settings, `load` from a saved folder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vocabula import lazy_names

if TYPE_CHECKING:
    from vocabula.tokenizers.analysis import Analysis, BitsPerDim
    from vocabula.tokenizers.base import ImageTokenizer, SignalTokenizer
    from vocabula.tokenizers.builder import build_tokenizer
    from vocabula.tokenizers.categorical import Categorical
    from vocabula.tokenizers.code_level import CodeLevel
    from vocabula.tokenizers.gaussian import Gaussian
    from vocabula.tokenizers.gaussian_bottleneck import GaussianBottleneck
    from vocabula.tokenizers.hierarchical import HierarchicalTokenizer, Level
    from vocabula.tokenizers.independent import IndependentLevel, IndependentTokenizer
    from vocabula.tokenizers.likelihood import Likelihood
    from vocabula.tokenizers.linear_level import LinearLevel
    from vocabula.tokenizers.loading import load
    from vocabula.tokenizers.logistic_mixture import LogisticMixture
    from vocabula.tokenizers.mulaw import MuLaw
    from vocabula.tokenizers.multi_scale import MultiScaleTokenizer
    from vocabula.tokenizers.normal import Normal
    from vocabula.tokenizers.posterior import PosteriorStatistics
    from vocabula.tokenizers.saving import save
    from vocabula.tokenizers.spectral import Spectral
    from vocabula.tokenizers.streams import DecoderStream, EncoderStream, Stream
    from vocabula.tokenizers.tokenizer import Tokenizer

__getattr__ = lazy_names(__name__)

__all__ = [
    "Analysis",
    "BitsPerDim",
    "Categorical",
    "CodeLevel",
    "DecoderStream",
    "EncoderStream",
    "Gaussian",
    "GaussianBottleneck",
    "HierarchicalTokenizer",
    "ImageTokenizer",
    "IndependentLevel",
    "IndependentTokenizer",
    "Level",
    "Likelihood",
    "LinearLevel",
    "LogisticMixture",
    "MuLaw",
    "MultiScaleTokenizer",
    "Normal",
    "PosteriorStatistics",
    "SignalTokenizer",
    "Spectral",
    "Stream",
    "Tokenizer",
    "build_tokenizer",
    "load",
    "save",
]
