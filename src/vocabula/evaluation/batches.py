"""Reads a source once, in order, in batches that fit into memory for any image size."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from typing import cast

import torch

from vocabula.data import Batch, Source
from vocabula.data.ahead import cores, default_workers
from vocabula.data.long_signal import LongSignal
from vocabula.errors import DataError, OptionError

CPU = torch.device("cpu")


def read_batches(
    source: Source,
    *,
    batch_size: int | None = None,
    limit: int | None = None,
    workers: int | None = None,
    device: torch.device = CPU,
) -> Generator[Batch, None, None]:
    """Batches of consecutive signals of the same size and type, in the order of the source.

    Padded batches are split into such batches, without their padding.

    A signal that cannot be read is left out; the source notes it in its ``problems``.

    Args:
        source: the signals.
        batch_size: most signals of a batch; None takes the source's own.
        limit: read the first `limit` signals only; None reads all.
        workers: threads that read ahead; None takes one for each core, 0 reads in this one.
        device: where the model that uses the batches runs. If it runs on the CPU with a thread for
            each core, the workers read only while it waits.

    Raises:
        DataError: no signal can be read, or one holds NaN or infinity.
        OptionError: `batch_size` or `limit` is below 1, or `workers` is below 0.
    """
    found = read_bounded(
        source,
        batch_size=batch_size,
        limit=limit,
        workers=workers,
        device=device,
        parts=False,
    )
    yield from cast("Generator[Batch, None, None]", found)


def read_bounded(
    source: Source,
    *,
    batch_size: int | None = None,
    limit: int | None = None,
    workers: int | None = None,
    device: torch.device = CPU,
    parts: bool = True,
) -> Generator[Batch | LongSignal, None, None]:
    """As `read_batches`, in memory that does not depend on the longest signal.

    Args:
        source: the signals.
        batch_size: most signals of a batch.
        limit: read the first `limit` signals only.
        workers: threads that read ahead.
        device: where the model runs.
        parts: whether the model takes long signals in parts; else all come whole.

    Raises:
        DataError: see `read_batches`.
        OptionError: see `read_batches`.
    """
    if batch_size is not None and batch_size < 1:
        raise OptionError(f"batch size: expected an integer >= 1, got {batch_size}")
    if workers is None:
        workers = default_workers()
    elif workers < 0:
        raise OptionError(f"workers: expected an integer >= 0, got {workers}")
    read = source.bounded_batches if parts else source.batches
    batches: Generator[Batch | LongSignal, None, None] = read(
        batch_size=batch_size,
        limit=signal_count(source, limit),
        workers=workers,
        overlap=device.type != "cpu" or torch.get_num_threads() < cores(),
    )
    none = True
    with closing(batches):
        for batch in batches:
            none = False
            if isinstance(batch, LongSignal):
                yield batch
            else:
                yield from batch.unpadded()
    if none:
        raise DataError(
            f"{source.name}: expected signals, got none that can be read; check the data"
        )


def signal_count(source: Source, limit: int | None) -> int:
    """How many signals of the source will be read, broken ones included.

    Raises:
        OptionError: if `limit` is below 1.
    """
    if limit is not None and limit < 1:
        raise OptionError(f"limit: expected an integer >= 1, got {limit}")
    return len(source) if limit is None else min(limit, len(source))
