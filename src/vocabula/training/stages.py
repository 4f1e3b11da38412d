"""Staged training: which parts learn at a step, and how the others are held still."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.utils.parametrizations import _SpectralNorm

from vocabula.errors import OptionError
from vocabula.quantizers import Bottleneck
from vocabula.registry import name_of
from vocabula.tokenizers import SignalTokenizer
from vocabula.tokenizers.look import paths_of
from vocabula.training.settings import PARTS, Stage

LOOK = "look"
"""The part that codes do not depend on."""


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

    A part means that part in all levels; the look means what no codes depend on. A frozen part gets
    no gradients. A quantizer is frozen by its own `freeze`, so that moving averages and revival
    rest too.

    Raises:
        OptionError: the look is to learn, of a tokenizer that has none.
    """
    for part, modules in tokenizer.parts().items():
        for module in modules:
            if isinstance(module, Bottleneck):
                module.freeze(part not in trained)
            else:
                module.requires_grad_(part in trained)
    if LOOK not in trained:
        return
    found = _look(tokenizer)
    if not found:
        raise OptionError(
            f"training.stages: expected a tokenizer with a decoder that no codes depend on, got a "
            f"{type(tokenizer).__name__}; name other parts"
        )
    for module in found:
        module.requires_grad_()


def hold_statistics(tokenizer: SignalTokenizer, trained: Collection[str]) -> None:
    """Keep the running statistics of frozen encoders and decoders as they are.

    Their normalization then works as in evaluation. Call it after ``train()``.
    """
    learning = {id(m) for m in (_look(tokenizer) if LOOK in trained else ())}
    for part, modules in tokenizer.parts().items():
        if part in trained:
            continue
        for module in modules:
            if id(module) not in learning and not isinstance(module, Bottleneck):
                for one in _counting(module):
                    one.eval()


def _look(tokenizer: SignalTokenizer) -> list[nn.Module]:
    levels: Any = getattr(tokenizer, "hierarchy", ())
    return [tokenizer.get_submodule(p) for p in paths_of(name_of(tokenizer), len(levels))]


def _counting(module: nn.Module) -> Iterator[nn.Module]:
    """The layers whose statistics move in every pass of training, without a gradient."""
    for one in module.modules():
        counts = isinstance(one, _NormBase) and one.track_running_stats
        if counts or isinstance(one, _SpectralNorm):
            yield one
