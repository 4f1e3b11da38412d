"""The modes of torch: inference first, the meta device, other default dtypes and devices."""

from __future__ import annotations

import functools

import pytest
import torch

from conformance.rows import BY_NAME, ROWS, D, Row, data, prepare
from vocabula.quantizers import Quantizer
from vocabula.quantizers.local_state import local_tensors

by_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
OTHER_DTYPES = [torch.float64, torch.float16, torch.bfloat16]


def held(quantizer: Quantizer) -> list[torch.Tensor]:
    """All tensors of a quantizer."""
    return [*quantizer.parameters(), *quantizer.buffers(), *local_tensors(quantizer).values()]


def train(quantizer: Quantizer, seed: int = 0) -> list[torch.Tensor]:
    """A training step: what it gives, and the state after it."""
    torch.manual_seed(seed)
    z = data(60, seed=seed).requires_grad_()
    result = quantizer.train()(z)
    (result.loss + result.values.square().mean()).backward()
    return [result.values, result.codes, result.loss, z.grad, *quantizer.state_dict().values()]


def trained(quantizer: Quantizer) -> list[torch.Tensor]:
    """`train`, three times, with k-means again in the third."""
    return [t for seed in range(3) for t in train(quantizer, seed)]


def after(quantizer: Quantizer) -> list[torch.Tensor]:
    """What the methods of a trained quantizer give."""
    report = quantizer.usage_report()
    result = quantizer.eval()(data(60))
    return [
        *(report.perplexity, report.usage, report.largest_share, report.norm_ratio),
        *(result.values, result.codes, result.loss),
        *(quantizer.encode(data(60)), quantizer.decode(result.codes)),
    ]


@functools.cache
def usual(name: str) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """`trained` and `after` of a row under the usual defaults."""
    quantizer = prepare(BY_NAME[name])
    return trained(quantizer), after(quantizer)


def same(ours: list[torch.Tensor], expected: list[torch.Tensor]) -> None:
    for one, other in zip(ours, expected, strict=True):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)


@by_row
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_training_after_inference_mode(row: Row, training: bool) -> None:
    torch.manual_seed(0)
    quantizer = row.make().train(training)
    with torch.inference_mode():
        for seed in range(2):
            quantizer(data(40, seed=seed))
            quantizer.decode(quantizer.encode(data(40)))
        quantizer.usage_report()
    train(quantizer)
    assert not any(t.is_inference() for t in held(quantizer))


@by_row
def test_inference_mode_changes_nothing(row: Row) -> None:
    quantizer = prepare(row, training=False)
    with torch.inference_mode():
        inside = quantizer(data(40))
    outside = quantizer(data(40))
    assert torch.equal(inside.values, outside.values)
    assert torch.equal(inside.codes, outside.codes)
    assert torch.equal(inside.loss, outside.loss)


@by_row
def test_shapes_on_the_meta_device(row: Row) -> None:
    with torch.device("meta"):
        quantizer = row.make()
        z = torch.empty(4, 6, D)
    codes = quantizer.encode(z)
    assert (codes.shape, codes.device.type) == ((4, 6, *quantizer.code_shape), "meta")
    assert quantizer.decode(codes).shape == z.shape
    mask = torch.ones(4, 6, dtype=torch.bool, device="meta")
    for training in (True, False):
        result = quantizer.train(training)(z, mask if training else None)
        assert (result.values.shape, result.values.device.type) == (z.shape, "meta")
        assert result.codes.shape == codes.shape
        assert result.codes.device.type == result.loss.device.type == "meta"


@by_row
@pytest.mark.parametrize("how", ["to_empty", "assign"])
def test_a_model_from_the_meta_device_trains_on(row: Row, how: str) -> None:
    source = prepare(row)
    with torch.device("meta"):
        quantizer = row.make()
    if how == "assign":
        state = {name: t.clone() for name, t in source.state_dict().items()}
        quantizer.load_state_dict(state, assign=True)
    else:
        quantizer.to_empty(device="cpu")
        for tensor in held(quantizer):  # memory that was used before
            tensor.detach().fill_(77)
        quantizer.load_state_dict(source.state_dict())
    assert not any(t.is_meta for t in held(quantizer))
    assert torch.equal(quantizer.eval().encode(data(60)), source.eval().encode(data(60)))
    same(trained(quantizer), usual(row.name)[0])
    quantizer.to("cpu", torch.float64)


@by_row
def test_a_model_from_the_meta_device_begins_with_nothing_pending(row: Row) -> None:
    source = row.make()
    with torch.device("meta"):
        quantizer = row.make()
    junk = [torch.full((n,), 77.0) for n in range(1, 200)]
    del junk  # memory that was used before
    quantizer.to_empty(device="cpu")
    for name, t in quantizer.state_dict().items():
        t.copy_(source.state_dict()[name])
    same(train(quantizer), train(source))


@by_row
def test_a_state_dict_replaces_what_was_pending(row: Row) -> None:
    source, quantizer = (prepare(row, auto_update=False) for _ in "ab")
    quantizer(100 + data(60))
    quantizer.load_state_dict(source.state_dict())
    for one in (source, quantizer):
        one.auto_update = True
    same(train(quantizer), train(source))


@by_row
def test_a_state_dict_of_half_precision_changes_no_statistics(row: Row) -> None:
    state = {
        name: t.bfloat16() if t.is_floating_point() else t
        for name, t in prepare(row).state_dict().items()
    }
    with torch.device("meta"):
        quantizer = row.make()
    quantizer.load_state_dict(state, assign=True)
    quantizer.train()(data(40).bfloat16())
    for name, buffer in [*quantizer.named_buffers(), *local_tensors(quantizer).items()]:
        if any(word in name for word in ("mass", "share", "norms", "sums", "pending_counts")):
            assert buffer.dtype == torch.float32, name


@by_row
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_another_default_dtype_changes_nothing(row: Row, dtype: torch.dtype) -> None:
    """A wider and a narrower one; what depends on the default has either's dtype."""
    quantizer = prepare(row)
    torch.set_default_dtype(dtype)
    try:
        found = trained(quantizer), after(quantizer)
    finally:
        torch.set_default_dtype(torch.float32)
    for ours, expected in zip(found, usual(row.name), strict=True):
        same(ours, expected)


@by_row
def test_another_default_device_changes_nothing(row: Row) -> None:
    quantizer = prepare(row)
    with torch.device("meta"):
        found = trained(quantizer), after(quantizer)
    for ours, expected in zip(found, usual(row.name), strict=True):
        same(ours, expected)


@by_row
@pytest.mark.parametrize("dtype", OTHER_DTYPES, ids=str)
def test_built_under_another_default_dtype(row: Row, dtype: torch.dtype) -> None:
    expected = prepare(row, training=False).to(dtype)
    torch.set_default_dtype(dtype)
    try:
        quantizer = row.make()
        quantizer.load_state_dict(expected.state_dict())
        quantizer.eval()(data(5).to(dtype))
    finally:
        torch.set_default_dtype(torch.float32)
    z = data(60).to(dtype)
    same([quantizer.encode(z), quantizer(z).values], [expected.encode(z), expected(z).values])
    assert [t.dtype for t in held(quantizer)] == [t.dtype for t in held(expected)]
    quantizer.train()(z)


def test_a_first_call_of_every_kind_spoils_no_other() -> None:
    """Constants that were kept from a first call: one quantizer spoiled all of its levels."""
    levels = [7, 6, 5]
    make = type(BY_NAME["finite scalar"].make())
    z = torch.linspace(-2, 2, 12).reshape(4, 3)
    first = make(levels).eval()
    with torch.inference_mode():
        first(z)
    with torch.device("meta"):
        first.encode(z)
    for dtype in OTHER_DTYPES:
        torch.set_default_dtype(dtype)
        first.encode(z)
        torch.set_default_dtype(torch.float32)
    x = z.clone().requires_grad_()
    result = make(levels)(x)
    result.values.sum().backward()
    assert result.codes.tolist() == first.double().encode(z.double()).tolist()
    assert (x.grad > 0).all()
