"""The base of a residual stack: stages, of which those with fixed codewords have scales."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from vocabula.errors import OptionError
from vocabula.quantizers.base import Quantizer
from vocabula.quantizers.composite import CompositeQuantizer
from vocabula.quantizers.stage_scales import (
    ScaledStage,
    Stack,
    Stage,
    StageScales,
    is_fixed,
    scaled_by_hand,
)


class ScaledStages(CompositeQuantizer, Stack):
    """Stages of one width; those with fixed codewords are in units that are chosen or given.

    Args:
        stages: quantizers of one width, first to last.
        scales: a scale for each stage; None: they are chosen.
        channel_dim: where the vectors' components are.
        auto_update: apply learning at the end of each training forward pass.

    Raises:
        OptionError: if `scales` do not fit the stages.
    """

    def __init__(
        self,
        stages: Sequence[Quantizer],
        scales: Sequence[float] | None,
        *,
        channel_dim: int,
        auto_update: bool,
    ) -> None:
        super().__init__(stages[0].dim, stages, channel_dim=channel_dim, auto_update=auto_update)
        self.scales = None if scales is None else _fitting(type(self).__name__, stages, scales)
        chosen = scales is None and not scaled_by_hand(stages) and any(map(is_fixed, stages))
        self.stage_scales = StageScales(stages) if chosen else None
        self.register_stack()

    def unscale(self) -> None:
        """Take every stage as it is, as releases before the choice of scales did."""
        self.stage_scales = None

    def _placed(self) -> list[Stage]:
        """The stages as searches and sums see them: in units of their own if they have scales."""
        if self.scales is None and self.stage_scales is None:
            return [*self.parts]
        return [self._stage(i, stage) for i, stage in enumerate(self.parts)]

    def _stage(self, index: int, stage: Quantizer) -> Stage:
        if self.stage_scales is not None:
            return self.stage_scales.placed(index, stage, self.compute_dtype)
        scale = 1 if self.scales is None else self.scales[index]
        if scale == 1:
            return stage
        device = self.anchor.device
        return ScaledStage(stage, torch.full((1,), scale, dtype=self.compute_dtype, device=device))

    def _due(self, z: Tensor, mask: Tensor | None) -> Tensor | None:
        """Whether these vectors set the stages' scales (); None: surely not."""
        scales = self.stage_scales if self.learning_active else None
        return None if scales is None else scales.begin(z, mask)

    def _fit(self, index: int, left: Tensor, mask: Tensor | None, due: Tensor) -> Stage:
        """A stage after its scale has been set by what it receives, where that is `due` ()."""
        if self.stage_scales is not None:
            self.stage_scales.fit(self.stack_key, index, left, mask, due)
        return self._stage(index, self.parts[index])

    def _update(self) -> None:
        super()._update()
        if self.stage_scales is not None:
            self.stage_scales.finish()

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, *rest: Any, **named: Any
    ) -> None:
        if f"{prefix}stage_scales.weight" not in state_dict:
            self.unscale()
        super()._load_from_state_dict(state_dict, prefix, *rest, **named)


def _fitting(owner: str, stages: Sequence[Quantizer], scales: Sequence[float]) -> list[float]:
    """The scales, if there is one for each stage, and 1 for those that learn their codewords."""
    learned = [not is_fixed(stage) for stage in stages]
    count = len(scales) == len(stages)
    if not count or any(s != 1 for s, own in zip(scales, learned, strict=True) if own):
        raise OptionError(
            f"{owner}.scales: expected {len(stages)} numbers, 1 for stages that are not finite "
            f"scalar or look-up free, got {list(scales)}; leave it out to have them chosen"
        )
    return list(scales)
