"""Fixed-point numbers for the portable prior.

    values       multiples of 2^-8 in [-128, 128)       states, biases, logits, embeddings
    weights      multiples of 2^-12 in [-8, 8)          of matrices

Multiplied by 2^8 and 2^12 they are integers, whose products and sums float64 holds exactly.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import relu, silu

VALUE_BITS, VALUE_END = 8, 128.0
WEIGHT_BITS, WEIGHT_END = 12, 8.0
CURVE_END = 8.0
"""Beyond it the activation is taken to be 0, or the number itself."""


def stepped(x: Tensor, bits: int, end: float) -> Tensor:
    """The multiples of 2^-bits in [-end, end) nearest to x, halves rounded up.

    The gradient is that of the identity, so that training adapts to the steps.

    Args:
        x: any shape.
        bits: number of fractional bits.
        end: a multiple of the step.

    Example:
        >>> import torch
        >>> stepped(torch.tensor([0.3, 0.126, 9.0]), bits=2, end=8.0)
        tensor([0.2500, 0.2500, 7.7500])

    Source: Bengio et al. 2013, "Estimating or Propagating Gradients Through Stochastic Neurons",
    the straight-through estimator.
    """
    steps = 2.0**bits
    near = (x.detach() * steps + 0.5).floor().clamp(-end * steps, end * steps - 1) / steps
    return x + (near - x.detach())


def values(x: Tensor) -> Tensor:
    """States, biases, logits or embeddings on their grid."""
    return stepped(x, VALUE_BITS, VALUE_END)


def weights(x: Tensor) -> Tensor:
    """Weights on their grid."""
    return stepped(x, WEIGHT_BITS, WEIGHT_END)


def curve(x: Tensor) -> Tensor:
    """The activation: ``x sigmoid(x)`` within [-8, 8), 0 below it, x from 8 on."""
    top = CURVE_END - 2.0**-VALUE_BITS
    return silu(x.clamp(-CURVE_END, top)) + relu(x - top)


def integers(x: Tensor, bits: int, end: float) -> Tensor:
    """The result of `stepped` times 2^bits: integers in float64, the same on every machine.

    Scaling by a power of two, adding a half and rounding down are exact in float64 for the
    float32 numbers of a saved prior.
    """
    steps = 2.0**bits
    return (x.detach().double() * steps + 0.5).floor().clamp(-end * steps, end * steps - 1)
