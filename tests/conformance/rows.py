"""One row per configuration of every public quantizer: what the battery runs through."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from conformance.whole_grids import OnVectors
from vocabula.quantizers import (
    EMA,
    Annealing,
    AttentionTransform,
    BernoulliQuantizer,
    ConditionalResidualQuantizer,
    DiVeQ,
    FiniteScalarQuantizer,
    Gradient,
    GumbelQuantizer,
    IndexBackpropagation,
    KMeans,
    LinearReparametrization,
    LookupFreeQuantizer,
    MLPTransform,
    MultiScaleQuantizer,
    NetworkReparametrization,
    Normal,
    ProductQuantizer,
    Quantizer,
    RateTerm,
    ResidualQuantizer,
    VectorQuantizer,
)

D = 8


@dataclass(frozen=True)
class Row:
    """A configuration.

    Attributes:
        name: as the tests print it.
        make: builds the quantizer; `prepare` settles it.
        random: whether codes in training are drawn.
        soft: whether values in training are mixtures of codewords.
    """

    name: str
    make: Callable[[], Quantizer]
    random: bool = False
    soft: bool = False


def vector(dim: int = D, **options: object) -> VectorQuantizer:
    return VectorQuantizer(dim, 16, **{"learning": EMA(decay=0.9)} | options)


def conditional(**options: object) -> ConditionalResidualQuantizer:
    """Its networks past the start, where they are the identity."""
    quantizer = ConditionalResidualQuantizer(D, 16, stages=2, **{"hidden": 6} | options)
    with torch.no_grad():
        for parameter in quantizer.networks.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return quantizer


def network(transform: nn.Module, **options: object) -> NetworkReparametrization:
    """The rule, its network past the start, where some layers are zero."""
    with torch.no_grad():
        for parameter in transform.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return NetworkReparametrization(transform, **options)


def lookup_free(**options: object) -> LookupFreeQuantizer:
    return LookupFreeQuantizer(D, **{"inverse_temperature": 1.0} | options)


def multi_scale(
    *stages: Quantizer, scales: tuple[int, ...] = (1, 4), **options: object
) -> Quantizer:
    return OnVectors(MultiScaleQuantizer(stages or [vector(2)], scales, axes=1, **options))


def finite_scalar(levels: list[int], **options: object) -> FiniteScalarQuantizer:
    return FiniteScalarQuantizer(levels, symmetric=True, dim=D, **options)


def with_scales(*stages: Quantizer, **options: object) -> ResidualQuantizer:
    """A stack that keeps its scales: eager passes would find others, compiled graphs none."""
    quantizer = ResidualQuantizer(stages, **options)
    quantizer.stage_scales.fits.fill_(1000)
    return quantizer


def several(stages: int, **options: object) -> list[Quantizer]:
    return [vector(**{"learning": Gradient()} | options) for _ in range(stages)]


ROWS = [
    Row("vector", vector),
    Row("vector, normal start, no revival", lambda: vector(initialization=Normal(), revival=None)),
    Row("vector, gradient", lambda: vector(learning=Gradient())),
    Row("vector, linear", lambda: vector(learning=LinearReparametrization())),
    Row("vector, cosine", lambda: vector(distance="cosine", learning=Gradient())),
    Row("vector, cosine, ema", lambda: vector(distance="cosine")),
    Row("vector, low-dimensional", lambda: vector(codebook_dim=3, learning=Gradient())),
    Row("vector, rotation", lambda: vector(estimator="rotation")),
    Row("vector, diveq", lambda: vector(estimator=DiVeQ(0.0), learning=Gradient())),
    Row(
        "vector, diveq, noise",
        lambda: vector(estimator=DiVeQ(0.01), learning=Gradient()),
        random=True,
        soft=True,
    ),
    Row(
        "vector, index backpropagation",
        lambda: vector(estimator=IndexBackpropagation(0.5), learning=Gradient()),
    ),
    Row("vector, mlp", lambda: vector(learning=network(MLPTransform(D, basis_dim=3)))),
    Row(
        "vector, attention",
        lambda: vector(
            learning=network(AttentionTransform(D, patch=2, width=8, layers=1), frozen=False)
        ),
    ),
    Row("vector, diversity", lambda: vector(learning=Gradient(), diversity_weight=0.1)),
    Row("vector, diversity, ema", lambda: vector(diversity_weight=0.1)),
    Row("vector, orthogonality", lambda: vector(learning=Gradient(), orthogonality_weight=0.1)),
    Row("vector, stochastic", lambda: vector(sampling_temperature=0.5), random=True),
    Row("vector, rate", lambda: vector(rate=RateTerm(0.02, decay=0.9))),
    Row(
        "vector, rate, null",
        lambda: vector(rate=RateTerm(0.02, decay=0.9, null=True), learning=Gradient()),
    ),
    Row("gumbel", lambda: GumbelQuantizer(D, 16), random=True),
    Row("gumbel, k-means", lambda: GumbelQuantizer(D, 16, initialization=KMeans()), random=True),
    Row("gumbel, soft", lambda: GumbelQuantizer(D, 16, hard=False), random=True, soft=True),
    Row(
        "gumbel, annealed",
        lambda: GumbelQuantizer(D, 16, temperature=Annealing(1.0, 0.1, steps=100)),
        random=True,
    ),
    Row("bernoulli", lambda: BernoulliQuantizer(D, bits=4), random=True),
    Row("lookup free", lambda: LookupFreeQuantizer(D)),
    Row("lookup free, several books", lambda: lookup_free(books=2)),
    Row("lookup free, spherical", lambda: lookup_free(spherical=True)),
    Row("lookup free, projected", lambda: lookup_free(bits=4, books=3)),
    Row("finite scalar", lambda: FiniteScalarQuantizer([8, 5, 3, 3, 3, 3, 3, 3])),
    Row("finite scalar, symmetric", lambda: finite_scalar([8, 5, 4, 3, 2, 2, 3, 5])),
    Row("finite scalar, clamped", lambda: finite_scalar([4] * D, hard_clamp=True)),
    Row("finite scalar, rotated", lambda: finite_scalar([3] * D, orthogonal_rotation=True)),
    Row("finite scalar, noise", lambda: finite_scalar([4] * D, noise_dropout=0.5), soft=True),
    Row("finite scalar, projected", lambda: FiniteScalarQuantizer([8, 5, 5], dim=D)),
    Row("residual", lambda: ResidualQuantizer(several(3))),
    Row("residual, ema", lambda: ResidualQuantizer(several(2, learning=EMA(decay=0.9)))),
    Row("residual, shared book", lambda: ResidualQuantizer([vector()], repeat=2)),
    Row(
        "residual, index backpropagation",
        lambda: ResidualQuantizer(several(2, estimator=IndexBackpropagation(0.5))),
    ),
    Row("residual, dropout", lambda: ResidualQuantizer(several(2), dropout=0.5), random=True),
    Row(
        "residual, structured dropout",
        lambda: with_scales(
            *(FiniteScalarQuantizer([3] * D) for _ in range(4)),
            dropout=0.9,
            dropout_least=2,
            dropout_multiple=2,
        ),
        random=True,
    ),
    # Fitted once: while fits go on, an eager search is greedy and a compiled one is not.
    Row(
        "residual, beam, rate",
        lambda: ResidualQuantizer(
            several(2, initialization=KMeans(refit_until=0), rate=RateTerm(0.02, null=True)), beam=3
        ),
    ),
    Row(
        "residual, beam",
        lambda: ResidualQuantizer(several(2, initialization=KMeans(refit_until=0)), beam=3),
    ),
    Row(
        "residual, lookup free",
        lambda: ResidualQuantizer([lookup_free(scale=s) for s in (1.0, 0.5)]),
    ),
    Row(
        "residual, spherical",
        lambda: with_scales(*(lookup_free(spherical=True) for _ in range(2))),
    ),
    Row("conditional residual", conditional),
    Row("conditional residual, preselection", lambda: conditional(preselection=4, revival=None)),
    Row("multi-scale", lambda: multi_scale(scales=(1, 2, 4))),
    Row(
        "multi-scale, a book each",
        lambda: multi_scale(
            *(vector(2, learning=Gradient(), revival=None) for _ in "ab"),
            scales=(2, 4),
            convolutions=2,
            interpolation="cubic",
        ),
    ),
    Row("multi-scale, dropout", lambda: multi_scale(dropout=0.5, convolutions=0), random=True),
    Row(
        "residual, finite scalar",
        lambda: with_scales(*(FiniteScalarQuantizer([3] * D) for _ in range(2))),
    ),
    Row(
        "residual, finite scalar, beam",
        lambda: with_scales(finite_scalar([2] * D), finite_scalar([3]), beam=2),
    ),
    Row("product", lambda: ProductQuantizer([vector(4), vector(4, learning=Gradient())])),
    Row(
        "product, dropout",
        lambda: ProductQuantizer([vector(4, learning=Gradient()) for _ in "ab"], dropout=0.5),
        random=True,
    ),
]
BY_NAME = {row.name: row for row in ROWS}


def data(*batch: int, seed: int = 0) -> Tensor:
    """Vectors (*batch, D)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*batch, D, generator=generator, dtype=torch.float32, device="cpu")


def prepare(row: Row, *, training: bool = True, auto_update: bool = True) -> Quantizer:
    """A quantizer of that row, always the same, past its first steps.

    K-means fits again at the steps 0, 1, 2, 4 and 8, so the next two steps are ordinary ones.
    """
    quantizer = copy.deepcopy(_prepared(row))
    quantizer.auto_update = auto_update
    return quantizer.train(training)


def write_prepared(folder: str) -> None:
    """Write the quantizers of all rows, so that other processes need not prepare them again."""
    torch.save({row.name: _prepared(row) for row in ROWS}, Path(folder, PREPARED))


def read_prepared(folder: str) -> None:
    """Let `prepare` start from what another process wrote."""
    _PREPARED.update(torch.load(Path(folder, PREPARED), weights_only=False))


PREPARED = "prepared.pt"
_PREPARED: dict[str, Quantizer] = {}


def _prepared(row: Row) -> Quantizer:
    if row.name not in _PREPARED:
        torch.manual_seed(0)
        quantizer = row.make()
        for seed in range(6):
            quantizer(data(100, seed=100 + seed))
        _PREPARED[row.name] = quantizer
    return _PREPARED[row.name]


def total(losses: dict[str, Tensor]) -> Tensor:
    """All terms, also those of weight zero, as one number with a graph."""
    zero = torch.zeros((), requires_grad=True)
    return torch.stack([zero, *(term.sum() for term in losses.values())]).sum()
