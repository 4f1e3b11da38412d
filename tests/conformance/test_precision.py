"""Half precision and autocast change neither codes nor statistics."""

from __future__ import annotations

import pytest
import torch

from conformance.rows import ROWS, Row, data, prepare
from vocabula.quantizers.local_state import local_tensors

by_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


@by_row
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_autocast_changes_nothing(row: Row, training: bool) -> None:
    results = []
    for enabled in (False, True):
        quantizer = prepare(row, training=training)
        z = data(100).requires_grad_()
        torch.manual_seed(1)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            result = quantizer(z)
            codes = quantizer.encode(z)
            values = quantizer.decode(codes)
        (result.loss + result.values.square().mean()).backward()
        results.append(
            [*result.losses.values(), result.values, result.codes, codes, values, z.grad]
        )
        state = quantizer.state_dict()
        results[-1] += list(state.values())
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@by_row
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_bfloat16_module(row: Row, training: bool) -> None:
    quantizer = prepare(row, training=training).bfloat16()
    z = data(100).bfloat16().requires_grad_()
    result = quantizer(z)
    assert result.values.dtype == torch.bfloat16
    assert result.values.isfinite().all()
    assert result.loss.dtype == torch.float32
    if not training:
        assert torch.equal(result.values, quantizer.decode(result.codes))
    (result.loss + result.values.float().square().mean()).backward()
    assert z.grad.dtype == torch.bfloat16
    assert z.grad.isfinite().all()
    for name, buffer in [*quantizer.named_buffers(), *local_tensors(quantizer).items()]:
        if any(word in name for word in ("mass", "share", "norms", "sums", "pending_counts")):
            assert buffer.dtype == torch.float32, name


@by_row
def test_bfloat16_codes_are_those_of_float32(row: Row) -> None:
    full, half = (prepare(row, training=False) for _ in "ab")
    half.bfloat16()
    # The same rounded weights in float32, and inputs that bfloat16 holds exactly.
    full.load_state_dict(
        {name: t.float() if t.is_floating_point() else t for name, t in half.state_dict().items()}
    )
    z = data(400).bfloat16()
    assert torch.equal(half.encode(z), full.encode(z.float()))
    assert torch.equal(half(z).codes, full(z.float()).codes)
    margin = half(z).values.float() - full(z.float()).values
    assert margin.abs().max() < 0.02 * full(z.float()).values.abs().max()


@by_row
def test_learning_does_not_stall_in_bfloat16(row: Row) -> None:
    """The statistics of many small steps are those of float32."""
    full, half = (prepare(row) for _ in "ab")
    averaged = [n for n, _ in half.named_buffers() if "mass" in n or "book.weight" in n]
    if not averaged:
        return
    half.bfloat16()
    full.load_state_dict(
        {name: t.float() if t.is_floating_point() else t for name, t in half.state_dict().items()}
    )
    for seed in range(3):
        z = data(100, seed=seed).bfloat16()
        for quantizer, x in ((half, z), (full, z.float())):
            torch.manual_seed(seed)
            quantizer(x)
    for name in averaged:
        ours, expected = half.get_buffer(name), full.get_buffer(name)
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


@by_row
def test_float64_module(row: Row) -> None:
    quantizer = prepare(row, training=False).double()
    result = quantizer(data(20).double())
    assert result.values.dtype == torch.float64
    assert all(t.dtype == torch.float64 for t in result.losses.values())
