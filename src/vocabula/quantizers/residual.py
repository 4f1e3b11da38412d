"""The residual quantizer: each stage quantizes the residual of the stages before it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from vocabula.errors import OptionError
from vocabula.functional import residual_codes
from vocabula.quantizers.base import Quantizer
from vocabula.quantizers.beam import beam_search
from vocabula.quantizers.composite import added_values, at_least_one, joined_codes
from vocabula.quantizers.contexts import penalties_in_order
from vocabula.quantizers.dropout import (
    ABSENT,
    absent,
    both,
    check_gaps,
    check_stages,
    kept_stages,
    like,
    padded,
)
from vocabula.quantizers.foreign import FOREIGN_OPTIONS
from vocabula.quantizers.scaled_stages import ScaledStages
from vocabula.quantizers.vector import VectorQuantizer
from vocabula.registry import component
from vocabula.types import Quantized


@component("quantizer", "residual")
class ResidualQuantizer(ScaledStages):
    """Residual quantization: a sum of codewords, each nearest to the remaining residual.

    ::

        r_1 = z      v_i = q_i(r_i)      r_{i+1} = z - sg(v_1 + ... + v_i)      values = sum_i v_i

        z ──┬─▶ stage 1 ─ v_1 ──┬────────▶ + ──▶ values
            └──────(-)◀─────────┘          ▲
                    └─▶ stage 2 ─ v_2 ─ ...┘

    The gradient of the values is passed straight through to z, once for the whole sum, and on to
    the stages' own parameters (projections, Gumbel codebooks). Each stage's losses pull z towards
    its own codeword: ``loss = sum_i loss_i``, where r_i carries the full gradient of z.

    A quantizer given several times is one codebook that all its stages share; it sees the vectors
    of all of them and learns once per update.

    Finite scalar and look-up free stages have fixed codewords, so each of them gets a scale,
    ``v_i = s_i q_i(r_i / s_i)``; see `StageScales`. `scales` sets them by hand. So does a `scale`
    of a look-up free stage that is not 1; the stack then has no other scales.

    Quantizer dropout: in training, with probability `dropout` per item of the first batch
    dimension (per vector inside another composite), only the first n stages are kept, n uniform
    in `dropout_least`, ..., stages, rounded up to a multiple of `dropout_multiple`. Dropped codes
    are -1, and count in no value, loss or statistic. `decode` accepts the codes of only the first n
    stages, ``decode(codes[..., :n])``, and treats trailing -1 as absent stages. `forward`, `encode`
    and `decode` take the number of stages to use as ``stages=n``.

    Beam search: with ``beam > 1`` the codes are the best of `beam` partial sums kept at each
    stage, by squared error (plus the weighted bits of stages with a `RateTerm`), and never worse
    than the greedy ones. Temporary memory is bounded by blocks of rows, except in a compiled graph,
    which takes all rows at once. While the first batches still set a stage's codebook or scale, the
    search is greedy.

    Args:
        stages: quantizers of one width, first to last.
        repeat: how often the list is run through; ``([book], repeat=4)`` has four stages that
            share one codebook.
        dropout: probability of keeping only some first stages of an item in training.
        beam: partial sums kept in the search for codes; 1 is greedy.
        dropout_least: the fewest stages that dropout keeps.
        dropout_multiple: dropout keeps a multiple of this number of stages, or all.
        scales: s_i of each stage, 1 for a stage that learns its codewords. None: they are chosen.
        channel_dim: where the vectors' components are; the stages' own setting is not used.
        auto_update: apply learning at the end of each training forward pass; if False, call
            `update` once per optimizer step.

    Shape:
        z (*batch, D) to values (*batch, D) and codes (*batch, books), the codes of the stages in
        order. Each of `losses` is (books,), zero where a stage has no such term.

    Raises:
        OptionError: if there is no stage, their widths differ, `scales` do not fit the stages, or
            dropout should keep more stages than there are.

    Example:
        >>> quantizer = ResidualQuantizer([VectorQuantizer(8, 16) for _ in range(4)], beam=2)
        >>> quantizer(torch.randn(2, 5, 8)).codes.shape
        torch.Size([2, 5, 4])

    Source:
        Zeghidour et al. 2021 (SoundStream), algorithm 1 and section III-C (dropout, there always
        on); Lee et al. 2022 (RQ-VAE), section 3.1, for the shared codebook; Babenko & Lempitsky
        2014, "Additive Quantization", section 3.1, for beam search.
    """

    foreign_options: ClassVar[Mapping[str, str]] = {
        **FOREIGN_OPTIONS,
        **dict.fromkeys(
            ("codebook_dim", "codebook_size", "dim", "levels", "num_quantizers"),
            "ResidualQuantizer.repeat(n, dim=..., codebook_size=...)",
        ),
        "quantize_dropout_cutoff_index": "dropout_least, which is that index plus 1",
        "quantize_dropout_multiple_of": "dropout_multiple",
    }

    def __init__(
        self,
        stages: Sequence[Quantizer],
        *,
        repeat: Annotated[int, Ge(1)] = 1,
        dropout: Annotated[float, Ge(0), Le(1)] = 0.0,
        beam: Annotated[int, Ge(1)] = 1,
        dropout_least: Annotated[int, Ge(1)] = 1,
        dropout_multiple: Annotated[int, Ge(1)] = 1,
        scales: Sequence[Annotated[float, Gt(0)]] | None = None,
        channel_dim: int = -1,
        auto_update: bool = True,
    ) -> None:
        stages = list(at_least_one("ResidualQuantizer", "stages", stages)) * repeat
        widths = [stage.dim for stage in stages]
        if len(set(widths)) > 1:
            raise OptionError(
                f"ResidualQuantizer.stages: expected stages of one width, got {widths}; "
                "give them the same dim (codebook_dim may differ)"
            )
        super().__init__(stages, scales, channel_dim=channel_dim, auto_update=auto_update)
        for name, kept in (("least", dropout_least), ("multiple", dropout_multiple)):
            if kept > len(stages):
                raise OptionError(
                    f"ResidualQuantizer.dropout_{name}: expected at most the {len(stages)} stages, "
                    f"got {kept}; keep fewer or add stages"
                )
        self.dropout, self.beam = dropout, beam
        self.dropout_least, self.dropout_multiple = dropout_least, dropout_multiple
        self._item_rows, self._used = 1, len(stages)

    @classmethod
    def repeat(
        cls,
        count: int,
        *,
        dropout: float = 0.0,
        beam: int = 1,
        channel_dim: int = -1,
        auto_update: bool = True,
        **options: Any,
    ) -> ResidualQuantizer:
        """A residual quantizer of `count` equal `VectorQuantizer` stages, each with its own book.

        Args:
            count: stages, from 1.
            dropout: see `ResidualQuantizer`.
            beam: see `ResidualQuantizer`.
            channel_dim: where the vectors' components are.
            auto_update: apply learning at the end of each training forward pass.
            options: options of each `VectorQuantizer`, including `dim` and `codebook_size`.

        Raises:
            OptionError: a count below 1, or a wrong option.

        Example:
            >>> quantizer = ResidualQuantizer.repeat(4, dim=8, codebook_size=16)
            >>> quantizer(torch.randn(2, 5, 8)).codes.shape
            torch.Size([2, 5, 4])
        """
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise OptionError(f"ResidualQuantizer.repeat: expected a count from 1, got {count!r}")
        return cls(
            [VectorQuantizer(**options) for _ in range(count)],
            dropout=dropout,
            beam=beam,
            channel_dim=channel_dim,
            auto_update=auto_update,
        )

    @property
    def stages(self) -> list[Quantizer]:
        """The quantizers, first to last; a shared one occurs several times."""
        return self.parts

    def forward(
        self,
        z: Tensor,
        mask: Tensor | None = None,
        weight: Tensor | None = None,
        *,
        stages: int | None = None,
    ) -> Quantized:
        """Quantize vectors; see `Quantizer.forward`.

        Args:
            z: (*batch, D) floating point, with D at `channel_dim`.
            mask: (*batch) bool; rows that are False take part in no loss and no statistic.
            weight: (*batch), numbers from 0; see `Quantizer.forward`.
            stages: use only this many first stages, the same number on all processes; the codes of
                the others are -1, and they learn nothing.

        Returns:
            The codewords, codes and losses; see `Quantized`.

        Raises:
            ShapeError: if the width, the dtype or the mask's shape is wrong.
            OptionError: if a weight is wrong, or there are not so many stages.
        """
        in_range = -z.ndim <= self.channel_dim < z.ndim
        batch = z.movedim(self.channel_dim, -1).shape[:-1] if in_range else ()
        self._used = check_stages("ResidualQuantizer", stages, len(self.stages))
        self._item_rows = math.prod(batch[1:])
        try:
            return super().forward(z, mask, weight)
        finally:
            self._item_rows, self._used = 1, len(self.stages)

    @torch.no_grad()
    def encode(self, z: Tensor, *, stages: int | None = None) -> Tensor:
        """Codes (*batch, books) of vectors (*batch, D); deterministic in every mode.

        Args:
            z: (*batch, D) floating point, with D at `channel_dim`.
            stages: use only this many first stages; the codes of the others are -1.

        Raises:
            ShapeError: if the width or the dtype is wrong.
            OptionError: if there are not so many stages.
        """
        self._used = check_stages("ResidualQuantizer", stages, len(self.stages))
        try:
            return super().encode(z)
        finally:
            self._used = len(self.stages)

    def decode(self, codes: Tensor, *, stages: int | None = None) -> Tensor:
        """Vectors (*batch, D) of codes (*batch, books), or of the first books alone.

        Args:
            codes: integers; trailing -1 are absent stages.
            stages: add up only this many first stages.

        Raises:
            CodeError: if codes are not integers, lie outside the codebook or lack the books.
            OptionError: if there are not so many stages.
        """
        used = check_stages("ResidualQuantizer", stages, len(self.stages))
        if stages is not None and isinstance(codes, Tensor):
            codes = codes[..., : self._widths()[used - 1]]
        return super().decode(codes)

    # ------------------------------------------------------------- quantizer

    def _quantize(self, z: Tensor, mask: Tensor | None, codes: Tensor | None = None) -> Quantized:
        present = self._kept(z) if codes is None else self._present(codes)
        due = self._due(z, mask)
        traced = torch.compiler.is_compiling() and due is not None
        searched = codes is None and (due is None or traced) and not self._waiting()
        if searched:
            codes = self._search(z.detach()) if self.beam > 1 else self._at_once(z.detach())
        given: Sequence[Tensor | None] = [None] * len(self.stages)
        if codes is not None:
            given = self._cleaned(codes, present)
        total, placed, results = torch.zeros_like(z), self._placed(), []
        for i, here in enumerate(self._each(present)):
            if i >= self._used:
                results.append(absent(self.stages[i], z))
                continue
            left = z - total.detach()
            stage, piece = placed[i], given[i]
            if due is not None:
                stage = self._fit(i, left, both(here, mask), due)
                if searched and piece is not None:  # those codes belong to the scales before
                    piece = torch.where(due, stage._encode(left), piece)
            self._show(self.stages[i], total)
            results.append(stage._quantize(left, both(here, mask), piece))
            values = added_values(stage, left, results[-1])
            total = total + (values if here is None else torch.where(here[:, None], values, 0))
        return Quantized(
            # Adding an exact zero keeps the bits of the sum and brings z its gradient.
            values=total + (z - z.detach()),
            codes=self._marked([r.codes for r in results], present),
            loss=torch.stack([r.loss for r in results]).sum(),
            losses=self._per_book(results),
        )

    def _encode(self, z: Tensor) -> Tensor:
        return self._search(z)

    def _decode(self, codes: Tensor) -> Tensor:
        compiled = self._compiled_sum(codes)
        if compiled is not None:
            return compiled
        present = self._present(codes)
        pieces = zip(self._placed(), self._cleaned(codes, present), present.unbind(-1), strict=True)
        total = torch.zeros(codes.shape[0], self.dim, dtype=self.compute_dtype, device=codes.device)
        for stage, piece, here in pieces:
            total = total + torch.where(here[:, None], stage._decode(piece), 0)
        return total

    # ------------------------------------------------------------- search

    @torch.no_grad()
    def _search(self, z: Tensor) -> Tensor:
        """Codes (N, books) of z (N, D): the beam's if they are better than the greedy ones."""
        codes = self._compiled_codes(z, self._used)
        greedy = self._greedy(z) if codes is None else padded(codes, self.books)
        if self.beam == 1:
            return greedy
        found = beam_search(z, self._placed()[: self._used], self.beam, self._show_rows)
        found = padded(found, self.books)
        return torch.where((self._cost(z, found) < self._cost(z, greedy))[:, None], found, greedy)

    def _at_once(self, z: Tensor) -> Tensor | None:
        """Codes (N, books) by one launch for all stages; None if that is not possible."""
        books = self._codebooks_at_once(z)
        return None if books is None else padded(residual_codes(z, books[: self._used]), self.books)

    def _greedy(self, z: Tensor) -> Tensor:
        codes = self._at_once(z)
        if codes is not None:
            return codes
        total, pieces = torch.zeros_like(z), []
        for own, stage in zip(self.stages, self._placed()[: self._used], strict=False):
            self._show(own, total)
            pieces.append(stage._encode(z - total))
            total = total + stage._decode(pieces[-1])
        return padded(joined_codes(pieces), self.books)

    def _cost(self, z: Tensor, codes: Tensor) -> Tensor:
        error, paid = (z.double() - self._decode(codes).double()).square(), self._penalties(codes)
        return error.sum(-1) if paid is None else error.sum(-1) + paid

    def _penalties(self, codes: Tensor) -> Tensor | None:
        present, around = self._present(codes), self.contextual
        pieces, rows = self._cleaned(codes, present), present.unbind(-1)
        return penalties_in_order(self.stages, pieces, rows, self.activity, contextual=around)

    # ------------------------------------------------------------- absent stages

    def _kept(self, z: Tensor) -> Tensor | None:
        """Which stages (N, stages) dropout keeps for each row; None for all."""
        stages, rows = len(self.stages), z.shape[0]
        if not self.training or self.dropout == 0:
            return None
        items = rows // max(1, self._item_rows)
        least, multiple = self.dropout_least, self.dropout_multiple
        kept = kept_stages(items, stages, self.dropout, least, multiple, z.device)
        return kept[:, None].expand(items, self._item_rows, stages).reshape(rows, stages)

    def _present(self, codes: Tensor) -> Tensor:
        """Which stages (N, stages) the codes (N, books) have."""
        pieces = [
            piece.reshape(codes.shape[0], stage.books)
            for stage, piece in zip(self.stages, self._pieces(codes), strict=True)
        ]
        return torch.stack([(piece != ABSENT).any(-1) for piece in pieces], dim=-1)

    def _each(self, present: Tensor | None) -> Sequence[Tensor | None]:
        """One column (N,) of `present` for each stage."""
        return [None] * len(self.stages) if present is None else present.unbind(-1)

    def _cleaned(self, codes: Tensor, present: Tensor | None) -> Sequence[Tensor]:
        """The codes of each stage, 0 where it is absent."""
        if present is None:
            return self._pieces(codes)
        pairs = zip(self._pieces(codes), present.unbind(-1), strict=True)
        return [torch.where(like(here, piece), piece, 0) for piece, here in pairs]

    def _marked(self, pieces: Sequence[Tensor], present: Tensor | None) -> Tensor:
        """The codes (N, books) of the stages, -1 where one is absent."""
        if present is None:
            return joined_codes(pieces)
        pairs = zip(pieces, present.unbind(-1), strict=True)
        return joined_codes(
            [torch.where(like(here, piece), piece, ABSENT) for piece, here in pairs]
        )

    def _whole(self, codes: Tensor) -> Tensor:
        if codes.shape[-1] == self.books:
            return codes
        codes = codes.long()  # in a dtype that holds -1
        absent = codes.new_full((*codes.shape[:-1], self.books), ABSENT)
        return torch.cat([codes, absent], dim=-1)[..., : self.books]

    def _widths(self) -> tuple[int, ...]:
        return tuple(accumulate(stage.books for stage in self.stages))

    def _lowest_code(self) -> int:
        return ABSENT

    def _check_pieces(self, codes: Tensor) -> None:
        present = self._present(codes)
        check_gaps("ResidualQuantizer", present)
        self._check_each(self._cleaned(codes, present))
