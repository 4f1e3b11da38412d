"""The operators find the CUDA kernels, and do without them where they cannot run."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vocabula.functional import binary, gpu, nearest_codeword, search

NAMES = ["nearest", "binary_joint", "binary_joint_backward"]


@pytest.mark.parametrize("name", NAMES)
def test_each_operator_has_a_kernel_for_cuda(name: str) -> None:
    gpu.register()
    assert torch._C._dispatch_has_kernel_for_dispatch_key(f"vocabula::{name}", "CUDA")


def test_registering_again_changes_nothing_on_the_cpu() -> None:
    z, codebook = torch.tensor([[0.9], [0.1]]), torch.tensor([[0.0], [1.0]])
    for _ in range(2):
        gpu.register()
        assert nearest_codeword(z, codebook).tolist() == [1, 0]


def test_operators_still_trace() -> None:
    gpu.register()
    z, codebook, mask = torch.randn(6, 4), torch.randn(5, 4), torch.ones(6, dtype=torch.bool)
    torch.library.opcheck(search._nearest.overload, (z, codebook, False))
    torch.library.opcheck(binary._binary_joint, (torch.randn(6, 2, 3), mask))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_other_devices_are_left_to_torch(dtype: torch.dtype) -> None:
    assert not gpu.usable(torch.zeros(2, 2, dtype=dtype))


def test_without_the_kernels_the_fallback_answers() -> None:
    def fallback(z: Tensor, codebook: Tensor, cosine: bool) -> Tensor:
        return torch.full((z.shape[0],), 7)

    run = gpu._dispatcher("search", "nearest", fallback)
    assert run(torch.zeros(2, 3), torch.zeros(4, 3), False).tolist() == [7, 7]


@pytest.mark.parametrize("missing", ["triton", "compiler", "cuda"])
def test_what_the_kernels_need(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", None if missing == "cuda" else "12.8")
    monkeypatch.setattr(gpu, "find_spec", lambda name: None if missing == "triton" else object())
    monkeypatch.setattr(gpu.shutil, "which", lambda name: None if missing == "compiler" else name)
    gpu._installed.cache_clear()
    assert not gpu._installed()
    monkeypatch.undo()
    gpu._installed.cache_clear()
