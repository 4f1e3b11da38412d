"""Losses of the two players, each in float32 and over what is inside of signals."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import softplus

from vocabula.nn.discriminators.base import Judgement, mean_inside
from vocabula.training.looks.options import AdversarialLoss

Judgements = Sequence[Judgement]
ASLEEP = {"hinge": 2.0, "non_saturating": 1.3862943611198906}
"""The discriminator's loss where all its logits are 0."""


def discriminator_loss(loss: AdversarialLoss, real: Judgements, fake: Judgements) -> Tensor:
    """The discriminator's loss (), a mean over its resolutions.

    ::

        hinge           mean relu(1 - D(x)) + mean relu(1 + D(y))
        non_saturating  mean ln(1 + exp(-D(x))) + mean ln(1 + exp(D(y)))

    Args:
        loss: its name.
        real: of signals x.
        fake: of reconstructions y.

    Source: Lim and Ye 2017, "Geometric GAN"; Goodfellow et al. 2014, section 3.
    """
    parts = []
    for x, y in zip(real, fake, strict=True):
        one, two = x.logits.float(), y.logits.float()
        if loss == "hinge":
            one, two = (1 - one).relu(), (1 + two).relu()
        else:
            one, two = softplus(-one), softplus(two)
        parts.append(mean_inside(one, x.inside) + mean_inside(two, y.inside))
    return torch.stack(parts).mean()


def generator_loss(loss: AdversarialLoss, fake: Judgements) -> Tensor:
    """The adversarial loss () of reconstructions y, a mean over the resolutions.

    ::

        hinge  - mean D(y)          non_saturating  mean ln(1 + exp(-D(y)))
    """
    parts = []
    for y in fake:
        logits = y.logits.float()
        value = -logits if loss == "hinge" else softplus(-logits)
        parts.append(mean_inside(value, y.inside))
    return torch.stack(parts).mean()


def lecam(real: Judgements, fake: Judgements, means: Tensor) -> Tensor:
    """LeCam's regularization (), which holds logits near the averages of the other kind.

    ::

        mean relu(D(x) - a_fake)^2 + mean relu(a_real - D(y))^2

    Args:
        real: of signals x.
        fake: of reconstructions y.
        means: (2,) a_real and a_fake, the running averages of the logits.

    Source: Tseng et al. 2021, "Regularizing generative adversarial networks under limited data",
    in the form of the authors' code.
    """
    a_real, a_fake = means.unbind()
    parts = []
    for x, y in zip(real, fake, strict=True):
        above = (x.logits.float() - a_fake).relu().square()
        below = (a_real - y.logits.float()).relu().square()
        parts.append(mean_inside(above, x.inside) + mean_inside(below, y.inside))
    return torch.stack(parts).mean()


@torch.no_grad()
def logit_figures(real: Judgements, fake: Judgements) -> dict[str, Tensor]:
    """Mean logits ``real`` and ``fake``, and the ``accuracy`` of their signs, each ()."""
    pairs = list(zip(real, fake, strict=True))

    def mean(values: Sequence[Tensor]) -> Tensor:
        return torch.stack(list(values)).mean()

    right = [
        (
            mean_inside((x.logits > 0).float(), x.inside)
            + mean_inside((y.logits < 0).float(), y.inside)
        )
        / 2
        for x, y in pairs
    ]
    return {
        "real": mean([mean_inside(x.logits.float(), x.inside) for x, _ in pairs]),
        "fake": mean([mean_inside(y.logits.float(), y.inside) for _, y in pairs]),
        "accuracy": mean(right),
    }
