"""Scales of the residual stages whose codewords are fixed, found from the first batches."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, Protocol
from weakref import WeakValueDictionary

import torch
from torch import Tensor, nn

from vocabula.functional import distributed, readable
from vocabula.functional._checks import counted
from vocabula.quantizers.base import Quantizer
from vocabula.quantizers.finite_scalar import FiniteScalarQuantizer
from vocabula.quantizers.lookup_free import LookupFreeQuantizer
from vocabula.types import Quantized

#: Scales are found anew before the updates 0, 1, 2, 4, ... up to this one, as `KMeans` does.
LAST_FIT = 128
#: Candidates, in root mean squares of what a stage receives: steps of 12 %.
FACTORS = tuple(2 ** (step / 6) for step in range(-18, 19))
#: Rows that candidates are tried on.
ROWS = 2048
_STACKS: WeakValueDictionary[int, Stack] = WeakValueDictionary()
_KEYS = itertools.count()


class Stage(Protocol):
    """What a sum of stages asks of each: a quantizer, or one in other units."""

    @property
    def books(self) -> int:
        """The number of codes per vector."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """What learns by gradient."""

    def modules(self) -> Iterator[nn.Module]:
        """The quantizer and its modules."""

    def candidates(self, z: Tensor, count: int) -> Tensor:
        """See `Quantizer.candidates`."""

    def _quantize(
        self, z: Tensor, mask: Tensor | None, codes: Tensor | None = None
    ) -> Quantized: ...

    def _encode(self, z: Tensor) -> Tensor: ...

    def _decode(self, codes: Tensor) -> Tensor: ...

    def _penalties(self, codes: Tensor) -> Tensor | None: ...


class ScaledStage:
    """A stage in other units: ``scale q(z / scale)``.

    The commitment term is that of the scaled codewords, in units of z. Entropies have no unit.

    Args:
        stage: the quantizer q, of width D.
        scale: (1,), or (D,) with a scale for each component.
    """

    def __init__(self, stage: Quantizer, scale: Tensor) -> None:
        self.stage = stage
        self.scale = scale
        self.books = stage.books

    def parameters(self) -> Iterator[nn.Parameter]:
        """The stage's parameters."""
        return self.stage.parameters()

    def modules(self) -> Iterator[nn.Module]:
        """The stage and its modules."""
        return self.stage.modules()

    def candidates(self, z: Tensor, count: int) -> Tensor:
        """See `Quantizer.candidates`."""
        return self.stage.candidates(z / self.scale, count)

    def _quantize(self, z: Tensor, mask: Tensor | None, codes: Tensor | None = None) -> Quantized:
        unit: dict[str, Any] = {}
        if isinstance(self.stage, LookupFreeQuantizer):
            unit["unit"] = self.scale if is_elementwise(self.stage) else self.scale[:1]
        found = self.stage._quantize(z / self.scale, mask, codes, **unit)
        return Quantized(found.values * self.scale, found.codes, found.loss, found.losses)

    def _encode(self, z: Tensor) -> Tensor:
        return self.stage._encode(z / self.scale)

    def _decode(self, codes: Tensor) -> Tensor:
        return self.stage._decode(codes) * self.scale

    def _penalties(self, codes: Tensor) -> Tensor | None:
        return self.stage._penalties(codes)


class Stack(nn.Module):
    """A quantizer with scaled stages, which the operator that fits them finds by `stack_key`."""

    stack_key: int
    stage_scales: StageScales | None

    @property
    def parts(self) -> list[Quantizer]:
        """The stages in order."""
        raise NotImplementedError

    def register_stack(self) -> None:
        """Get a key of its own; a copy has to get another."""
        self.stack_key = next(_KEYS)
        _STACKS[self.stack_key] = self

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        self.register_stack()


class StageScales(nn.Module):
    """The scales of residual stages, each found from what the stages before it leave.

    At first each stage's scale is that of the one before over its number of levels. In training a
    scale becomes the one with the least squared error among multiples of the root mean square of
    what its stage receives: for each component alone where the stage quantizes it alone. A scale
    stays where nothing is left.

    Args:
        stages: quantizers of one width, first to last.

    Attributes:
        weight: (stages, D) the scales, 1 for stages that learn their codewords.
        fits: () int64, updates with data that were seen until the last fit.
        begun: () whether vectors were seen since the last update.
    """

    weight: Tensor
    fits: Tensor
    begun: Tensor

    def __init__(self, stages: Sequence[Quantizer]) -> None:
        super().__init__()
        self.chosen = tuple(is_fixed(stage) for stage in stages)
        scale, rows = torch.ones(stages[0].dim), []
        for stage, chosen in zip(stages, self.chosen, strict=True):
            rows.append(scale if chosen else torch.ones_like(scale))
            scale = scale * torch.tensor(_shrinkage(stage)) if chosen else scale
        self.register_buffer("weight", torch.stack(rows))
        self.register_buffer("fits", torch.zeros((), dtype=torch.int64))
        self.register_buffer("begun", torch.zeros((), dtype=torch.bool), persistent=False)
        self._settled = False

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self.begun = torch.zeros_like(self.begun, device=self.fits.device)
        self._settled = False

    def placed(self, index: int, stage: Quantizer, dtype: torch.dtype) -> Stage:
        """A stage in its own units."""
        if not self.chosen[index]:
            return stage
        # A copy: the next fit changes the buffer, maybe before this pass's gradient is asked for.
        return ScaledStage(stage, self.weight[index].to(dtype, copy=True))

    @torch.no_grad()
    def begin(self, z: Tensor, mask: Tensor | None) -> Tensor | None:
        """Whether these vectors (N, D) set scales (), equally on every process; None: never."""
        if self._settled:
            return None
        here = z.new_tensor(len(z), dtype=torch.int64) if mask is None else counted(mask).sum()
        first = (distributed.all_reduce_sum(here) > 0) & ~self.begun & (self.fits <= LAST_FIT)
        due = first & (self.fits & (self.fits - 1) == 0)
        self.fits += first
        self.begun |= first
        known = readable(torch.stack([due, self.fits > LAST_FIT]))
        if known is None:  # a traced graph asks each time
            return due
        needed, self._settled = known.tolist()
        return due if needed else None

    def finish(self) -> None:
        """End an update: the next vectors may change the scales."""
        self.begun.zero_()

    @torch.no_grad()
    def fit(self, key: int, index: int, left: Tensor, mask: Tensor | None, due: Tensor) -> None:
        """Set the scale of a stage of a `Stack` that receives `left` (N, D), where `due` ().

        The mask (N,) marks what counts.
        """
        if self.chosen[index]:
            kept = left.new_ones(len(left), dtype=torch.bool) if mask is None else counted(mask)
            self.weight[index] = _fitted(left.detach(), kept, due, self.weight[index], key, index)


# An opaque operator: whether a fit is due depends on data, which a traced graph cannot ask.
@torch.library.custom_op(
    "vocabula::fit_stage_scale",
    mutates_args=(),
    schema="(Tensor left, Tensor mask, Tensor due, Tensor scale, int key, int index) -> Tensor",
)
def _fitted(left: Tensor, mask: Tensor, due: Tensor, scale: Tensor, key: int, index: int) -> Tensor:
    if not bool(due):
        return scale.clone()
    stage, rows = _STACKS[key].parts[index], left[mask]
    rows = rows[:: max(1, -(-len(rows) // ROWS))]
    alone = is_elementwise(stage)
    size = distributed.all_reduce_sum(
        torch.cat([rows.square().sum(0), rows.new_tensor([float(len(rows))])])
    )
    power = (size[:-1] if alone else size[:-1].mean().expand(stage.dim)) / size[-1].clamp_min(1)
    scales = power.sqrt().where(power > 0, 1.0) * rows.new_tensor(FACTORS)[:, None]
    errors = distributed.all_reduce_sum(torch.stack([_errors(stage, rows, s) for s in scales]))
    errors = errors if alone else errors.sum(1, keepdim=True).expand_as(errors)
    found = scales.gather(0, errors.argmin(0, keepdim=True))[0]
    return found.to(scale).where(power > 0, scale)


@_fitted.register_fake
def _(left: Tensor, mask: Tensor, due: Tensor, scale: Tensor, key: int, index: int) -> Tensor:
    return torch.empty_like(scale)


def is_fixed(stage: Quantizer) -> bool:
    """Whether a stage's codewords do not follow the data, so that its scale has to be chosen."""
    return isinstance(stage, FiniteScalarQuantizer | LookupFreeQuantizer)


def scaled_by_hand(stages: Sequence[Quantizer]) -> bool:
    """Whether a look-up free stage has a scale of its own, so that none is chosen."""
    return any(isinstance(stage, LookupFreeQuantizer) and stage.scale != 1 for stage in stages)


def is_elementwise(stage: Quantizer) -> bool:
    """Whether a fixed stage quantizes every component of z alone."""
    plain = isinstance(getattr(stage, "project_in", None), nn.Identity)
    if isinstance(stage, LookupFreeQuantizer):
        return plain and not stage.spherical
    return plain and getattr(stage, "rotation", None) is None


def _shrinkage(stage: Quantizer) -> list[float]:
    """What a stage leaves of the range of each component: one over its number of levels."""
    if isinstance(stage, FiniteScalarQuantizer) and is_elementwise(stage):
        return [1 / level for level in stage.levels]
    return [2 ** (-stage.bits / stage.dim)] * stage.dim


def _errors(stage: Quantizer, rows: Tensor, scale: Tensor) -> Tensor:
    """The squared errors (D,) of rows (N, D) through a stage of one scale."""
    placed = ScaledStage(stage, scale)
    return (rows - placed._decode(placed._encode(rows))).square().sum(0)
