"""Residual quantization whose codebooks depend on the partial sum: implicit neural codebooks."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Ge
from torch import Tensor, nn

from vocabula.errors import OptionError
from vocabula.functional import masked_mean, nearest_codeword, nearest_codewords, straight_through
from vocabula.functional._checks import rows_per_block
from vocabula.quantizers.base import Quantizer
from vocabula.quantizers.composite import joined_codes
from vocabula.quantizers.dropout import absent, both, padded
from vocabula.quantizers.initialization import Initialization, KMeans
from vocabula.quantizers.learning import Gradient
from vocabula.quantizers.projection import Projection
from vocabula.quantizers.residual import ResidualQuantizer
from vocabula.quantizers.revival import Revival
from vocabula.quantizers.vector import VectorQuantizer
from vocabula.registry import component
from vocabula.signatures.records import amend
from vocabula.types import Quantized

Size = Annotated[int, Ge(1)]
Weight = Annotated[float, Ge(0)]


@component("quantizer", "conditional_residual")
class ConditionalResidualQuantizer(ResidualQuantizer):
    """Residual quantization with a codebook of its own for every partial sum (QINCo).

    ::

        x_0 = 0      e_k = f_i(c_ik, x_(i-1))      k_i = argmin_k |z - x_(i-1) - e_k|^2
        x_i = x_(i-1) + e_(k_i)                    values = x_stages
        f_i(c, x) = h_layers     h_0 = c + A_i c + B_i x + b_i
                                 h_j = h_(j-1) + V_ij relu(U_ij h_(j-1))

    The books c_i and the networks f_i are trained by the error of every partial sum::

        codebook_i = mean(|sg(z) - x_i|^2)         commitment_i = mean(|z - sg(x_i)|^2)

    f_1 is the identity, and the other networks start as it: training begins as plain residual
    quantization of k-means books, and improves on it. The gradient of the values passes straight
    through to z.

    The search is exact: it evaluates f_i for all K codewords of every row, in blocks of rows (in a
    compiled graph, for all rows at once). With `preselection` it evaluates only that many, those
    whose c_ik are nearest to the residual. `decode` takes the codes of only the first stages.

    Args:
        dim: D, width of the vectors.
        codebook_size: K, codewords of each stage, or a list with the number of every stage.
        stages: number of stages.
        hidden: width of the networks' hidden layers; None: 2 D.
        layers: residual layers of each network.
        preselection: codewords for which the search evaluates the network; None: all.
        initialization: where the books start, on the residuals.
        revival: how dead codewords come back, or None.
        commitment_weight: weight of the commitment terms.
        codebook_weight: weight of the codebook terms.
        channel_dim: where the vectors' components are.
        auto_update: apply revival at the end of each training forward pass; if False, call
            `update` once per optimizer step.

    Shape:
        z (*batch, D) to values (*batch, D) and codes (*batch, stages). Each of `losses` is
        (stages,).

    Raises:
        OptionError: a size out of range, or a list of other than `stages` sizes.

    Example:
        >>> quantizer = ConditionalResidualQuantizer(8, 16, stages=3)
        >>> quantizer(torch.randn(2, 5, 8)).codes.shape
        torch.Size([2, 5, 3])

    Source:
        Huijben et al. 2024, "Residual Quantization with Implicit Neural Codebooks",
        arXiv:2401.14732, section 3; preselection as in Vallaeys et al. 2025 (QINCo2),
        arXiv:2501.03078, where a small network scores the codewords, here their distance does.
    """

    def __init__(
        self,
        dim: Size,
        codebook_size: Size | Sequence[Size],
        *,
        stages: Size = 4,
        hidden: Size | None = None,
        layers: Size = 2,
        preselection: Size | None = None,
        initialization: Initialization = KMeans(refit_until=0),  # noqa: B008 - frozen
        revival: Revival | None = Revival(),  # noqa: B008 - frozen
        commitment_weight: Weight = 0.25,
        codebook_weight: Weight = 1.0,
        channel_dim: int = -1,
        auto_update: bool = True,
    ) -> None:
        sizes = [codebook_size] * stages if isinstance(codebook_size, int) else codebook_size
        if len(sizes) != stages:
            raise OptionError(
                f"ConditionalResidualQuantizer.codebook_size: expected one number, or one for each "
                f"of the {stages} stages, got {list(sizes)}; set stages={len(sizes)}"
            )
        books = [
            VectorQuantizer(
                dim,
                size,
                learning=Gradient(),
                initialization=initialization,
                revival=revival,
            )
            for size in sizes
        ]
        super().__init__(books, channel_dim=channel_dim, auto_update=auto_update)
        self.hidden = hidden or 2 * dim
        self.networks = nn.ModuleList(_Step(dim, self.hidden, layers) for _ in range(stages - 1))
        self.preselection = min(preselection or max(sizes), max(sizes))
        self.commitment_weight = commitment_weight
        self.codebook_weight = codebook_weight

    def _quantize(self, z: Tensor, mask: Tensor | None, codes: Tensor | None = None) -> Quantized:
        present = None if codes is None else self._present(codes)
        given = [None] * self.books if codes is None else self._cleaned(codes, present)
        total, pieces, commitment, codebook = torch.zeros_like(z), [], [], []
        for i, (here, piece) in enumerate(zip(self._each(present), given, strict=True)):
            if i >= self._used:
                pieces.append(absent(self._book(i), z).codes)
                commitment.append(z.new_zeros(()))
                codebook.append(z.new_zeros(()))
                continue
            counted = both(here, mask)
            pieces.append(
                self._settled_codes(i, z - total.detach(), total.detach(), counted, piece)
            )
            added = self._added(i, pieces[-1], total)
            if self.learning_active:
                left = (z - total).detach()
                entries = F.embedding(pieces[-1], self._book(i)._codewords().detach())
                self._book(i)._learn(left, pieces[-1], counted, entries)
                self._book(i)._track(pieces[-1], counted, left, added)
            total = total + (added if here is None else torch.where(here[:, None], added, 0))
            commitment.append(masked_mean((z - total.detach()).square(), counted))
            codebook.append(masked_mean((z.detach() - total).square(), counted))
        losses = {"commitment": torch.stack(commitment), "codebook": torch.stack(codebook)}
        weights = {"commitment": self.commitment_weight, "codebook": self.codebook_weight}
        return Quantized(
            values=straight_through(z, total),
            codes=self._marked(pieces, present),
            loss=torch.stack([weights[name] * term.sum() for name, term in losses.items()]).sum(),
            losses=losses,
        )

    def _encode(self, z: Tensor) -> Tensor:
        total, pieces = torch.zeros_like(z), []
        for i in range(self._used):
            pieces.append(self._choose(i, z - total, total))
            total = total + self._added(i, pieces[-1], total)
        return padded(joined_codes(pieces), self.books)

    @torch.no_grad()
    def prune(self, counts: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        """Remove the unused entries of each stage's book; the networks stay as they are.

        The codewords of the other entries stay the same for every partial sum; see
        `Quantizer.prune`.
        """
        maps = super().prune(counts)
        amend(self, codebook_size=list(self.codebook_sizes))
        return maps

    def _decode(self, codes: Tensor) -> Tensor:
        present = self._present(codes)
        total = torch.zeros(codes.shape[0], self.dim, dtype=self.compute_dtype, device=codes.device)
        pieces = zip(self._cleaned(codes, present), present.unbind(-1), strict=True)
        for i, (piece, here) in enumerate(pieces):
            total = total + torch.where(here[:, None], self._added(i, piece, total), 0)
        return total

    # ------------------------------------------------------------- one stage

    def _book(self, stage: int) -> VectorQuantizer:
        part: Quantizer = self.parts[stage]
        assert isinstance(part, VectorQuantizer)
        return part

    def _added(self, stage: int, codes: Tensor, total: Tensor) -> Tensor:
        """The codewords (N, D) of codes (N,), given the partial sums (N, D)."""
        chosen = F.embedding(codes, self._book(stage)._codewords())
        if stage == 0:
            return chosen
        added: Tensor = self.networks[stage - 1](chosen, total)
        return added

    def _settled_codes(
        self, stage: int, left: Tensor, total: Tensor, mask: Tensor | None, codes: Tensor | None
    ) -> Tensor:
        """The codes (N,), chosen unless given, after the book has been fitted where that is due."""
        book = self._book(stage)
        fitting = self.learning_active and book._fitting()
        fitted = book._fit(left, mask) if fitting else None
        if codes is None:
            return self._choose(stage, left, total)
        if fitted is None:
            return codes
        return torch.where(fitted, self._choose(stage, left, total), codes)

    @torch.no_grad()
    def _choose(self, stage: int, left: Tensor, total: Tensor) -> Tensor:
        """The codes (N,) whose codewords are nearest to the residuals (N, D)."""
        book = self._book(stage)._codewords().detach()
        if stage == 0:
            return nearest_codeword(left, book)
        network = self.networks[stage - 1]
        few = self.preselection < len(book)
        some = nearest_codewords(left, book, self.preselection) if few else None
        # A traced graph does not know the number of blocks, so it takes all rows at once.
        if torch.compiler.is_compiling():
            return _nearest(network, book, left, total, some)
        rows = rows_per_block(min(self.preselection, len(book)) * max(self.dim, self.hidden))
        blocks = [left.split(rows), total.split(rows)]
        found = itertools.repeat(None) if some is None else some.split(rows)
        return torch.cat(
            [_nearest(network, book, *block) for block in zip(*blocks, found, strict=False)]
        )


def _nearest(
    network: nn.Module, book: Tensor, left: Tensor, total: Tensor, some: Tensor | None
) -> Tensor:
    """The best of the codes `some` (N, A), or of all, for residuals and partial sums (N, D)."""
    entries = book[None] if some is None else F.embedding(some, book)
    codewords = network(entries, total[:, None])
    best = (left[:, None] - codewords).square().sum(-1).argmin(-1)
    return best if some is None else some.gather(1, best[:, None])[:, 0]


class _Step(nn.Module):
    """The codeword (*, D) that a book's entry and the partial sum give; at first the entry."""

    def __init__(self, dim: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.of_code, self.of_sum = Projection(dim, dim), Projection(dim, dim, bias=False)
        self.enter = nn.ModuleList(Projection(dim, hidden, bias=False) for _ in range(layers))
        self.leave = nn.ModuleList(Projection(hidden, dim, bias=False) for _ in range(layers))
        nn.init.zeros_(self.of_code.bias)
        for layer in (self.of_code, self.of_sum, *self.leave):
            nn.init.zeros_(layer.weight)

    def forward(self, code: Tensor, total: Tensor) -> Tensor:
        """Codewords for entries and partial sums (*, D) that broadcast."""
        state = code + self.of_code(code) + self.of_sum(total)
        for enter, leave in zip(self.enter, self.leave, strict=True):
            state = state + leave(torch.relu(enter(state)))
        return state
