from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from vocabula.functional.gpu.statistics import code_counts_sums


def test_by_hand(device: torch.device) -> None:
    z = torch.tensor([[1.0, -1.0], [2.0, 0.5], [4.0, 0.25]], device=device)
    counts, sums = code_counts_sums(z, torch.tensor([0, 2, 2], device=device), 4)
    assert counts.dtype == torch.int64 and counts.tolist() == [1, 0, 2, 0]
    assert sums.tolist() == [[1.0, -1.0], [0.0, 0.0], [6.0, 0.75], [0.0, 0.0]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("D", [1, 33, 100])
def test_masked_rows_do_not_count(D: int, dtype: torch.dtype, device: torch.device) -> None:
    # Eighths up to 8: every sum is exact in float32, in any order.
    generator = torch.Generator().manual_seed(0)
    z = (torch.randint(-64, 65, (150, D), generator=generator) / 8).to(dtype)
    codes = torch.randint(7, (150,), generator=generator)
    mask = torch.rand(150, generator=generator) < 0.6
    z[~mask], codes[~mask] = torch.nan, 1000
    counts, sums = code_counts_sums(z.to(device), codes.to(device), 9, mask.to(device))
    assert sums.dtype == torch.float32
    assert counts.tolist() == [int((codes[mask] == k).sum()) for k in range(9)]
    for k in range(9):
        assert sums[k].tolist() == z[mask & (codes == k)].double().sum(0).tolist()


def test_rows_of_a_view(device: torch.device) -> None:
    z = torch.arange(24.0, device=device).reshape(6, 4)
    codes = torch.tensor([1, 0, 1], device=device)
    assert code_counts_sums(z[::2, 1:3], codes, 2)[1].tolist() == [[9, 10], [18, 20]]
    assert code_counts_sums(z.t()[:3, :2], codes, 2)[1].tolist() == [[1, 5], [2, 10]]


def test_nothing_to_count(device: torch.device) -> None:
    codes = torch.zeros(0, dtype=torch.int64, device=device)
    counts, sums = code_counts_sums(torch.zeros(0, 3, device=device), codes, 2)
    assert counts.tolist() == [0, 0] and sums.tolist() == [[0, 0, 0]] * 2


def test_deterministic_algorithms_give_the_same(device: torch.device) -> None:
    z = torch.tensor([[1.0], [torch.nan], [4.0]], device=device)
    codes = torch.tensor([1, 5, 1], device=device)
    mask = torch.tensor([True, False, True], device=device)
    torch.use_deterministic_algorithms(True)
    try:
        counts, sums = code_counts_sums(z, codes, 2, mask)
    finally:
        torch.use_deterministic_algorithms(False)
    assert counts.tolist() == [0, 2] and sums.tolist() == [[0.0], [5.0]]


@pytest.mark.parametrize("code", [-1, 2])
def test_a_code_outside_the_book_never_writes(code: int, device: torch.device) -> None:
    if device.type == "cuda":
        pytest.skip("there the kernel asserts, which ends the process: see the next test")
    counts, sums = code_counts_sums(torch.ones(2, 3), torch.tensor([0, code]), 2)
    assert counts.tolist() == [1, 0] and sums.tolist() == [[1, 1, 1], [0, 0, 0]]


def test_a_code_outside_the_book_is_asserted(device: torch.device) -> None:
    if device.type == "cpu":
        pytest.skip("no GPU: the interpreter asserts nothing")
    code = (
        "import torch; from vocabula.functional.gpu.statistics import code_counts_sums as f;"
        "f(torch.ones(2, 3).cuda(), torch.tensor([0, 2]).cuda(), 2); torch.cuda.synchronize()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode != 0 and "expected values in [0, K - 1]" in done.stderr + done.stdout
