"""The identity of a model: a hash of its settings and its tensors, in any storage form.

It does not need tensor objects, so a saved model is identified without building it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vocabula import registry

# State of learning, as opposed to tensors that encode, decode and likelihood use.
LEARNING_STATE = ("usage_tracker", "revival", "mass", "sums", "noise_updates")
PENDING = "pending_"

STORED, HALF = "stored", "float16"
"""Header of a file whose tensors of type float16 are float32 in the model."""

_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}
"""Types of safetensors files, as torch names them."""


@dataclass(frozen=True, slots=True)
class Bytes:
    """A tensor as its bytes.

    Attributes:
        name: its name in the model's state.
        dtype: as torch writes it, such as ``torch.float32``.
        shape: its sizes.
        data: a buffer of its elements, the last axis fastest.
    """

    name: str
    dtype: str
    shape: Sequence[int]
    data: Any


def digest(tensors: Iterable[Bytes]) -> str:
    """SHA-256 (hex) of tensors, given in the order of their names: names, types, shapes, bytes."""
    total = hashlib.sha256()
    for tensor in tensors:
        header = json.dumps([tensor.name, tensor.dtype, list(tensor.shape)])
        total.update(header.encode())
        total.update(tensor.data)
    return total.hexdigest()


def fingerprint(kind: str, settings: Any, tensors: Iterable[Bytes]) -> str:
    """SHA-256 (hex) that identifies what a model computes: its settings and its tensors.

    It covers every parameter and buffer except the state of learning: usage counters, moving
    averages that a codebook is computed from, revival and pending statistics. Options at their
    default are left out of the settings, so that an option added later changes no old
    fingerprint. Saving, loading, evaluation and the device do not change it.

    Args:
        kind: the kind of component that the model is.
        settings: its settings from `registry.spec`.
        tensors: its state, each shared tensor once, in the order of the names.
    """
    text = json.dumps(without_defaults(kind, settings), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{text}\n{digest(functional(tensors))}".encode()).hexdigest()


def functional(tensors: Iterable[Bytes]) -> Iterator[Bytes]:
    """The tensors that encode, decode and likelihood use, without the state of learning."""
    return (tensor for tensor in tensors if not _is_learning_state(tensor.name))


def read_bytes(path: Path) -> list[Bytes]:
    """The tensors of a safetensors file, in the order of their names.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged, its tensors are not those that it was written with, or of a
            type that is not known here.
    """
    import safetensors

    try:
        content = path.read_bytes()
        found = safetensors.deserialize(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        said = header.get("__metadata__", {})
        tensors = [
            Bytes(name, f"torch.{_DTYPES[each['dtype']]}", each["shape"], each["data"])
            for name, each in sorted(found, key=lambda item: item[0])
        ]
        if said.get(STORED) == HALF:
            tensors = [_widened(tensor) for tensor in tensors]
    except (safetensors.SafetensorError, KeyError) as error:
        raise ValueError(str(error)) from None
    if said.get("sha256", "") not in ("", digest(tensors)):
        raise ValueError("other tensors than the header says")
    return tensors


def _widened(tensor: Bytes) -> Bytes:
    """A float16 tensor as the float32 tensor of the same numbers; others as they are."""
    import numpy as np

    if tensor.dtype != "torch.float16":
        return tensor
    numbers = np.frombuffer(tensor.data, "<f2").astype("<f4")
    return Bytes(tensor.name, "torch.float32", tensor.shape, numbers.data)


def _is_learning_state(name: str) -> bool:
    parts = name.split(".")
    return any(part in LEARNING_STATE or part.startswith(PENDING) for part in parts)


def without_defaults(kind: str, settings: Any) -> Any:
    """Settings without the options that have their default value, at every depth."""
    if isinstance(settings, list):
        return [without_defaults(kind, item) for item in settings]
    if not (isinstance(settings, dict) and "name" in settings):
        return settings
    name = settings["name"]
    kept = {"name": name}
    for option in registry.options(kind, name):
        value = settings.get(option.name)
        default = option.default
        if hasattr(default, "component_kind"):
            default = registry.spec(default)
        if option.name in settings and not _same(value, default):
            nested = without_defaults(option.kind, value) if option.kind else value
            kept[option.name] = nested
    return kept


def _same(value: Any, default: Any) -> bool:
    plain = list(default) if isinstance(default, tuple) else default
    return type(value) is type(plain) and bool(value == plain)
