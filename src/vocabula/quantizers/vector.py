"""The vector quantizer: nearest codeword of a learned codebook."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from annotated_types import Ge
from torch import Tensor, nn

from vocabula.errors import OptionError, ShapeError
from vocabula.functional import (
    code_counts,
    code_statistics,
    distributed,
    masked_mean,
    nearest_codeword,
    nearest_codewords,
    rotation,
    sample_codeword,
    soft_assignment_entropies,
    straight_through,
)
from vocabula.functional._checks import amount, mask_and_weights
from vocabula.functional.statistics import weighted_statistics
from vocabula.quantizers.base import Quantizer
from vocabula.quantizers.estimators import Estimator, Lookup
from vocabula.quantizers.fitting import FittedStart
from vocabula.quantizers.gradient_watch import GradientWatch
from vocabula.quantizers.initialization import Initialization, KMeans
from vocabula.quantizers.learning import EMA, Codebook, LearningRule
from vocabula.quantizers.precision import KeepDtype
from vocabula.quantizers.projection import Projection, unit
from vocabula.quantizers.rate import RateTerm
from vocabula.quantizers.regularization import orthogonality
from vocabula.quantizers.revival import Revival
from vocabula.registry import component
from vocabula.types import Quantized

Function = Callable[[Tensor, Tensor], Tensor]
ESTIMATORS: dict[str, Function] = {"straight_through": straight_through, "rotation": rotation}

Size = Annotated[int, Ge(1)]
Weight = Annotated[float, Ge(0)]


@component("quantizer", "vector")
class VectorQuantizer(FittedStart, KeepDtype, Quantizer):
    """Vector quantization: z becomes its nearest codeword.

    ``k* = argmin_k ||z - e_k||^2``, ties to the lowest index, and ``values = e_k*``. Losses are
    means over elements::

        commitment = mean(||z - sg(e)||^2)           codebook = mean(||sg(z) - e||^2)
        assignment_entropy = mean_n H(p(.|z_n))      usage_kl = log K - H(mean_n p(.|z_n))
        orthogonality = (||E^ E^^T - I||_F^2) / K^2  with unit rows E^

    where p(k|z) = softmax(-||z - e_k||^2 / T) and T is the mean squared quantization error of
    the batch, so that diversity does not depend on the scale of the data. Entropies are in nats.

    Args:
        dim: D, width of the vectors.
        codebook_size: K, number of codewords.
        codebook_dim: width of the codewords; vectors are projected to it and back. None: D.
        distance: squared Euclidean, or cosine, where vectors and codewords are scaled to norm 1.
        estimator: gradient of the look-up: the identity, a rotation, an `Estimator` such as `DiVeQ`
            or `IndexBackpropagation`, or a function ``(z, values) -> values``.
        learning: how codewords learn: `EMA`, `Gradient`, `LinearReparametrization` or
            `NetworkReparametrization`.
        initialization: where codewords start: `KMeans`, `FromData`, `Normal` or `Uniform`.
        revival: how dead codewords come back, or None.
        commitment_weight: beta, weight of the commitment term.
        codebook_weight: weight of the codebook term (codebooks that learn by gradient).
        diversity_weight: weight of assignment_entropy + usage_kl.
        orthogonality_weight: weight of the orthogonality term (codebooks that learn by gradient).
        sampling_temperature: above 0, training draws codes from softmax(-distance^2 / it).
        rate: a `RateTerm`: the search pays for the bits of a code, and there is no revival. The
            mean bits of a vector are then among `losses`, without weight.
        channel_dim: where the vectors' components are.
        auto_update: apply learning at the end of each training forward pass; if False, call
            `update` once per optimizer step. Under activation checkpointing set it False.

    Shape:
        z (*batch, D) to values (*batch, D) and codes (*batch).

    Raises:
        OptionError: a size or weight out of range, or orthogonality without gradient learning.

    Example:
        >>> quantizer = VectorQuantizer(dim=64, codebook_size=512)
        >>> quantizer(torch.randn(8, 16, 16, 64)).codes.shape
        torch.Size([8, 16, 16])

    Source:
        van den Oord et al. 2017 (VQ-VAE); Yu et al. 2021 (ViT-VQGAN) for the low-dimensional
        codebook and cosine; Fifty et al. 2024 for rotation; Takida et al. 2022 for stochastic
        codes; Shin et al. 2023 for orthogonality.
    """

    kept_buffers = ("pending_counts",)
    pending_counts: Tensor

    def __init__(
        self,
        dim: Size,
        codebook_size: Size,
        *,
        codebook_dim: Size | None = None,
        distance: Literal["euclidean", "cosine"] = "euclidean",
        estimator: Literal["straight_through", "rotation"]
        | Estimator
        | Function = "straight_through",
        learning: LearningRule = EMA(),  # noqa: B008 - frozen
        initialization: Initialization = KMeans(),  # noqa: B008 - frozen
        revival: Revival | None = Revival(),  # noqa: B008 - frozen
        commitment_weight: Weight = 0.25,
        codebook_weight: Weight = 1.0,
        diversity_weight: Weight = 0.0,
        orthogonality_weight: Weight = 0.0,
        sampling_temperature: Weight = 0.0,
        rate: RateTerm | None = None,
        channel_dim: int = -1,
        auto_update: bool = True,
    ) -> None:
        super().__init__(
            dim, (codebook_size,), (), channel_dim=channel_dim, auto_update=auto_update
        )
        width = codebook_dim or dim
        projected = width != dim
        self.project_in: nn.Module = Projection(dim, width) if projected else nn.Identity()
        self.project_out: nn.Module = Projection(width, dim) if projected else nn.Identity()
        self.distance = distance
        self.estimator = ESTIMATORS[estimator] if isinstance(estimator, str) else estimator
        self.book = learning.codebook(initialization.start(codebook_size, width))
        revived = revival is not None and rate is None
        self.revival = revival.state(codebook_size, width) if revival and revived else None
        self.rate = rate.state(codebook_size) if rate else None
        self.commitment_weight = commitment_weight
        self.codebook_weight = codebook_weight
        self.diversity_weight = diversity_weight
        self.orthogonality_weight = orthogonality_weight
        self.sampling_temperature = sampling_temperature
        if orthogonality_weight > 0 and not self.book.by_gradient:
            raise OptionError(
                "VectorQuantizer.orthogonality_weight: expected 0 with moving averages, which "
                f"overwrite its effect, got {orthogonality_weight}; use learning=Gradient()"
            )
        if isinstance(estimator, Estimator) and estimator.teaches and not self.book.by_gradient:
            raise OptionError(
                f"VectorQuantizer.estimator: expected a codebook that learns by gradient with "
                f"{type(estimator).__name__}, got {learning!r}; use learning=Gradient()"
            )
        if rate is not None and rate.null and distance == "cosine":
            raise OptionError(
                "VectorQuantizer.rate: expected null=False with the cosine distance, whose "
                "codewords have norm 1, got null=True; use the euclidean distance"
            )
        counts = torch.zeros(codebook_size, dtype=torch.float32)
        if self.rate is not None:
            counts = torch.zeros_like(self.rate.share)
        self.keep_local("pending_counts", counts, persistent=False)
        self.keep_fits(initialization)
        self._gradients = GradientWatch()

    # ------------------------------------------------------------- codebook

    @property
    def codebook(self) -> Tensor:
        """The codewords (K, codebook_dim), without gradient; assign a tensor to set them."""
        return self._codewords().detach()

    @codebook.setter
    def codebook(self, vectors: Tensor) -> None:
        expected = self.book.vectors().shape
        if vectors.shape != expected:
            raise ShapeError(
                f"VectorQuantizer.codebook: expected shape {tuple(expected)}, "
                f"got {tuple(vectors.shape)}; give one row per codeword"
            )
        self.book.assign(vectors.detach())
        if self.revival is not None:
            self.revival.vain.zero_()
        self._end_fits()

    def _codewords(self) -> Tensor:
        vectors = self.book.vectors().to(self.compute_dtype)
        if self.rate is not None and self.rate.rule.null:
            vectors = torch.cat([torch.zeros_like(vectors[:1]), vectors[1:]])
        return unit(vectors) if self.distance == "cosine" else vectors

    @property
    def plain(self) -> bool:
        """Whether codes come from a plain Euclidean search for the unchanged input vectors."""
        projected = not isinstance(self.project_in, nn.Identity)
        drawn = self.training and self.sampling_temperature > 0
        return self.distance == "euclidean" and not (projected or drawn or self.rate)

    @torch.no_grad()
    def _fit(self, z: Tensor, mask: Tensor | None) -> Tensor:
        """Set the codewords from the batch where that is due ()."""
        vectors, counts, due = self._found(z, mask, self.codebook_sizes[0])
        self.book.replace(due.expand(len(counts)), vectors, counts.clamp_min(1))
        if self.revival is not None:
            self.revival.restart(due, counts)
        if self.rate is not None:
            self.rate.restart(due, counts)
        self._note(due)
        return due

    # ------------------------------------------------------------- quantizer

    def _inner(self, z: Tensor) -> Tensor:
        inner: Tensor = self.project_in(z)
        return unit(inner) if self.distance == "cosine" else inner

    def _quantize(self, z: Tensor, mask: Tensor | None, codes: Tensor | None = None) -> Quantized:
        inner = self._inner(z)
        fitting = self.learning_active and self._fitting()
        fitted = self._fit(inner.detach(), mask) if fitting else None
        codebook = self._codewords()
        if self.book.by_gradient and self.training and not self.frozen:
            self._gradients.follow(codebook)
        if codes is None:
            codes = self._search(inner.detach(), codebook.detach())
        elif fitted is not None:  # then given codes belong to the previous codebook
            found = self._search(inner.detach(), codebook.detach())
            codes = torch.where(fitted, found, codes)
        chosen = F.embedding(codes, codebook)
        if self.learning_active:
            self._learn(inner.detach(), codes, mask, chosen.detach())
            self._track(codes, mask, inner, chosen)
        losses = self._losses(inner, chosen, codebook, mask)
        if self.rate is not None:
            bits = self.rate.of_codes(self.rate.bits(), codes, self._contexts(codes.shape[0]))
            losses["rate"] = masked_mean(bits.to(self.compute_dtype)[:, None], mask)
        values = self.project_out(self._estimated(inner, codes, chosen, codebook))
        return Quantized(values, codes, self._weigh(losses), losses)

    def _estimated(self, inner: Tensor, codes: Tensor, chosen: Tensor, codebook: Tensor) -> Tensor:
        """The codewords (N, width), with the estimator's gradient."""
        if not isinstance(self.estimator, Estimator):
            return self.estimator(inner, chosen.detach())
        learning = self.training and not self.frozen
        return self.estimator.values(
            Lookup(inner, codes, chosen, codebook, self.distance, learning)
        )

    def _contexts(self, rows: int) -> Tensor | None:
        """The table of the rate term (N,) of each of `rows` vectors; None for a single one."""
        return None if self.rate is None else self.rate.contexts(self.activity, rows)

    def _found_by(
        self, find: Callable[[Tensor, Tensor], Tensor], inner: Tensor, codebook: Tensor
    ) -> Tensor:
        """What a search gives for vectors (N, width), in which bits count if there is a rate."""
        if self.rate is None:
            return find(inner, codebook)
        return self.rate.search(find, inner, codebook, self._contexts(inner.shape[0]))

    def _search(self, inner: Tensor, codebook: Tensor) -> Tensor:
        # Rows are normalised already, and nearest is then the same by angle and by distance.
        if self.training and not self.frozen and self.sampling_temperature > 0:
            rows = distributed.item_rows(len(inner))
            temperature = self.sampling_temperature

            def draw(z: Tensor, book: Tensor) -> Tensor:
                return sample_codeword(z, book, temperature, item_rows=rows)

            return self._found_by(draw, inner, codebook)
        return self._found_by(nearest_codeword, inner, codebook)

    def _losses(
        self, inner: Tensor, chosen: Tensor, codebook: Tensor, mask: Tensor | None
    ) -> dict[str, Tensor]:
        losses = {"commitment": masked_mean((inner - chosen.detach()).square(), mask)}
        if self.book.by_gradient:
            losses["codebook"] = masked_mean((inner.detach() - chosen).square(), mask)
        if self.diversity_weight > 0:
            width, size = codebook.shape[1], codebook.shape[0]
            error = distributed.all_reduce_mean(losses["commitment"].detach()) * width
            if not self.book.by_gradient:
                codebook = codebook.clone()
            kept, weights = mask_and_weights(mask)
            sample, batch = soft_assignment_entropies(
                inner, codebook, temperature=error.clamp_min(1e-8), mask=kept, weights=weights
            )
            losses["assignment_entropy"] = sample
            # Over all processes: one with an empty mask gives the same divergence as the others.
            here = batch.new_tensor(len(inner)) if mask is None else amount(mask)
            rows = distributed.all_reduce_sum(here)
            highest = torch.where(rows > 0, torch.log(batch.new_tensor(size)), 0.0)
            losses["usage_kl"] = highest - batch
        if self.orthogonality_weight > 0:
            losses["orthogonality"] = orthogonality(codebook)
        return losses

    def _weigh(self, losses: dict[str, Tensor]) -> Tensor:
        weights = {
            "commitment": self.commitment_weight,
            "codebook": self.codebook_weight,
            "assignment_entropy": self.diversity_weight,
            "usage_kl": self.diversity_weight,
            "orthogonality": self.orthogonality_weight,
            "rate": 0.0,
        }
        return torch.stack([weights[name] * term for name, term in losses.items()]).sum()

    @torch.no_grad()
    def _learn(
        self, inner: Tensor, codes: Tensor, mask: Tensor | None, chosen: Tensor | None = None
    ) -> None:
        self.follow(inner)
        size = self.codebook_sizes[0]
        if mask is not None and mask.is_floating_point():
            counts, sums = weighted_statistics(inner, codes, size, mask)
            self.book.accumulate(sums)
        elif self.book.by_gradient:
            counts = code_counts(codes, size, mask)
        else:
            counts, sums = code_statistics(inner, codes, size, mask)
            self.book.accumulate(sums)
        self._count(counts, codes, mask)
        if self.revival is not None:
            self.revival.observe(inner, mask, chosen)

    def _count(self, counts: Tensor, codes: Tensor, mask: Tensor | None) -> None:
        """Keep the hits (K,) of codes (N,) for the next update, for each context alone."""
        contexts = self._contexts(codes.shape[0])
        if contexts is not None and self.rate is not None:
            counts = self.rate.counted(codes, len(counts), mask, contexts)
        self.pending_counts.add_(counts)

    def _update(self) -> None:
        counts = distributed.all_reduce_sum(self.pending_counts)
        self.book.update(counts.sum(0) if counts.ndim > 1 else counts)
        if self.rate is not None:
            self.rate.update(counts)
        self._gradients.count(self.codebook_weight)
        if self.revival is not None:
            self.revival.revive(self.book, counts, self.fits > self.initialization.last_fit)
        self.pending_counts.zero_()
        self.begun.zero_()

    @property
    def prunable(self) -> bool:
        """Whether the codebook can lose codewords."""
        return type(self.book).select is not Codebook.select

    def _uses(self, counts: Sequence[Tensor] | None) -> list[Tensor]:
        found = super()._uses(counts)
        pinned = self.rate is not None and self.rate.rule.null
        return [found[0].index_fill(0, found[0].new_zeros(1).long(), 1)] if pinned else found

    def _select(self, kept: Tensor) -> None:
        self.book.select(kept)
        if self.revival is not None:
            self.revival.select(kept)
        if self.rate is not None:
            self.rate.select(kept)
        self.pending_counts = self.pending_counts[..., kept.to(self.pending_counts.device)]
        self._end_fits()

    def _encode(self, z: Tensor) -> Tensor:
        return self._found_by(nearest_codeword, self._inner(z), self._codewords())

    def _decode(self, codes: Tensor) -> Tensor:
        values: Tensor = self.project_out(F.embedding(codes, self._codewords()))
        return values

    def candidates(self, z: Tensor, count: int) -> Tensor:
        """The `count` nearest codewords of each row, nearest first."""
        count = min(count, self.codebook_sizes[0])

        def find(inner: Tensor, codebook: Tensor) -> Tensor:
            return nearest_codewords(inner, codebook, count)

        return self._found_by(find, self._inner(z), self._codewords())

    def distances(self, z: Tensor, codes: Tensor) -> Tensor:
        """Squared distances (N, c) between vectors z (N, D) and codewords of codes (N, c).

        They are those of the search: after a projection, of unit vectors for the cosine, and with
        the weighted bits of a rate term.
        """
        self._check_codes(codes)
        chosen = F.embedding(codes, self._codewords())
        distances = (self._inner(z).unsqueeze(1) - chosen).square().sum(-1)
        penalties = self._penalties(codes)
        return distances if penalties is None else distances + penalties

    def _penalties(self, codes: Tensor) -> Tensor | None:
        if self.rate is None:
            return None
        contexts = self._contexts(codes.shape[0])
        if contexts is not None and codes.ndim > 1:
            contexts = contexts[:, None].expand_as(codes)
        penalties = self.rate.penalties().to(self.compute_dtype)
        return self.rate.of_codes(penalties, codes, contexts)
