"""Staged training: which parts learn at a step, and how the others are held still."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from vocabula.quantizers import Bottleneck
from vocabula.tokenizers import SignalTokenizer
from vocabula.training.settings import PARTS, Stage


def stage_at(stages: Sequence[Stage], step: int) -> int:
    """The index of the stage that step `step` (from 0) belongs to; len(stages) after the last."""
    for index, stage in enumerate(stages):
        if step < stage.steps:
            return index
        step -= stage.steps
    return len(stages)


def trained_parts(stages: Sequence[Stage], index: int) -> tuple[str, ...]:
    """The parts that learn in a stage; all of them after the last stage."""
    return tuple(stages[index].train) if index < len(stages) else PARTS


def set_trained_parts(tokenizer: SignalTokenizer, trained: Collection[str]) -> None:
    """Freeze every part of a tokenizer that is not named; let the named ones learn.

    A part means that part in all levels. A frozen part gets no gradients. A quantizer is frozen by
    its own `freeze`, so that moving averages and revival rest too.
    """
    for part, modules in tokenizer.parts().items():
        for module in modules:
            if isinstance(module, Bottleneck):
                module.freeze(part not in trained)
            else:
                module.requires_grad_(part in trained)
