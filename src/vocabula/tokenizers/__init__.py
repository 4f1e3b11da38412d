"""Tokenizers: an encoder, a bottleneck, a decoder and a likelihood that belong together.

    image --> encoder --> quantizer --> codes --> decoder --> likelihood --> image

`build_tokenizer` makes one from settings, `load` from a saved folder.
"""

from __future__ import annotations

from vocabula.tokenizers.analysis import Analysis, BitsPerDim
from vocabula.tokenizers.builder import build_tokenizer
from vocabula.tokenizers.categorical import Categorical
from vocabula.tokenizers.gaussian import Gaussian
from vocabula.tokenizers.gaussian_bottleneck import GaussianBottleneck
from vocabula.tokenizers.likelihood import Likelihood
from vocabula.tokenizers.logistic_mixture import LogisticMixture
from vocabula.tokenizers.posterior import PosteriorStatistics
from vocabula.tokenizers.saving import load, save
from vocabula.tokenizers.tokenizer import Tokenizer

__all__ = [
    "Analysis",
    "BitsPerDim",
    "Categorical",
    "Gaussian",
    "GaussianBottleneck",
    "Likelihood",
    "LogisticMixture",
    "PosteriorStatistics",
    "Tokenizer",
    "build_tokenizer",
    "load",
    "save",
]
