"""The section ``adversary``: when a discriminator learns, and how much it counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Gt, Lt

from vocabula.nn.discriminators.base import DiscriminatorSettings
from vocabula.registry import component

AdversarialLoss = Literal["hinge", "non_saturating"]


@component("adversary", "adversary")
@dataclass(kw_only=True)
class AdversaryOptions:
    """A discriminator that learns to tell reconstructions, and a tokenizer that learns from it.

    ::

        step   0 ......... start ......... start + warmup ......... + ramp ......... end
               no adversary | discriminator alone | weight rises evenly | full weight

    Args:
        discriminator: what judges; None takes ``patch`` for two axes and ``spectrum`` for one.
        loss: "hinge" or "non_saturating".
        start: when the discriminator begins: below 1 a share of `training.steps`, else a step.
        warmup: steps in which the discriminator learns alone.
        ramp: steps in which the weight rises evenly from 0.
        weight: of the adversarial term; where `adaptive`, how long its gradient at the
            reconstruction is, relative to that of the reconstruction loss.
        adaptive: scale the term by the ratio of these gradients.
        most: largest ratio.
        lecam: weight of LeCam's regularization in the discriminator's loss.
        crop: elements along each axis of what the discriminator sees of a batch, a cut at another
            place in every step; 0 for all of it.
        most_drop: dB that the error may rise above its value at the start of the ramp; then the
            weight is halved, the third time it becomes 0.
        learning_rate: of the discriminator's Adam, before the schedule's factor.
        beta1: decay of the running mean of its gradient.
        beta2: decay of the running mean of its square.

    Source: Esser et al. 2021, "Taming transformers for high-resolution image synthesis" (VQ-GAN),
    which switches the discriminator and its weight on at one step; the balance of gradients as in
    Défossez et al. 2022, "High Fidelity Neural Audio Compression", section 3.4.
    """

    component_kind: ClassVar[str] = "adversary"

    discriminator: DiscriminatorSettings | None = None
    loss: AdversarialLoss = "hinge"
    start: Annotated[float, Ge(0)] = 0.4
    warmup: Annotated[int, Ge(0)] = 500
    ramp: Annotated[int, Ge(0)] = 1000
    weight: Annotated[float, Gt(0)] = 0.8
    adaptive: bool = True
    most: Annotated[float, Gt(0)] = 10.0
    lecam: Annotated[float, Ge(0)] = 0.05
    crop: Annotated[int, Ge(0)] = 0
    most_drop: Annotated[float, Gt(0)] = 2.0
    learning_rate: Annotated[float, Gt(0)] = 1e-4
    beta1: Annotated[float, Ge(0), Lt(1)] = 0.5
    beta2: Annotated[float, Ge(0), Lt(1)] = 0.9

    def begins(self, steps: int) -> int:
        """The step at which the discriminator begins, in a run of so many steps.

        Example:
            >>> AdversaryOptions(start=0.4).begins(2500), AdversaryOptions(start=70).begins(2500)
            (1000, 70)
        """
        return round(self.start * steps) if self.start < 1 else round(self.start)
