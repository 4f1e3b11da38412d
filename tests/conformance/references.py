"""Every loss term by its formula, in float64, with the matrices that the library never builds.

Each function takes a quantizer, its parameters in float64 by name, vectors z (N, D) and the codes
that were chosen, and returns the terms by name, as `Quantized.losses` has them.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool1d, conv1d, interpolate

from conformance.whole_grids import OnVectors
from vocabula.quantizers import (
    BernoulliQuantizer,
    ConditionalResidualQuantizer,
    FiniteScalarQuantizer,
    GumbelQuantizer,
    LookupFreeQuantizer,
    ProductQuantizer,
    Quantizer,
    ResidualQuantizer,
    VectorQuantizer,
)
from vocabula.quantizers.refinement import choice
from vocabula.quantizers.reparametrization import NetworkCodebook

Weights = dict[str, Tensor]
Terms = dict[str, Tensor]


def weights_of(quantizer: Quantizer) -> Weights:
    """Parameters and floating-point buffers in float64, parameters with gradients."""
    weights = {name: b.double() for name, b in quantizer.named_buffers() if b.is_floating_point()}
    for name, p in quantizer.named_parameters():
        weights[name] = p.detach().double().requires_grad_()
    return weights


def entropy(p: Tensor) -> Tensor:
    return -(p * p.clamp_min(1e-300).log()).sum(-1)


def unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=-1, keepdim=True)


def projected(weights: Weights, name: str, x: Tensor) -> Tensor:
    if f"{name}.weight" not in weights:
        return x
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def codewords(quantizer: VectorQuantizer, weights: Weights) -> Tensor:
    if isinstance(quantizer.book, NetworkCodebook):
        network = copy.deepcopy(quantizer.book.network).double()
        own = below(weights, "book.network.")
        book = torch.func.functional_call(network, own, (weights["book.basis"],))
        book = book + weights["book.offset"]
    elif "book.basis" in weights:
        book = weights["book.basis"] @ weights["book.weight"]
    else:
        book = weights["book.weight"]
    if "rate.share" in weights and quantizer.rate.rule.null:
        book = torch.cat([torch.zeros_like(book[:1]), book[1:]])
    return unit(book) if quantizer.distance == "cosine" else book


def vector(quantizer: VectorQuantizer, weights: Weights, z: Tensor, codes: Tensor) -> Terms:
    book = codewords(quantizer, weights)
    inner = projected(weights, "project_in", z)
    inner = unit(inner) if quantizer.distance == "cosine" else inner
    one_hot = torch.eye(len(book)).double()[codes]
    chosen = one_hot @ book
    terms = {"commitment": (inner - chosen.detach()).square().mean()}
    if "rate.share" in weights:
        share = weights["rate.share"] + 2.0**-20
        terms["rate"] = (one_hot @ -(share / share.sum()).log2()).mean()
    if quantizer.book.by_gradient:
        terms["codebook"] = (inner.detach() - chosen).square().mean()
    if quantizer.diversity_weight:
        squares = (inner[:, None] - book).square().sum(-1)
        temperature = (inner - chosen).square().sum(-1).mean().detach()
        p = (-squares / temperature).softmax(-1)
        terms["assignment_entropy"] = entropy(p).mean()
        terms["usage_kl"] = math.log(len(book)) - entropy(p.mean(0))
    if quantizer.orthogonality_weight:
        gram = unit(book) @ unit(book).T
        terms["orthogonality"] = (gram - torch.eye(len(book))).square().sum() / len(book) ** 2
    return terms


def gumbel(quantizer: GumbelQuantizer, weights: Weights, z: Tensor, codes: Tensor) -> Terms:
    q = projected(weights, "to_logits", z).softmax(-1)
    return {"kl": (q * (q * q.shape[-1]).log()).sum(-1).mean()}


def bernoulli(quantizer: BernoulliQuantizer, weights: Weights, z: Tensor, codes: Tensor) -> Terms:
    """By the distribution over all codes, which is built here code by code."""
    logits = projected(weights, "to_bits", z)[:, None]
    bits = list(itertools.product((0.0, 1.0), repeat=quantizer.bits_per_code))
    one = torch.tensor(bits).double()
    p = (one * logits.sigmoid() + (1 - one) * (-logits).sigmoid()).prod(-1)
    kl = (p * (p * p.shape[-1]).log()).sum(-1)
    return {"kl": (kl - quantizer.free_bits * math.log(2)).clamp_min(0).mean()}


def lookup_free(
    quantizer: LookupFreeQuantizer,
    weights: Weights,
    z: Tensor,
    codes: Tensor,
    scale: Tensor | None = None,
) -> Terms:
    """The terms; distances count in units of `scale` (D,)."""
    inner = projected(weights, "project_in", z)
    inner = inner.unflatten(-1, (quantizer.books, quantizer.bits_per_book))
    inner = unit(inner) if quantizer.spherical else inner
    size = torch.ones(quantizer.dim).double() if scale is None else scale
    size = size.reshape(inner[0].shape) if size.numel() == inner[0].numel() else size[0]
    bits = list(itertools.product((-1.0, 1.0), repeat=quantizer.bits_per_book))
    corners = quantizer.magnitude * torch.tensor(bits).double()
    chosen = corners[codes.reshape(len(z), -1)]
    p = (2 * quantizer.inverse_temperature * inner @ corners.T).softmax(-1)
    return {
        "commitment": ((inner - chosen) * size).square().mean(),
        "entropy_sample": entropy(p).mean(0),
        "entropy_batch": entropy(p.mean(0)),
    }


def finite_scalar(quantizer: Quantizer, weights: Weights, z: Tensor, codes: Tensor) -> Terms:
    return {}


def below(weights: Weights, prefix: str) -> Weights:
    return {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}


def joined(parts: list[tuple[Quantizer, Terms]]) -> Terms:
    """The terms of several quantizers, one number per book, zero where a part lacks one."""
    names = dict.fromkeys(name for _, terms in parts for name in terms)
    zero = torch.zeros(()).double()
    return {
        name: torch.cat([terms.get(name, zero).expand(part.books) for part, terms in parts])
        for name in names
    }


def places(quantizer: ResidualQuantizer | ProductQuantizer, weights: Weights) -> list[Weights]:
    """The weights of each part, the same ones for parts that share them."""
    distinct = list(quantizer.quantizers)
    return [below(weights, f"quantizers.{distinct.index(p)}.") for p in quantizer.parts]


def residual(quantizer: ResidualQuantizer, weights: Weights, z: Tensor, codes: Tensor) -> Terms:
    parts, left = [], z
    for i, (stage, own) in enumerate(
        zip(quantizer.stages, places(quantizer, weights), strict=True)
    ):
        here = codes[:, i] >= 0
        piece = codes[:, i].clamp_min(0)
        scale = weights["stage_scales.weight"][i] if quantizer.stage_scales else torch.ones(1)
        unit = {"scale": scale} if isinstance(stage, LookupFreeQuantizer) else {}
        terms = REFERENCES[type(stage)](stage, own, left[here] / scale, piece[here], **unit)
        parts.append((stage, terms))
        with torch.no_grad():
            values = stage.decode(piece).double() * scale
        left = left - torch.where(here[:, None], values, 0)
    return joined(parts)


def conditional(
    quantizer: ConditionalResidualQuantizer, weights: Weights, z: Tensor, codes: Tensor
) -> Terms:
    total = torch.zeros_like(z)
    terms: dict[str, list[Tensor]] = {"commitment": [], "codebook": []}
    for i, own in enumerate(places(quantizer, weights)):
        added = own["book.weight"][codes[:, i]]
        if i:
            step = below(weights, f"networks.{i - 1}.")
            both = torch.cat([added, total], dim=-1)
            joined = torch.cat([step["of_code.weight"], step["of_sum.weight"]], dim=-1)
            added = added + both @ joined.T + step["of_code.bias"]
            for j in range(2):
                hidden = (added @ step[f"enter.{j}.weight"].T).clamp_min(0)
                added = added + hidden @ step[f"leave.{j}.weight"].T
        total = total + added
        terms["commitment"].append((z - total.detach()).square().mean())
        terms["codebook"].append((z.detach() - total).square().mean())
    return {name: torch.stack(each) for name, each in terms.items()}


def product(quantizer: ProductQuantizer, weights: Weights, z: Tensor, codes: Tensor) -> Terms:
    slices = z.split([part.dim for part in quantizer.parts], dim=-1)
    parts = []
    for i, (part, own) in enumerate(zip(quantizer.parts, places(quantizer, weights), strict=True)):
        here = codes[:, i] >= 0
        terms = REFERENCES[type(part)](part, own, slices[i][here], codes[here, i])
        parts.append((part, terms))
    return joined(parts)


def multi_scale(quantizer: OnVectors, weights: Weights, z: Tensor, codes: Tensor) -> Terms:
    """By the functions of torch that pool, interpolate and convolve along one axis."""
    inner, terms = quantizer.inner, {}
    x = z.unflatten(-1, (4, 2)).movedim(-1, 1)
    total, distinct = torch.zeros_like(x), list(inner.quantizers)
    for i, (piece, side) in enumerate(zip(inner.split(codes), inner.scales, strict=True)):
        here = piece[:, 0] >= 0
        book = inner.levels[i].quantizer
        own = below(weights, f"inner.quantizers.{distinct.index(book)}.")
        left = adaptive_avg_pool1d(x - total.detach(), side).movedim(1, -1)
        rows, chosen = left[here].flatten(0, 1), piece[here].flatten()
        own_terms = REFERENCES[type(book)](book, own, rows, chosen)
        values = codewords(book, own)[piece.clamp_min(0)].movedim(-1, 1).detach()
        if inner.interpolation == "linear":
            raised = interpolate(values, size=4, mode="linear")
        else:  # of a grid with one row
            raised = interpolate(values[:, :, None], size=(1, 4), mode="bicubic")[:, :, 0]
        if len(inner.refinements):
            which = choice(i, len(inner.scales), len(inner.refinements))
            kernel = below(weights, f"inner.refinements.{which}.conv.")
            smooth = conv1d(raised, kernel["weight"], kernel["bias"], padding=1)
            raised = 0.5 * raised + 0.5 * smooth
        total = total + torch.where(here[:, None, None], raised, 0)
        terms |= {f"level{i + 1}.{name}": term for name, term in own_terms.items()}
        error = (x.detach() - total).square().movedim(1, -1)[here]
        terms[f"level{i + 1}.refinement"] = error.mean()
    return terms


REFERENCES: dict[type, Callable[..., Terms]] = {
    VectorQuantizer: vector,
    GumbelQuantizer: gumbel,
    BernoulliQuantizer: bernoulli,
    LookupFreeQuantizer: lookup_free,
    FiniteScalarQuantizer: finite_scalar,
    ResidualQuantizer: residual,
    ConditionalResidualQuantizer: conditional,
    ProductQuantizer: product,
    OnVectors: multi_scale,
}
