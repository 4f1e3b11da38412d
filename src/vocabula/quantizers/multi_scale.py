"""The multi-scale residual quantizer: each scale quantizes what the coarser ones left of a grid."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from itertools import accumulate
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn

from vocabula.errors import OptionError, ShapeError, picture_size
from vocabula.functional import readable
from vocabula.levels import level_name
from vocabula.quantizers.base import Quantizer
from vocabula.quantizers.composite import OF_ALL_BOOKS, at_least_one
from vocabula.quantizers.foreign import FOREIGN_OPTIONS
from vocabula.quantizers.pyramid import Pyramid
from vocabula.quantizers.refinement import Refinement, choice
from vocabula.quantizers.scale import ABSENT, Partly, Scale, check_absent, like
from vocabula.registry import component
from vocabula.types import Quantized, UsageReport

T = TypeVar("T")
Narrow = Callable[[Any, Tensor], tuple[T, Tensor]]
Each = Callable[[Callable[[Tensor], Tensor], Tensor], Tensor]


@component("quantizer", "multi_scale")
class MultiScaleQuantizer(Pyramid):
    """Residual quantization over grids of rising size, from one position to the whole grid.

    ::

        r_1 = z      v_i = q_i(pool_i(r_i))      f_i = f_{i-1} + phi_i(interpolate(v_i))
        r_{i+1} = z - sg(f_i)                    values = f_S

        z ─▶ pool 1x1 ─▶ q ─▶ up, phi ─▶ + ─▶ pool 2x2 of the rest ─▶ q ─▶ up, phi ─▶ + ─▶ ...

    `pool` takes means of cells, and phi is a small convolution; see `Refinement`. The first n
    scales decode to f_n. The gradient of the values is passed straight through to z, once for the
    whole sum, and on to the convolutions and the stages' own parameters. Each stage's losses pull
    the pooled residual towards its codeword; ``refinement_i = mean((sg(z) - f_i)^2)`` trains the
    convolutions: ``loss = sum_i (loss_i + refinement_weight refinement_i)``.

    A quantizer shared by several scales learns from the vectors of all of them, once per update.
    Where its initialization fits it to data, it gets the vectors of all scales that a perfect
    codebook would see.

    Nested dropout: in training, with probability `dropout` per signal only the first n scales are
    kept, n uniform in 1, ..., scales. Dropped codes are -1, and count in no value, loss or
    statistic of a stage.

    Args:
        stages: one quantizer for all scales, or one for each, the coarsest first.
        scales: positions along each axis, rising; the last is that of the grid itself.
        axes: of the grid.
        convolutions: how many, shared by neighbouring scales; 0 is none, and as many as there are
            scales is one for each.
        ratio: the share of the convolution in phi.
        interpolation: from a scale to the grid: ``linear``, or the sharper ``cubic``.
        dropout: probability of keeping only some first scales of a signal in training.
        refinement_weight: weight of the refinement terms.
        channel_dim: where the vectors' components are; the stages' own setting is not used.
        auto_update: apply learning at the end of each training forward pass; if False, call
            `update` once per optimizer step.

    Shape:
        z (*batch, *grid, D) to values (*batch, *grid, D) and codes (*batch, n), those of all scales
        in a row, the coarsest first; `split` gives each scale its grid. A mask is (*batch, *grid)
        and covers whole signals. Losses are named ``level1.commitment`` and so on.

    Raises:
        OptionError: there is no stage, a wrong number of them, or scales that do not rise.

    Example:
        >>> from vocabula import VectorQuantizer
        >>> quantizer = MultiScaleQuantizer([VectorQuantizer(16, 32)], (1, 2, 4))
        >>> codes = quantizer(torch.randn(3, 4, 4, 16)).codes
        >>> codes.shape, [scale.shape for scale in quantizer.split(codes)][1]
        (torch.Size([3, 21]), torch.Size([3, 2, 2]))
        >>> quantizer.decode(codes[:, :5]).shape  # of the first two scales
        torch.Size([3, 4, 4, 16])

    Source:
        Tian et al. 2024, "Visual Autoregressive Modeling" (VAR), algorithms 1 and 2. There the
        commitment is that of f_i to z, here that of each codeword to what it stands for.
    """

    foreign_options: ClassVar[Mapping[str, str]] = {
        **FOREIGN_OPTIONS,
        "accept_3d_fmap": "axes=3, channel_dim=1",
        "codebook_size": "stages=[VectorQuantizer(dim, codebook_size)]",
        "commitment_weight": "stages=[VectorQuantizer(dim, codebook_size, commitment_weight=...)]",
        "dim": "stages=[VectorQuantizer(dim, codebook_size)]",
        "nested_dropout": "dropout=...",
        "nested_dropout_min_levels": "nothing: the first scale always stays",
        "quant_resi": "ratio=...",
        "share_quant_resi": "convolutions=...",
        "v_patch_nums": "scales=...",
    }

    def __init__(
        self,
        stages: Sequence[Quantizer],
        scales: Sequence[Annotated[int, Ge(1)]],
        *,
        axes: Literal[1, 2, 3] = 2,
        convolutions: Annotated[int, Ge(0)] = 4,
        ratio: Annotated[float, Ge(0), Le(1)] = 0.5,
        interpolation: Literal["linear", "cubic"] = "linear",
        dropout: Annotated[float, Ge(0), Le(1)] = 0.0,
        refinement_weight: Annotated[float, Ge(0)] = 1.0,
        channel_dim: int = -1,
        auto_update: bool = True,
    ) -> None:
        stages = _one_for_each(stages, _rising(scales))
        self._sides = tuple(scales)
        self._counts = [n**axes * s.books for n, s in zip(scales, stages, strict=True)]
        pairs = list(zip(stages, scales, strict=True))
        sizes = [size for s, n in pairs for _ in range(n**axes) for size in s.codebook_sizes]
        dim = stages[0].dim
        super().__init__(
            dim,
            sizes,
            (len(sizes),),
            channel_dim=channel_dim,
            auto_update=auto_update,
            tracked=False,
        )
        self.quantizers = nn.ModuleList(dict.fromkeys(stages))
        self.levels = nn.ModuleList(Scale(stage) for stage in stages)
        count = min(convolutions, len(scales))
        self.refinements = nn.ModuleList(Refinement(dim, axes, ratio) for _ in range(count))
        self._choices = [choice(i, len(scales), count) for i in range(len(scales)) if count]
        self.axes = axes
        self.interpolation = interpolation
        self.dropout = dropout
        self.refinement_weight = refinement_weight
        for stage in self.distinct:
            stage.auto_update = False

    # ------------------------------------------------------------------ scales

    def split(self, codes: Tensor) -> tuple[Tensor, ...]:
        """Codes (*batch, n) of the first scales as one tensor (*batch, *grid, *code_shape) each.

        Raises:
            CodeError: n is not the number of codes of the first 1, 2, ... scales.
        """
        self._check_width(codes)
        present = self._widths().index(codes.shape[-1]) + 1
        pieces = codes.split(self._counts[:present], dim=-1)
        known = zip(pieces, self._sides, self.each_scale(), strict=False)
        return tuple(
            piece.reshape(*codes.shape[:-1], *(side,) * self.axes, *scale.code_shape)
            for piece, side, scale in known
        )

    def join(self, scales: Sequence[Tensor]) -> Tensor:
        """Codes (*batch, n) of those of the first scales; undoes `split`."""
        known = zip(scales, self.each_scale(), strict=False)
        return torch.cat(
            [one.flatten(one.ndim - self.axes - len(s.code_shape)) for one, s in known], dim=-1
        )

    def usage_report(self) -> UsageReport | None:
        """The recent use of the codewords at each scale; see `UsageReport`.

        Its books are the scales, or each book of each scale.
        """
        reports = [scale.usage_report() for scale in self.each_scale()]
        if any(report is None for report in reports):
            return None
        names = [f.name for f in fields(UsageReport) if f.name not in OF_ALL_BOOKS]
        joined: dict[str, Any] = {n: torch.cat([getattr(r, n) for r in reports]) for n in names}
        return UsageReport(window=max(r.window for r in reports if r is not None), **joined)

    # ------------------------------------------------------------- quantizer

    def _quantize(self, z: Tensor, mask: Tensor | None, codes: Tensor | None = None) -> Quantized:
        x = z.reshape(-1, *self.grid, self.dim)
        positions = None if mask is None else like(mask, x[..., 0]).expand(x.shape[:-1])
        kept = self.keep(x) if codes is None else self._present(codes)
        given = [] if codes is None else list(self.split(torch.where(codes == ABSENT, 0, codes)))
        if codes is None:
            self.fit(x, positions)

        def narrow(scale: Scale | Partly, left: Tensor) -> tuple[Quantized, Tensor]:
            here = None if mask is None else like(mask, left[..., 0]).expand(left.shape[:-1])
            result = scale.flat(left, here, given.pop(0) if given else None)
            return result, result.values

        found, values = self.descend(x, narrow, mask=positions, kept=kept)
        losses = {
            f"{level_name(i)}.{name}": term
            for i, one in enumerate(found)
            for name, term in one.losses.items()
        }
        joined = self.join([one.codes for one in found])
        loss = torch.stack([one.loss for one in found]).sum()
        return Quantized(values.reshape(z.shape), joined, loss, losses)

    def _encode(self, z: Tensor) -> Tensor:
        def narrow(scale: Scale, left: Tensor) -> tuple[Tensor, Tensor]:
            codes = scale._encode(left.reshape(-1, self.dim))
            values = scale._decode(codes).reshape(left.shape)
            return codes.reshape(*left.shape[:-1], *scale.code_shape), values

        return self.join(self.descend(z.reshape(-1, *self.grid, self.dim), narrow)[0])

    def _decode(self, codes: Tensor) -> Tensor:
        present = self._present(codes)
        total: Tensor | None = None
        for i, (scale, piece) in enumerate(zip(self.each_scale(), self.split(codes), strict=True)):
            here = present[:, i]
            flat = torch.where(piece == ABSENT, 0, piece).reshape(-1, *scale.code_shape)
            values = scale._decode(flat).reshape(-1, *(self._sides[i],) * self.axes, self.dim)
            added = self._raised(values, i)
            total = torch.zeros_like(added) if total is None else total
            total = total + torch.where(like(here, added), added, 0)
        assert total is not None, "there is a scale"
        return total.flatten(1)

    def _update(self) -> None:
        for stage in self.distinct:
            stage.update()

    # ------------------------------------------------------------- shapes

    def _rows(self, z: Tensor) -> tuple[Tensor, torch.Size]:
        rows, batch = super()._rows(z)
        if len(batch) < self.axes or batch[-self.axes :] != self.grid:
            raise ShapeError(
                f"MultiScaleQuantizer: expected vectors on a grid of {picture_size(*self.grid)}, "
                f"the last of scales {self._sides}, got shape {tuple(z.shape)}; end scales with "
                "the side of the grid, or set axes"
            )
        lead = batch[: -self.axes]
        return rows.reshape(-1, math.prod(self.grid) * self.dim), torch.Size(lead)

    def _valid(self, rows: Tensor, mask: Tensor | None, batch: torch.Size) -> Tensor | None:
        if mask is None:
            return super()._valid(rows, None, batch)
        if mask.shape != (*batch, *self.grid):
            raise ShapeError(
                f"MultiScaleQuantizer: expected a mask of shape {(*batch, *self.grid)}, got "
                f"{tuple(mask.shape)}; give one value per vector"
            )
        inside = mask.bool().reshape(-1, math.prod(self.grid))
        whole, values = inside.all(-1), readable(inside)
        if values is not None and bool((values.any(-1) & ~whole).any()):
            raise OptionError(
                "MultiScaleQuantizer: expected a mask of whole signals, got a part of one; pass "
                "signals of each extent apart, or use a MultiScaleTokenizer, which does"
            )
        return super()._valid(rows, whole.reshape(batch), batch)

    def _unflatten(self, values: Tensor, batch: Sequence[int]) -> Tensor:
        return super()._unflatten(values, (*batch, *self.grid))

    def _widths(self) -> tuple[int, ...]:
        return tuple(accumulate(self._counts))

    def _whole(self, codes: Tensor) -> Tensor:
        if codes.shape[-1] == self.books:
            return codes
        codes = codes.long()  # in a dtype that holds -1
        absent = codes.new_full((*codes.shape[:-1], self.books - codes.shape[-1]), ABSENT)
        return torch.cat([codes, absent], dim=-1)

    def _lowest_code(self) -> int:
        return ABSENT

    def _present(self, codes: Tensor) -> Tensor:
        """Which scales (N, scales) codes (N, n) of all scales have."""
        pieces = codes.split(self._counts, dim=-1)
        return torch.stack([(piece != ABSENT).any(-1) for piece in pieces], dim=-1)

    def _check_codes(self, codes: Tensor) -> None:
        super()._check_codes(codes)
        if readable(codes) is None or codes.numel() == 0:
            return
        whole = self._whole(codes).long().reshape(-1, self.books)
        absent = [(piece == ABSENT) for piece in whole.split(self._counts, dim=-1)]
        check_absent(absent, "MultiScaleQuantizer")


def _rising(scales: Sequence[int]) -> Sequence[int]:
    pairs = zip(scales, list(scales)[1:], strict=False)
    if not scales or any(one >= two for one, two in pairs):
        raise OptionError(
            "MultiScaleQuantizer.scales: expected one or more rising numbers that end with the "
            f"side of the grid, such as (1, 2, 4), got {tuple(scales)}; sort them, each once"
        )
    return scales


def _one_for_each(stages: Sequence[Quantizer], scales: Sequence[int]) -> list[Quantizer]:
    found = list(at_least_one("MultiScaleQuantizer", "stages", stages))
    if len(found) not in (1, len(scales)):
        raise OptionError(
            f"MultiScaleQuantizer.stages: expected 1 quantizer for all scales or {len(scales)}, "
            f"one for each of {tuple(scales)}, got {len(found)}; add or drop some"
        )
    widths = [stage.dim for stage in found]
    if len(set(widths)) > 1:
        raise OptionError(
            f"MultiScaleQuantizer.stages: expected stages of one width, got {widths}; "
            "give them the same dim (codebook_dim may differ)"
        )
    return found * len(scales) if len(found) == 1 else found
