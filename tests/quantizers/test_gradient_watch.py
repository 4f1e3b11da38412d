"""A codebook that learns by gradient and gets none is told once, with the cause."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
import torch.utils.checkpoint

from vocabula.quantizers import (
    EMA,
    Gradient,
    LinearReparametrization,
    Normal,
    ProductQuantizer,
    Quantizer,
    ResidualQuantizer,
    VectorQuantizer,
)
from vocabula.types import Quantized


def vector(**options: object) -> VectorQuantizer:
    return VectorQuantizer(
        2, 4, **{"learning": Gradient(), "initialization": Normal(), "revival": None} | options
    )


def values_alone(result: Quantized) -> torch.Tensor:
    return result.values.square().mean()


def everything(result: Quantized) -> torch.Tensor:
    return result.values.square().mean() + result.loss


def train(quantizer: Quantizer, loss: Callable[[Quantized], torch.Tensor], steps: int) -> list[str]:
    z = torch.randn(8, 2, generator=torch.Generator().manual_seed(0)).requires_grad_()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(steps):
            loss(quantizer(z)).backward()
            if not quantizer.auto_update:
                quantizer.update()
            quantizer.zero_grad(set_to_none=True)
    return [str(w.message) for w in caught]


@pytest.mark.parametrize("learning", [Gradient(), LinearReparametrization()])
@pytest.mark.parametrize("auto_update", [True, False])
def test_a_loss_of_the_values_alone(learning: object, auto_update: bool) -> None:
    quantizer = vector(learning=learning, auto_update=auto_update)
    assert train(quantizer, values_alone, 100) == []
    (told,) = train(quantizer, values_alone, 2)
    assert "none in 100 updates" in told and "values alone" in told and ".loss" in told
    assert "\n" not in told
    assert train(quantizer, values_alone, 150) == []


def test_a_weight_of_zero_is_the_other_cause() -> None:
    (told,) = train(vector(codebook_weight=0.0), everything, 101)
    assert "codebook_weight is 0" in told


@pytest.mark.parametrize(
    "quantizer",
    [
        vector(),
        vector(learning=EMA()),
        ResidualQuantizer([vector(), vector()]),
        ProductQuantizer([VectorQuantizer(1, 4, learning=Gradient())] * 2),
    ],
    ids=["gradient", "averages", "residual", "product"],
)
def test_who_learns_is_not_told(quantizer: Quantizer) -> None:
    assert train(quantizer, everything, 103) == []


def test_stages_are_told_each() -> None:
    stages = ResidualQuantizer([vector(), vector()])
    assert len(train(stages, values_alone, 103)) == 2


def test_a_gradient_now_and_then_is_enough() -> None:
    quantizer = vector()
    assert train(quantizer, values_alone, 50) == []
    assert train(quantizer, everything, 1) == []
    assert train(quantizer, values_alone, 150) == []


def test_who_cannot_learn_is_not_told() -> None:
    quantizer = vector()
    quantizer.freeze()
    assert train(quantizer, values_alone, 103) == []
    fixed = vector().requires_grad_(False)
    assert train(fixed, values_alone, 103) == []


def test_checkpointed_passes_bring_a_gradient() -> None:
    quantizer = vector(auto_update=False)

    def recomputed(reentrant: bool) -> Callable[[torch.Tensor], Quantized]:
        def run(z: torch.Tensor) -> tuple[torch.Tensor, ...]:
            result = quantizer(z)
            return result.values, result.loss

        return lambda z: torch.utils.checkpoint.checkpoint(run, z, use_reentrant=reentrant)

    for reentrant in (True, False):
        z = torch.randn(8, 2).requires_grad_()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for _ in range(103):
                values, loss = recomputed(reentrant)(z)
                (values.sum() + loss).backward()
                quantizer.update()
