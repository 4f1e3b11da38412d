"""The kernels run where there is a GPU, else in Triton's interpreter: see test_interpreter.py."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import pytest
import torch

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"

# The interpreter has to be chosen before Triton is imported, so another process runs these.
if find_spec("triton") is None or not (INTERPRETED or torch.cuda.is_available()):
    collect_ignore = ["test_binary.py", "test_residual.py", "test_search.py", "test_statistics.py"]


def _exchange_once_a_launch() -> None:
    """Keep the interpreter from exchanging Triton's functions anew at each call of a helper.

    A kernel's helpers see what the launch has exchanged already, and looking through all of Triton
    for what is left took half of the time of these tests.
    """
    from triton.runtime import interpreter

    exchange = interpreter._patch_lang
    modules: set[int] = set()  # whose functions have been called since the launch

    class Nothing:
        def restore(self) -> None:
            raise AssertionError("a helper restores nothing, only a launch does")

    def once(fn: Callable[..., None]) -> Any:
        if id(fn.__globals__) in modules:
            return Nothing()
        launched = not modules
        modules.add(id(fn.__globals__))
        scope = exchange(fn)
        if launched:
            restore = scope.restore

            def ended() -> None:
                modules.clear()
                restore()

            scope.restore = ended
        return scope

    interpreter._patch_lang = once


if INTERPRETED:
    _exchange_once_a_launch()


@pytest.fixture
def device() -> torch.device:
    return torch.device("cpu" if INTERPRETED else "cuda")
