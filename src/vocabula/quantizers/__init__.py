"""Discrete bottlenecks: every quantizer returns the same `Quantized`, with the same verbs."""

from vocabula.quantizers.base import Bottleneck, Quantizer
from vocabula.quantizers.collapse import CollapseLimits, CollapseWatch
from vocabula.quantizers.finite_scalar import FiniteScalarQuantizer
from vocabula.quantizers.gumbel import Annealing, GumbelQuantizer
from vocabula.quantizers.initialization import FromData, Initialization, KMeans, Normal, Uniform
from vocabula.quantizers.learning import EMA, Gradient, LearningRule, LinearReparametrization
from vocabula.quantizers.lookup_free import LookupFreeQuantizer
from vocabula.quantizers.multi_scale import MultiScaleQuantizer
from vocabula.quantizers.product import ProductQuantizer
from vocabula.quantizers.residual import ResidualQuantizer
from vocabula.quantizers.revival import Revival
from vocabula.quantizers.usage import UsageTracker
from vocabula.quantizers.vector import VectorQuantizer

__all__ = [
    "EMA",
    "Annealing",
    "Bottleneck",
    "CollapseLimits",
    "CollapseWatch",
    "FiniteScalarQuantizer",
    "FromData",
    "Gradient",
    "GumbelQuantizer",
    "Initialization",
    "KMeans",
    "LearningRule",
    "LinearReparametrization",
    "LookupFreeQuantizer",
    "MultiScaleQuantizer",
    "Normal",
    "ProductQuantizer",
    "Quantizer",
    "ResidualQuantizer",
    "Revival",
    "Uniform",
    "UsageTracker",
    "VectorQuantizer",
]
