"""How a codebook learns: moving averages, gradients, or a linear map of a frozen codebook."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Gt, Lt
from torch import Tensor, nn

from vocabula.errors import OptionError
from vocabula.functional import distributed
from vocabula.quantizers.local_state import LocalState
from vocabula.quantizers.pending import Pending
from vocabula.quantizers.precision import KeepDtype
from vocabula.quantizers.shards import OwnParameters, whole
from vocabula.registry import component


class Codebook(Pending, ABC):
    """K codewords of width D, and the state that their learning needs.

    Attributes:
        by_gradient: whether the codewords receive gradients (and so need a codebook loss).
    """

    by_gradient: bool

    @abstractmethod
    def vectors(self) -> Tensor:
        """The codewords (K, D); differentiable where `by_gradient`.

        The tensor stays valid for a backward pass even if the codebook learns before it.
        """

    @abstractmethod
    def assign(self, vectors: Tensor, counts: Tensor | None = None) -> None:
        """Replace every codeword by `vectors` (K, D), and forget earlier learning.

        `counts` (K,) says how many data vectors each stands for; 1 each if left out.
        """

    @abstractmethod
    def replace(self, where: Tensor, vectors: Tensor, mass: Tensor) -> None:
        """Replace the codewords where (K,) is true by rows of `vectors` (K, D).

        `mass`, () or (K,), is their initial weight in vectors per update.
        """

    def select(self, kept: Tensor) -> None:
        """Keep only the codewords `kept` (K',), indices in rising order.

        Raises:
            OptionError: if this kind of codebook cannot lose codewords.
        """
        raise OptionError(
            f"{type(self).__name__}: expected a codebook that can lose codewords, got one without "
            "a table of them; keep all"
        )

    def accumulate(self, sums: Tensor) -> None:
        """Record the sums (K, D) of the vectors of each codeword, for the next `update`."""

    def update(self, counts: Tensor) -> None:
        """Learn from the accumulated sums; `counts` (K,) are the hits over all processes."""


class LearningRule(ABC):
    """How codewords learn: makes the `Codebook` that holds the state."""

    component_kind = "learning"

    @abstractmethod
    def codebook(self, vectors: Tensor) -> Codebook:
        """A codebook that starts at `vectors` (K, D)."""


@component("learning", "ema")
@dataclass(frozen=True)
class EMA(LearningRule):
    """Exponential moving averages of the vectors assigned to each codeword.

    With n_k hits of sum s_k in an update and decay g::

        N_k <- g N_k + (1 - g) n_k      m_k <- g m_k + (1 - g) s_k      e_k = m_k / N~_k
        N~_k = (N_k + eps) / (sum N + K eps) sum N

    A codeword without a hit does not move (its N_k and m_k shrink alike), so smoothing never
    pulls it to the origin. The state is only e and N, as m is e N~: a codebook that is set by hand
    stays set.

    Args:
        decay: g, the weight of the past.
        eps: Laplace smoothing of the masses, in vectors.

    Source:
        van den Oord et al. 2017, "Neural Discrete Representation Learning", appendix A.1.
    """

    decay: Annotated[float, Gt(0), Lt(1)] = 0.99
    eps: Annotated[float, Gt(0)] = 1e-5

    def codebook(self, vectors: Tensor) -> Codebook:
        """A codebook of moving averages that starts at `vectors` (K, D)."""
        return EMACodebook(vectors, self)


class EMACodebook(LocalState, KeepDtype, Codebook):
    """Codewords as moving averages; see `EMA`. Its state is float32 for any module dtype."""

    by_gradient = False
    kept_buffers = ("weight", "mass", "pending_sums")
    weight: Tensor
    mass: Tensor
    pending_sums: Tensor

    def __init__(self, vectors: Tensor, rule: EMA) -> None:
        super().__init__()
        self.rule = rule
        vectors = vectors.detach().float()
        self.register_buffer("weight", vectors.clone())
        self.register_buffer("mass", vectors.new_ones(len(vectors)))
        self.keep_local("pending_sums", torch.zeros_like(vectors), persistent=False)

    def vectors(self) -> Tensor:
        """The codewords (K, D)."""
        return self.weight

    @torch.no_grad()
    def assign(self, vectors: Tensor, counts: Tensor | None = None) -> None:
        """Replace all codewords; their masses become `counts`, at least 1."""
        self.weight.copy_(vectors)
        self.mass.copy_(counts.clamp_min(1) if counts is not None else torch.ones_like(self.mass))
        self.pending_sums.zero_()

    @torch.no_grad()
    def replace(self, where: Tensor, vectors: Tensor, mass: Tensor) -> None:
        """Replace the codewords where (K,) is true; they start with `mass`."""
        self.weight.copy_(torch.where(where[:, None], vectors.to(self.weight), self.weight))
        self.mass.copy_(torch.where(where, mass.to(self.mass), self.mass))

    def select(self, kept: Tensor) -> None:
        """Keep only the codewords `kept` (K',), with their masses."""
        self.weight, self.mass = self.weight[kept], self.mass[kept]
        self.pending_sums = self.pending_sums[kept.to(self.pending_sums.device)]

    @torch.no_grad()
    def accumulate(self, sums: Tensor) -> None:
        """Add the sums (K, D) to the pending ones."""
        self.follow(sums)
        self.pending_sums.add_(sums)

    @torch.no_grad()
    def update(self, counts: Tensor) -> None:
        """One step of the moving averages; if there are no hits, nothing decays."""
        sums = distributed.all_reduce_sum(self.pending_sums)
        counts = counts.to(self.mass)
        total = counts.sum()
        decay = torch.where(total > 0, torch.full_like(total, self.rule.decay), 1.0)
        before = self._smoothed()
        self.mass.mul_(decay).add_((1 - decay) * counts)
        moved = decay * before[:, None] * self.weight + (1 - decay) * sums
        updated = moved / self._smoothed()[:, None]
        self.weight.copy_(torch.where((counts > 0)[:, None], updated, self.weight))
        self.pending_sums.zero_()

    def _smoothed(self) -> Tensor:
        total, eps = self.mass.sum(), self.rule.eps
        return (self.mass + eps) / (total + len(self.mass) * eps) * total


@component("learning", "gradient")
@dataclass(frozen=True)
class Gradient(LearningRule):
    """Codewords are a parameter, moved by the codebook loss mean(||sg(z) - e||^2).

    Source:
        van den Oord et al. 2017, equation 3.
    """

    def codebook(self, vectors: Tensor) -> Codebook:
        """A trainable codebook that starts at `vectors` (K, D)."""
        return GradientCodebook(vectors)


class GradientCodebook(OwnParameters, Codebook):
    """Codewords as a parameter; see `Gradient`."""

    by_gradient = True

    def __init__(self, vectors: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(vectors.detach().clone())

    def vectors(self) -> Tensor:
        """The codewords (K, D), a copy that in-place learning cannot touch."""
        return whole(self.weight).clone()

    def assign(self, vectors: Tensor, counts: Tensor | None = None) -> None:
        """Replace all codewords."""
        self.set_parameter("weight", vectors)

    def replace(self, where: Tensor, vectors: Tensor, mass: Tensor) -> None:
        """Replace the codewords where (K,) is true."""
        self.set_parameter("weight", vectors, where[:, None])

    def select(self, kept: Tensor) -> None:
        """Keep only the codewords `kept` (K',), as a new parameter."""
        self.weight = nn.Parameter(self.weight.detach()[kept], self.weight.requires_grad)


@component("learning", "linear")
@dataclass(frozen=True)
class LinearReparametrization(LearningRule):
    """Codewords are a frozen codebook through one trainable matrix: e_k = c_k W (SimVQ).

    Every codeword moves with W, so none is left behind.

    Source:
        Zhu et al. 2024, "Addressing Representation Collapse in Vector Quantized Models with One
        Linear Layer", equation 8.
    """

    def codebook(self, vectors: Tensor) -> Codebook:
        """A reparametrized codebook that starts at `vectors` (K, D)."""
        return LinearCodebook(vectors)


class LinearCodebook(OwnParameters, Codebook):
    """A frozen basis through a trainable matrix; see `LinearReparametrization`."""

    by_gradient = True
    basis: Tensor

    def __init__(self, vectors: Tensor) -> None:
        super().__init__()
        self.register_buffer("basis", vectors.detach().clone())
        self.weight = nn.Parameter(torch.eye(vectors.shape[1], dtype=vectors.dtype))

    def vectors(self) -> Tensor:
        """The codewords (K, D) = basis @ weight."""
        return self.basis.clone() @ whole(self.weight)

    @torch.no_grad()
    def assign(self, vectors: Tensor, counts: Tensor | None = None) -> None:
        """Make `vectors` the basis and the identity the map."""
        self.basis.copy_(vectors)
        self.set_parameter("weight", torch.eye(len(self.weight)))

    def select(self, kept: Tensor) -> None:
        """Keep only the rows `kept` (K',) of the basis."""
        self.basis = self.basis[kept]

    @torch.no_grad()
    def replace(self, where: Tensor, vectors: Tensor, mass: Tensor) -> None:
        """Move basis rows so that the map takes them to `vectors`, if W can be inverted."""
        weight = whole(self.weight).float()
        rows, info = torch.linalg.solve_ex(weight, vectors.to(weight), left=False)
        sound = where & rows.isfinite().all(-1) & (info == 0)
        self.basis.copy_(torch.where(sound[:, None], rows.to(self.basis), self.basis))
