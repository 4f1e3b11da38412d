"""The run's log: one JSON object a line, and TensorBoard events on request."""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vocabula.errors import OptionError
from vocabula.files import output_errors, replace_file

RESUME = "and run again with --resume"
"""What helps once the cause of a failed write is mended."""


class RunLog:
    """Appends to ``log.jsonl``; every line is complete or, at a crash, cut off by `truncate`.

    A line holds ``step``, ``stage``, ``loss``, ``losses`` (by name), ``mse``, ``psnr`` in dB,
    ``grad_norm``, ``lr``, ``images_per_second``, ``seconds`` since the start of the run, for
    quantizers ``perplexity`` (of single batches), ``usage``, ``window_perplexity``, ``dead``,
    ``largest_share`` and ``norm_ratio`` (of the usage window, means over books), and
    ``warnings`` where the collapse watch spoke, and ``adversary`` where one plays. Figures of steps
    are means since the last line.
    With several levels, figures of codes are given over all books and for each level, as
    ``level1.usage``.

    For a prior, ``loss`` is in nats per code, ``signals_per_second`` replaces images, and lines
    with a measurement hold ``held_out_nats`` (per code), ``held_out_bits_per_dim`` and, where it
    knows classes or text, ``held_out_nats_without_condition``.

    Args:
        path: the file.
        tensorboard: folder for TensorBoard events, or None; see `require_tensorboard`.
    """

    def __init__(self, path: Path, tensorboard: Path | None = None) -> None:
        self.path = path
        self._writer = _tensorboard_writer(tensorboard) if tensorboard else None

    def truncate(self, step: int) -> None:
        """Drop all lines after `step`, and a half-written last one."""
        if not self.path.exists():
            return
        kept = []
        for line in self.path.read_bytes().splitlines(keepends=True):
            try:
                record = json.loads(line)
            except ValueError:
                break
            if not line.endswith(b"\n") or record.get("step", 0) > step:
                break
            kept.append(line)
        with output_errors(self.path, then=RESUME):
            replace_file(self.path, b"".join(kept))

    def write(self, record: Mapping[str, Any]) -> None:
        """Append one line.

        Raises:
            OutputError: if the disk is full or not writable.
        """
        line = json.dumps(_finite(record)) + "\n"
        kept = "checkpoints are unharmed"
        writing = output_errors(self.path, then=RESUME, kept=kept)
        with writing, open(self.path, "ab") as file:
            file.write(line.encode())
        if self._writer is not None:
            for name, value in _scalars(record):
                self._writer.add_scalar(name, value, record["step"])

    def close(self) -> None:
        """Flush pending TensorBoard events."""
        if self._writer is not None:
            self._writer.close()


def _finite(value: Any) -> Any:
    """Infinities and NaN as None, which JSON can hold."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _scalars(record: Mapping[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    for key, value in record.items():
        if isinstance(value, Mapping):
            found += _scalars(value, f"{prefix}{key}/")
        elif isinstance(value, (int, float)) and key != "step":
            found.append((f"{prefix}{key}", float(value)))
    return found


def require_tensorboard() -> None:
    """Check that TensorBoard is there, before anything is written.

    Raises:
        OptionError: it is not installed.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise OptionError(
            "training.tensorboard: expected the tensorboard package, got none; "
            "pip install 'vocabula[tensorboard]' or leave the option off"
        )


def _tensorboard_writer(folder: Path) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder))
