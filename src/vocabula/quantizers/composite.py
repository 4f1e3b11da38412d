"""Quantizers made of quantizers: the common base of the residual and the product quantizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor, nn

from vocabula.errors import OptionError
from vocabula.functional import native, readable
from vocabula.quantizers.base import Quantizer
from vocabula.quantizers.collapse import advised
from vocabula.quantizers.contexts import has_contexts, show, total_penalties
from vocabula.quantizers.stage_scales import Stage
from vocabula.quantizers.vector import VectorQuantizer
from vocabula.types import Quantized, UsageReport

OF_ALL_BOOKS = ("window", "mean_ratio", "scale_ratio", "advice")
"""The fields of a `UsageReport` that have no item for each book."""


class CompositeQuantizer(Quantizer):
    """Several quantizers behind one interface; their codes stand side by side.

    The children quantize flat rows for the composite, which alone handles the batch shape, the
    channel and the moment of learning: it sets their `auto_update` to False and updates each of
    them once per `update`. A quantizer that occurs several times among the parts is one shared
    codebook: it is stored once, counts the vectors of all its places, and learns once.

    Args:
        dim: D, width of the vectors.
        parts: the quantizers in order of their codes, at least one.
        channel_dim: where the vectors' components are.
        auto_update: apply learning at the end of each training forward pass.

    Shape:
        codes (*batch, books), the codes of the parts in order; books is the sum over the parts.

    Raises:
        OptionError: if there is no part.
    """

    def __init__(
        self, dim: int, parts: Sequence[Quantizer], *, channel_dim: int, auto_update: bool
    ) -> None:
        sizes = [size for part in parts for size in part.codebook_sizes]
        super().__init__(
            dim,
            sizes,
            (len(sizes),),
            channel_dim=channel_dim,
            auto_update=auto_update,
            tracked=False,
        )
        distinct = list(dict.fromkeys(parts))
        self.quantizers = nn.ModuleList(distinct)
        self._order = tuple(distinct.index(part) for part in parts)
        self.contextual = any(has_contexts(part) for part in distinct)
        for part in distinct:
            part.auto_update = False

    def _plain_books(self) -> list[VectorQuantizer]:
        """The parts, if a plain Euclidean search serves each; else none."""
        books = [part for part in self.parts if isinstance(part, VectorQuantizer) and part.plain]
        return books if len(books) == len(self.parts) else []

    def _codebooks_at_once(self, z: Tensor) -> Tensor | None:
        """The codebooks (parts, K, D) if one launch on a GPU can search them all, else None."""
        if not _launches(z):
            return None
        books = self._plain_books()
        if len({book.codebook.shape for book in books}) != 1:
            return None
        return torch.stack([book.codebook.to(self.compute_dtype) for book in books])

    def _tables(self, z: Tensor) -> list[Tensor] | None:
        """The codebooks (K, D) of the parts if a compiled kernel takes them all, else None.

        Args:
            z: a tensor of the device and the dtype that are asked for.
        """
        if torch.compiler.is_compiling() or not native.searches(z):
            return None
        tables = [book.codebook for book in self._plain_books()]
        return tables if tables and all(map(native.searches, tables)) else None

    def _compiled_codes(self, z: Tensor, used: int) -> Tensor | None:
        """The residual codes (N, used) by the first parts in one call; None if none takes them."""
        tables = self._tables(z)
        return None if tables is None else native.residual_codes(z, tables[:used])

    def _compiled_sum(self, codes: Tensor) -> Tensor | None:
        """The sums (N, D) of the codewords of codes (N, books), likewise; without gradients."""
        tables = None if torch.is_grad_enabled() else self._tables(self.anchor)
        if tables is None or not codes.is_cpu or codes.shape[-1] != len(tables):
            return None
        return native.residual_sum(codes, tables)

    @property
    def parts(self) -> list[Quantizer]:
        """The quantizers in order of their codes; a shared one occurs several times."""
        distinct = list(self.quantizers)  # an index into a ModuleList takes several calls
        return [distinct[i] for i in self._order]  # type: ignore[misc]

    def usage_report(self) -> UsageReport | None:
        """The recent use of each book's codewords; see `UsageReport`.

        Each place of a shared codebook reports the figures of the whole book. None if any part
        keeps no count.
        """
        distinct = [part.usage_report() for part in self.distinct]
        if any(report is None for report in distinct):
            return None
        reports = [distinct[i] for i in self._order]
        names = [f.name for f in fields(UsageReport) if f.name not in OF_ALL_BOOKS]
        joined: dict[str, Any] = {
            name: torch.cat([getattr(r, name) for r in reports]) for name in names
        }
        report = UsageReport(window=max(r.window for r in reports if r is not None), **joined)
        return advised(report, self)

    @property
    def prunable(self) -> bool:
        """Whether a part can be pruned."""
        return any(part.prunable for part in self.distinct)

    @torch.no_grad()
    def prune(self, counts: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        """Remove unused codewords part by part; a part without a table of codewords stays as it is.

        The counts of a shared codebook add up over its places; see `Quantizer.prune`.
        """
        if not self.prunable:
            return super().prune(counts)
        sums: list[list[Tensor]] = [[] for _ in self.distinct]
        found = self._uses(counts)  # of every part before the first changes
        for i, part in zip(self._order, self.parts, strict=True):
            here, found = found[: part.books], found[part.books :]
            sums[i] = [x + y for x, y in zip(sums[i], here, strict=True)] if sums[i] else here
        maps = [
            part.prune(each) if part.prunable else tuple(map(torch.arange, part.codebook_sizes))
            for part, each in zip(self.distinct, sums, strict=True)
        ]
        self._resize([size for part in self.parts for size in part.codebook_sizes])
        return tuple(codes for i in self._order for codes in maps[i])

    def _uses(self, counts: Sequence[Tensor] | None) -> list[Tensor]:
        if counts is not None:
            return super()._uses(counts)
        found = [
            part._uses(None) if part.prunable else [torch.ones(k) for k in part.codebook_sizes]
            for part in self.distinct
        ]
        return [each for i in self._order for each in found[i]]

    @property
    def distinct(self) -> list[Quantizer]:
        """The quantizers without repetition."""
        return list(self.quantizers)  # type: ignore[arg-type]

    # ------------------------------------------------------------- internals

    @property
    def _settled(self) -> bool:
        """Whether every part has its codebook set, so that none waits for first batches."""
        return all(getattr(part, "_settled", True) for part in self.distinct)

    def _waiting(self) -> bool:
        """Whether a search now would use codebooks that this batch is about to set."""
        # A traced graph cannot tell; in it the stages search again when they set their codebook.
        # Not `learning_active`: a recomputation under checkpointing must search as the first pass.
        waiting = self.training and not self.frozen and not self._settled
        return waiting and not torch.compiler.is_compiling()

    def _update(self) -> None:
        for part in self.distinct:
            part.update()

    def _show(self, part: Quantizer, decoded: Tensor | None) -> None:
        """Tell a part, before it searches, what (N, *) the codes before it decode to."""
        if self.contextual:
            show(part, self.activity, decoded)

    def _show_rows(self, index: int, rows: slice, decoded: Tensor) -> None:
        """Tell a part what a beam (n kept, D) of some rows decodes to, those of a row together."""
        if self.contextual:
            here = None if self.activity is None else self.activity[rows]
            if here is not None:
                here = here.repeat_interleave(decoded.shape[0] // here.shape[0])
            show(self.parts[index], here, decoded)

    def _penalties(self, codes: Tensor) -> Tensor | None:
        found = [p._penalties(c) for p, c in zip(self.parts, self._pieces(codes), strict=True)]
        return total_penalties(found)

    def _lowest_code(self) -> int:
        return min(part._lowest_code() for part in self.distinct)

    def _check_codes(self, codes: Tensor) -> None:
        super()._check_codes(codes)
        if readable(codes) is None or codes.numel() == 0:
            return
        self._check_pieces(self._whole(codes).long().reshape(-1, self.books))

    def _check_pieces(self, codes: Tensor) -> None:
        """Let each part check its own codes among (N, books)."""
        for part, piece in zip(self.parts, self._pieces(codes), strict=True):
            part._check_codes(piece)

    def _check_each(self, pieces: Sequence[Tensor]) -> None:
        """Let each part check its codes; those of a single book lie in it, as was checked."""
        for part, piece in zip(self.parts, pieces, strict=True):
            if not isinstance(part, VectorQuantizer):
                part._check_codes(piece)

    def _pieces(self, codes: Tensor) -> list[Tensor]:
        """Codes (N, books) as the parts want them: (N, *part.code_shape) each."""
        split = codes.split([part.books for part in self.parts], dim=-1)
        return [
            piece.reshape(piece.shape[0], *part.code_shape)
            for part, piece in zip(self.parts, split, strict=True)
        ]

    def _per_book(self, results: Sequence[Quantized]) -> dict[str, Tensor]:
        """The losses of the parts by name, each (books,).

        A term that a part gives for all its books together is repeated for each book; it is zero
        for a part without such a term.
        """
        names = dict.fromkeys(name for result in results for name in result.losses)
        pairs = list(zip(self.parts, results, strict=True))
        return {
            name: torch.cat(
                [r.losses.get(name, r.loss.new_zeros(())).expand(part.books) for part, r in pairs]
            )
            for name in names
        }


def values_for_parameters(quantizer: Stage, z: Tensor, codes: Tensor) -> Tensor:
    """The values (N, D) of codes for z (N, D), with gradients to the parameters but not to z.

    A second pass, without learning, for quantizers whose values depend on parameters, such as
    projections.
    """
    awake = [m for m in quantizer.modules() if isinstance(m, Quantizer) and not m.frozen]
    everywhere = torch.ones_like(z[:, 0], dtype=torch.bool)
    for module in awake:
        module.frozen = True
    try:
        return quantizer._quantize(z.detach(), everywhere, codes).values
    finally:
        for module in awake:
            module.frozen = False


def joined_codes(pieces: Sequence[Tensor]) -> Tensor:
    """Codes (N, *code_shape) of several quantizers side by side: (N, books)."""
    return torch.cat([p.unsqueeze(-1) if p.ndim == 1 else p for p in pieces], dim=-1)


def at_least_one(owner: str, option: str, parts: Sequence[Quantizer]) -> Sequence[Quantizer]:
    """`parts`, if there are any.

    Raises:
        OptionError: if there are none.
    """
    if not parts:
        raise OptionError(f"{owner}.{option}: expected one or more quantizers, got none; add one")
    return parts


def _launches(z: Tensor) -> bool:
    """Whether work on this tensor needs kernel launches: then one is better than several."""
    return z.device.type == "cuda"


def added_values(stage: Stage, left: Tensor, result: Quantized) -> Tensor:
    """The stage's values (N, D), with gradients to its parameters but not to the residual."""
    trained = torch.is_grad_enabled() and any(p.requires_grad for p in stage.parameters())
    if not trained:
        return result.values.detach()
    return values_for_parameters(stage, left, result.codes)
