"""Triton kernels for CUDA devices, behind the operators that the rest of the package calls.

| file | kernel |
|---|---|
| `search` | nearest codeword, one book or several in a launch |
| `residual` | all stages of a residual quantizer |
| `statistics` | counts and sums of codes |
| `binary` | joint distribution of binary codes, and its gradient |

`tables`, `scan` and `decide` are the steps of a search. Importing this package imports no Triton;
the first CUDA tensor does. Without Triton or its C compiler, on float64, and on devices older than
Ampere, the operators run in torch, as on other devices.
"""

from __future__ import annotations

import os
import shutil
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

__all__ = ["register", "usable"]


@lru_cache(maxsize=1)
def _installed() -> bool:
    # Triton builds the launcher of its kernels with a C compiler.
    compilers = (os.environ.get("CC", ""), "gcc", "clang")
    return (
        torch.version.cuda is not None
        and find_spec("triton") is not None
        and any(shutil.which(name) for name in compilers)
    )


@lru_cache(maxsize=64)
def _recent(device: torch.device) -> bool:
    return torch.cuda.get_device_capability(device) >= (8, 0)


def usable(*tensors: Tensor) -> bool:
    """Return whether the kernels take these tensors.

    Args:
        tensors: the tensors of a kernel; float64 is left to torch.

    Returns:
        True if all are on a CUDA device of compute capability 8.0 or more, none is float64, and
        Triton and a C compiler are installed.
    """
    return (
        _installed()
        and all(t.is_cuda and t.dtype != torch.float64 for t in tensors)
        and _recent(tensors[0].device)
    )


def _dispatcher(module: str, name: str, fallback: Callable[..., Any]) -> Callable[..., Any]:
    def run(first: Tensor, *others: Any) -> Any:
        if not usable(first):
            return fallback(first, *others)
        # Imported here: only a process that computes on a GPU pays for Triton.
        kernel = getattr(import_module(f"{__name__}.{module}"), name)
        return kernel(first, *others)

    return run


def register() -> None:
    """Give the operators of `vocabula.functional` their CUDA kernels.

    For ``vocabula.functional`` to call once, at the end of its import; it costs microseconds. Where
    the kernels are not `usable`, an operator does the same on CUDA as on other devices.
    """
    from vocabula.functional import binary, search, statistics

    for operator, module, name in (
        (search._nearest, "search", "nearest"),
        (search._nearest_of_books, "search", "nearest_of_books"),
        (search._residual_codes, "residual", "residual_codes"),
        (statistics._code_statistics, "statistics", "code_statistics"),
        (binary._binary_joint, "binary", "binary_joint"),
        (binary._binary_joint_backward, "binary", "binary_joint_backward"),
    ):
        # The decorated function itself: calling the operator would dispatch back to here.
        operator.register_kernel("cuda", _dispatcher(module, name, operator._init_fn))
