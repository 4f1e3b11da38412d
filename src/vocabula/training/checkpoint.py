"""Checkpoints: complete or absent, verified when read, never pickled.

A checkpoint is a folder ``step-00000500`` with ``model.safetensors``, ``optimizer.safetensors``,
``average.safetensors`` where weights are averaged, and ``state.json``, which holds everything
else and the SHA-256 of each file.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from vocabula.errors import CheckpointError
from vocabula.files import (
    dump_json,
    hidden_folder,
    in_stable_order,
    input_error,
    output_errors,
    remove_folder,
    replace_folder,
    sync_folder,
    write_bytes,
)
from vocabula.training.log import RESUME

_FORMAT = "vocabula-checkpoint"
_VERSION = 1
_NAME = re.compile(r"step-(\d{8,})")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint holds.

    Attributes:
        step: optimizer steps done.
        tensors: tensors by file (``model``, ``optimizer``, ``average``) and name.
        state: everything else, as plain data for JSON.
    """

    step: int
    tensors: dict[str, dict[str, Tensor]]
    state: dict[str, Any]


def save_checkpoint(folder: Path, checkpoint: Checkpoint, *, keep: int) -> Path:
    """Write a checkpoint below `folder` and remove all but the newest `keep`.

    Files are written aside and flushed, then the folder is renamed: a checkpoint is complete or
    absent, whenever the process or the machine stops.

    Raises:
        OutputError: if the disk is full or not writable; earlier checkpoints are unharmed.
    """
    target = folder / f"step-{checkpoint.step:08d}"
    with output_errors(target, then=RESUME, kept="earlier checkpoints are unharmed"):
        folder.mkdir(parents=True, exist_ok=True)
        with hidden_folder(target) as hidden:
            _write(hidden, checkpoint)
            replace_folder(hidden, target)
        for old in list_checkpoints(folder)[keep:]:
            remove_folder(old)
    return target


def list_checkpoints(folder: Path) -> list[Path]:
    """The checkpoint folders below `folder`, the newest first; not yet verified."""
    if not folder.is_dir():
        return []
    found = [(int(m[1]), p) for p in folder.iterdir() if (m := _NAME.fullmatch(p.name))]
    return [path for _, path in sorted(found, reverse=True)]


def newest_step(folder: Path) -> int:
    """Steps done at the newest checkpoint below `folder`, 0 if there is none; not verified."""
    found = list_checkpoints(folder)
    return int(_NAME.fullmatch(found[0].name)[1]) if found else 0  # type: ignore[index]


def read_checkpoint(path: Path) -> Checkpoint:
    """Read one checkpoint and verify every file.

    Raises:
        CheckpointError: if a file is missing, damaged, of another format, or cannot be read.
    """
    state = _read_state(path)
    tensors = {}
    for name, digest in state.pop("files").items():
        try:
            content = (path / f"{name}.safetensors").read_bytes()
            if hashlib.sha256(content).hexdigest() != digest:
                raise CheckpointError(
                    f"{path}: expected {name}.safetensors as it was written, got changed "
                    "content; remove this checkpoint"
                )
            tensors[name] = safetensors.torch.load(content)
        except (OSError, SafetensorError) as error:
            raise _unreadable(path / f"{name}.safetensors", error) or CheckpointError(
                f"{path}: expected a readable {name}.safetensors, got {error}; "
                "remove this checkpoint"
            ) from None
    return Checkpoint(state.pop("step"), tensors, state)


def newest_checkpoint(folder: Path, notify: Callable[[str], None]) -> Checkpoint | None:
    """The newest undamaged checkpoint, or None if none was ever written.

    Args:
        folder: where the checkpoints are.
        notify: told, in a sentence, about each damaged checkpoint that is passed over.

    Raises:
        CheckpointError: if there are checkpoints, but every one is damaged; or one cannot be read
            because of permissions or the disk.
    """
    paths = list_checkpoints(folder)
    for path in paths:
        try:
            return read_checkpoint(path)
        except _NotToBeReadError:
            raise
        except CheckpointError as error:
            notify(f"Passing over a damaged checkpoint: {error}")
    if paths:
        raise CheckpointError(
            f"{folder}: expected an undamaged checkpoint, got {len(paths)} damaged; "
            "start again with --overwrite"
        )
    return None


def _write(folder: Path, checkpoint: Checkpoint) -> None:
    digests = {}
    for name, tensors in checkpoint.tensors.items():
        saved = safetensors.torch.save({k: _plain(t) for k, t in tensors.items()})
        content = b"".join(in_stable_order(saved))
        digests[name] = hashlib.sha256(content).hexdigest()
        write_bytes(folder / f"{name}.safetensors", content)
    state = {
        **checkpoint.state,
        "format": _FORMAT,
        "version": _VERSION,
        "step": checkpoint.step,
        "files": digests,
    }
    state["checksum"] = _checksum(state)
    write_bytes(folder / "state.json", dump_json(state))
    sync_folder(folder)


def _read_state(path: Path) -> dict[str, Any]:
    try:
        state = json.loads((path / "state.json").read_bytes())
    except (OSError, ValueError) as error:
        raise _unreadable(path / "state.json", error) or CheckpointError(
            f"{path}: expected a readable state.json, got {type(error).__name__}; "
            "remove this checkpoint"
        ) from None
    if not isinstance(state, dict) or state.pop("format", None) != _FORMAT:
        raise CheckpointError(
            f"{path}: expected a vocabula checkpoint, got another format; remove it"
        )
    if state.get("version") != _VERSION:
        raise CheckpointError(
            f"{path}: expected checkpoint version {_VERSION}, got {state.get('version')}; "
            "resume with the vocabula version that wrote it"
        )
    if state.pop("checksum", None) != _checksum({**state, "format": _FORMAT}):
        raise CheckpointError(
            f"{path}: expected state.json as it was written, got changed content; "
            "remove this checkpoint"
        )
    del state["version"]
    return state


class _NotToBeReadError(CheckpointError):
    """A checkpoint whose files exist but cannot be opened: not damaged, and fixable."""


def _unreadable(path: Path, error: Exception) -> CheckpointError | None:
    """The error for a file that permissions or the disk make unreadable; None for other errors."""
    if isinstance(error, FileNotFoundError):
        return None  # a part is missing: treated as damaged
    failure = input_error(path, error, _NotToBeReadError)
    return failure if isinstance(failure, _NotToBeReadError) else None


def _checksum(state: Mapping[str, Any]) -> str:
    text = json.dumps(state, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(tensor: Tensor) -> Tensor:
    """A contiguous copy on the CPU that shares no memory."""
    return tensor.detach().to("cpu", copy=True).contiguous()


__all__ = [
    "Checkpoint",
    "list_checkpoints",
    "newest_checkpoint",
    "newest_step",
    "read_checkpoint",
    "save_checkpoint",
]
