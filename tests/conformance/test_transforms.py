"""torch.func, forward-mode and second derivatives: they are right, or one line says no."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad

from conformance.rows import ROWS, Row, data, prepare
from vocabula.errors import OptionError
from vocabula.quantizers import Quantizer

by_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)

# Inside torch, at the first use of forward mode.
no_notice = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")


def objective(quantizer: Quantizer) -> Callable[[Tensor], Tensor]:
    """A function of vectors that both the values and the loss move."""
    weight = data(12, seed=1)

    def total(z: Tensor) -> Tensor:
        result = quantizer(z)
        return (result.values.square() * weight).sum() + 10 * result.loss

    return total


def close(ours: Tensor, expected: Tensor) -> None:
    assert (ours - expected).abs().max() <= 2e-4 * expected.abs().max() + 1e-6


@by_row
def test_grad_is_that_of_autograd(row: Row) -> None:
    quantizer = prepare(row, training=False)
    z = (0.3 * data(12)).requires_grad_()
    (expected,) = torch.autograd.grad(objective(quantizer)(z), z)
    close(torch.func.grad(objective(quantizer))(z.detach()), expected)


@by_row
def test_vmap_gives_what_each_gives(row: Row) -> None:
    quantizer = prepare(row, training=False)
    z = data(3, 4, 5)
    codes = torch.vmap(quantizer.encode, in_dims=1)(z)
    assert torch.equal(codes, quantizer.encode(z.movedim(1, 0)))
    assert torch.equal(torch.vmap(quantizer.decode)(codes), quantizer.decode(codes))
    values = torch.vmap(lambda x: quantizer(x).values)(z)
    assert torch.equal(values, quantizer(z).values)
    losses = torch.vmap(lambda x: quantizer(x).loss)(z)
    close(losses, torch.stack([quantizer(x).loss for x in z]))
    twice = torch.vmap(torch.vmap(quantizer.encode))(z)
    assert torch.equal(twice, quantizer.encode(z))


@by_row
def test_gradients_of_each_sample(row: Row) -> None:
    quantizer = prepare(row, training=False)
    z = 0.3 * data(3, 12)
    ours = torch.vmap(torch.func.grad(objective(quantizer)))(z)
    each = [torch.func.grad(objective(quantizer))(x) for x in z]
    close(ours, torch.stack(each))


@by_row
def test_several_models_at_once(row: Row) -> None:
    one, two = (prepare(row, training=False) for _ in "ab")
    with torch.no_grad():
        for parameter in two.parameters():
            parameter.mul_(1.1)
    states = [dict(q.named_parameters()) | dict(q.named_buffers()) for q in (one, two)]
    joined = {name: torch.stack([s[name].detach() for s in states]) for name in states[0]}
    z = data(20)
    ours = torch.vmap(lambda s: torch.func.functional_call(one, s, (z,)).values)(joined)
    expected = torch.stack([q(z).values for q in (one, two)])
    if any(word in row.name for word in ("mlp", "attention", "conditional")):
        torch.testing.assert_close(ours, expected)  # networks that vmap joins round differently
    else:
        assert torch.equal(ours, expected)


@by_row
def test_functional_call_trains(row: Row) -> None:
    expected, quantizer = (prepare(row) for _ in "ab")
    state = {n: t.detach().clone() for n, t in quantizer.named_parameters()}
    state = {n: t.requires_grad_() for n, t in state.items()}
    torch.manual_seed(0)
    ours = torch.func.functional_call(quantizer, state, (data(60),))
    torch.manual_seed(0)
    theirs = expected(data(60))
    assert torch.equal(ours.values, theirs.values)
    assert torch.equal(ours.loss, theirs.loss)


@no_notice
@by_row
def test_forward_mode_is_the_gradient_in_a_direction(row: Row) -> None:
    quantizer = prepare(row, training=False)
    z, direction = 0.3 * data(12), data(12, seed=2)
    expected = (torch.func.grad(objective(quantizer))(z) * direction).sum()
    _, ours = torch.func.jvp(objective(quantizer), (z,), (direction,))
    close(ours, expected)
    with forward_ad.dual_level():
        found = objective(quantizer)(forward_ad.make_dual(z, direction))
        close(forward_ad.unpack_dual(found).tangent, expected)


def second(first: Tensor, direction: Tensor, z: Tensor) -> Tensor:
    """The derivative to z of the gradient `first` in a direction, zero where it has no graph."""
    if not first.requires_grad:
        return torch.zeros_like(z)
    return torch.autograd.grad((first * direction).sum(), z, materialize_grads=True)[0]


@by_row
def test_the_second_derivative_is_that_of_torch_operations(row: Row) -> None:
    quantizer = prepare(row, training=False).double()
    z, direction = (0.3 * data(12)).double().requires_grad_(), data(12, seed=2).double()
    total = objective(quantizer)
    (first,) = torch.autograd.grad(total(z), z, create_graph=True)
    expected = torch.func.grad(lambda x: (torch.func.grad(total)(x) * direction).sum())(z.detach())
    ours = second(first, direction, z)
    assert (ours - expected).abs().max() <= 1e-6 * expected.abs().max() + 1e-9


# Where diversity counts, the temperature is the error of the batch, held constant in derivatives.
@pytest.mark.parametrize(
    "row", [row for row in ROWS if "diversity" not in row.name], ids=lambda row: row.name
)
def test_the_second_derivative_of_the_loss_is_that_of_finite_differences(row: Row) -> None:
    quantizer = prepare(row, training=False).double()
    z, direction = (0.3 * data(12)).double(), data(12, seed=2).double()

    def gradient(x: Tensor) -> Tensor:
        loss = quantizer(x).loss
        return torch.autograd.grad(loss, x, create_graph=True, materialize_grads=True)[0]

    x, step = z.clone().requires_grad_(), 1e-5
    ours = second(gradient(x), direction, x)
    after, before = (gradient((z + d * direction).requires_grad_()) for d in (step, -step))
    expected = (after - before).detach() / (2 * step)
    assert (ours - expected).abs().max() <= 1e-4 * expected.abs().max() + 1e-7


@by_row
def test_the_second_derivative_of_float32_is_that_of_float64(row: Row) -> None:
    """The compiled kernels have no second derivative: there torch operations take their place."""
    quantizer = prepare(row, training=False)
    found = []
    for dtype in (torch.float32, torch.float64):
        z = (0.3 * data(12)).to(dtype).requires_grad_()
        total = objective(quantizer.to(dtype))(z)
        (first,) = torch.autograd.grad(total, z, create_graph=True)
        found.append(second(first, data(12, seed=2).to(dtype), z))
    assert (found[0] - found[1]).abs().max() <= 1e-3 * found[1].abs().max() + 1e-6


@no_notice
@by_row
def test_learning_under_a_transform_is_refused_in_one_line(row: Row) -> None:
    quantizer = prepare(row)
    before = {name: t.clone() for name, t in quantizer.state_dict().items()}
    tries: list[Callable[[], object]] = [
        lambda: torch.func.grad(objective(quantizer))(data(12)),
        lambda: torch.vmap(lambda x: quantizer(x).values)(data(3, 12)),
        lambda: torch.func.jvp(objective(quantizer), (data(12),), (data(12),)),
    ]
    for attempt in tries:
        with pytest.raises(OptionError, match="expected evaluation mode") as error:
            attempt()
        assert "\n" not in str(error.value)
    assert all(torch.equal(t, before[name]) for name, t in quantizer.state_dict().items())
    quantizer.freeze()
    if not row.random:
        torch.func.grad(objective(quantizer))(data(12))
