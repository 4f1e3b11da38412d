"""Every quantizer on a GPU against itself on the CPU."""

from __future__ import annotations

import copy

import pytest
import torch

from conformance.rows import ROWS, Row, data, prepare, total

if not torch.cuda.is_available():
    pytest.skip("no GPU", allow_module_level=True)

by_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
CALM = [row for row in ROWS if not row.random]
by_calm_row = pytest.mark.parametrize("row", CALM, ids=lambda row: row.name)


@by_row
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_evaluation_gives_the_same_codes(row: Row, dtype: torch.dtype) -> None:
    quantizer = prepare(row, training=False)
    moved = copy.deepcopy(quantizer).cuda()
    z = data(40, 25).to(dtype)
    here, there = quantizer(z), moved(z.cuda())
    projected = any("project" in name for name, _ in quantizer.named_parameters())
    same = (there.codes.cpu() == here.codes).double().mean()
    assert same == 1 or (projected and same > 0.999)  # a product of matrices rounds otherwise
    assert torch.equal(there.values, moved.decode(there.codes))
    assert torch.equal(moved.encode(z.cuda()), there.codes)
    if same == 1:
        tolerance = 2e-2 if dtype is torch.bfloat16 else 1e-5
        torch.testing.assert_close(there.values.cpu(), here.values, atol=tolerance, rtol=tolerance)


@by_calm_row
def test_a_training_step_gives_the_same_gradients_and_state(row: Row) -> None:
    found = []
    for device in ("cpu", "cuda"):
        quantizer = prepare(row).to(device)
        z = data(200, seed=7).to(device).requires_grad_()
        result = quantizer(z)
        (result.values.square().sum() + total(result.losses)).backward()
        found.append((quantizer, z.grad, result))
    (here, here_gradient, here_result), (there, there_gradient, there_result) = found
    assert torch.equal(there_result.codes.cpu(), here_result.codes)
    torch.testing.assert_close(there_gradient.cpu(), here_gradient, atol=1e-3, rtol=1e-3)
    for name, tensor in here.state_dict().items():
        torch.testing.assert_close(there.state_dict()[name].cpu(), tensor, atol=1e-4, rtol=1e-4)
    for name, parameter in here.named_parameters():
        if parameter.grad is not None:
            gradient = there.get_parameter(name).grad.cpu()
            torch.testing.assert_close(gradient, parameter.grad, atol=1e-3, rtol=1e-3)


@by_row
def test_a_new_quantizer_learns_there_and_comes_back(row: Row) -> None:
    torch.manual_seed(0)
    quantizer = row.make().cuda()
    for seed in range(20):
        z = data(300, seed=seed).cuda().requires_grad_()
        result = quantizer(z)
        (result.values.sum() + total(result.losses)).backward()
        assert z.grad.isfinite().all()
    state = {name: tensor.cpu() for name, tensor in quantizer.state_dict().items()}
    back = row.make()
    back.load_state_dict(state)
    z = data(100)
    codes = quantizer.eval().encode(z.cuda()).cpu()
    assert (back.eval().encode(z) == codes).double().mean() > 0.99
    assert int(codes.max()) < quantizer.codebook_size if codes.ndim == 1 else True
