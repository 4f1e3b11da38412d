"""Discrete bottlenecks: every quantizer returns the same `Quantized`, with the same verbs."""

from vocabula.quantizers.base import Quantizer
from vocabula.quantizers.bernoulli import BernoulliQuantizer
from vocabula.quantizers.bottleneck import Bottleneck
from vocabula.quantizers.collapse import CollapseLimits, CollapseWatch
from vocabula.quantizers.conditional_residual import ConditionalResidualQuantizer
from vocabula.quantizers.estimators import DiVeQ, Estimator, IndexBackpropagation, Lookup
from vocabula.quantizers.finite_scalar import FiniteScalarQuantizer
from vocabula.quantizers.gumbel import Annealing, GumbelQuantizer
from vocabula.quantizers.initialization import FromData, Initialization, KMeans, Normal, Uniform
from vocabula.quantizers.learning import EMA, Gradient, LearningRule, LinearReparametrization
from vocabula.quantizers.lookup_free import LookupFreeQuantizer
from vocabula.quantizers.multi_scale import MultiScaleQuantizer
from vocabula.quantizers.product import ProductQuantizer
from vocabula.quantizers.rate import RateTerm
from vocabula.quantizers.reparametrization import NetworkReparametrization
from vocabula.quantizers.residual import ResidualQuantizer
from vocabula.quantizers.revival import Revival
from vocabula.quantizers.transforms import (
    AttentionTransform,
    CodebookTransform,
    LinearTransform,
    MLPTransform,
)
from vocabula.quantizers.usage import UsageTracker
from vocabula.quantizers.vector import VectorQuantizer

__all__ = [
    "EMA",
    "Annealing",
    "AttentionTransform",
    "BernoulliQuantizer",
    "Bottleneck",
    "CodebookTransform",
    "CollapseLimits",
    "CollapseWatch",
    "ConditionalResidualQuantizer",
    "DiVeQ",
    "Estimator",
    "FiniteScalarQuantizer",
    "FromData",
    "Gradient",
    "GumbelQuantizer",
    "IndexBackpropagation",
    "Initialization",
    "KMeans",
    "LearningRule",
    "LinearReparametrization",
    "LinearTransform",
    "Lookup",
    "LookupFreeQuantizer",
    "MLPTransform",
    "MultiScaleQuantizer",
    "NetworkReparametrization",
    "Normal",
    "ProductQuantizer",
    "Quantizer",
    "RateTerm",
    "ResidualQuantizer",
    "Revival",
    "Uniform",
    "UsageTracker",
    "VectorQuantizer",
]
