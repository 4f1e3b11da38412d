"""Where one launch searches all codebooks of a composite, the codes are those of its parts."""

from __future__ import annotations

import pytest
import torch

from vocabula.quantizers import (
    EMA,
    FiniteScalarQuantizer,
    Normal,
    ProductQuantizer,
    Quantizer,
    ResidualQuantizer,
    VectorQuantizer,
    composite,
)


def vector(**options: object) -> VectorQuantizer:
    return VectorQuantizer(8, 16, initialization=Normal(), learning=EMA(), **options)


def residual() -> Quantizer:
    return ResidualQuantizer([vector(), vector(), vector()])


def shared() -> Quantizer:
    return ResidualQuantizer([vector()], repeat=3)


def product() -> Quantizer:
    return ProductQuantizer([vector(), vector()])


@pytest.mark.parametrize("make", [residual, shared, product])
@pytest.mark.parametrize("training", [True, False])
def test_same_codes_values_and_learning(
    make: object, training: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = []
    for launches in (False, True):
        torch.manual_seed(0)
        monkeypatch.setattr(composite, "_launches", lambda z, on=launches: on)
        quantizer = make().train(training)  # type: ignore[operator]
        z = torch.randn(50, quantizer.dim, requires_grad=True)
        result = quantizer(z)
        (result.values.square().sum() + result.loss).backward()
        found = [result.codes, result.values, z.grad, quantizer.encode(z), result.loss]
        results.append(found + list(quantizer.state_dict().values()))
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


def test_other_parts_are_searched_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(composite, "_launches", lambda z: True)
    z = torch.randn(5, 8)
    mixed = ProductQuantizer([vector(), FiniteScalarQuantizer([3, 3])])
    assert mixed._codebooks_at_once(z) is None
    for other in (
        vector(distance="cosine"),
        vector(codebook_dim=4),
        vector(sampling_temperature=1.0),
        VectorQuantizer(8, 17),
    ):
        assert ResidualQuantizer([vector(), other])._codebooks_at_once(z) is None
    assert residual()._codebooks_at_once(z).shape == (3, 16, 8)
