"""The rivals: packages of the ``bench`` extra, which nothing else needs."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from vocabula.errors import OptionError

PACKAGES = {
    "faiss": ("faiss", "faiss-cpu"),
    "vector-quantize-pytorch": ("vector_quantize_pytorch", "vector-quantize-pytorch"),
}
"""By a contestant's name: the module that it needs, and the package that brings it."""


def installed(contestant: str) -> bool:
    """Whether a contestant can take part: it needs no package, or its package is installed."""
    if contestant not in PACKAGES:
        return True
    return importlib.util.find_spec(PACKAGES[contestant][0]) is not None


def load(contestant: str) -> Any:
    """The module of a rival.

    Raises:
        OptionError: it is not installed.
    """
    module, package = PACKAGES[contestant]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise OptionError(
            f"{contestant}: expected {package} to be installed, got {error}; "
            "pip install 'vocabula[bench]'"
        ) from None
