"""Reads a source once, in order, in batches that fit into memory for any image size."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager

import torch
from torch import Tensor

from vocabula.data import Batch, ImageData, ImageSource
from vocabula.data.ahead import cores, default_workers
from vocabula.errors import DataError, OptionError

CPU = torch.device("cpu")
BATCH_PIXELS = 2**19
"""Most pixels of a batch of several images: large photographs go one at a time."""


def as_unit(images: Tensor) -> Tensor:
    """uint8 images divided by 255, or float images as they are, in float32."""
    return images.float() / 255 if images.dtype == torch.uint8 else images.float()


def read_batches(
    source: ImageSource,
    *,
    batch_size: int = 64,
    limit: int | None = None,
    workers: int | None = None,
    device: torch.device = CPU,
) -> Generator[Batch, None, None]:
    """Batches of consecutive images of the same size and type, in the order of the source.

    An image that cannot be decoded is left out; the source notes it in its ``problems``.

    Args:
        source: the images.
        batch_size: most images of a batch; a batch also ends at `BATCH_PIXELS` pixels.
        limit: read the first `limit` images only; None reads all.
        workers: threads that decode ahead; None takes one for each core, 0 decodes in this one.
        device: where the model that uses the batches runs. If it runs on the CPU with a thread for
            each core, the workers decode only while it waits.

    Raises:
        DataError: no image can be read, or one holds NaN or infinity.
        OptionError: `batch_size` or `limit` is below 1, or `workers` is below 0.
    """
    if batch_size < 1:
        raise OptionError(f"batch size: expected an integer >= 1, got {batch_size}")
    if workers is None:
        workers = default_workers()
    elif workers < 0:
        raise OptionError(f"workers: expected an integer >= 0, got {workers}")
    batches = ImageData().evaluation_batches(
        source,
        batch_size=batch_size,
        batch_pixels=BATCH_PIXELS,
        limit=image_count(source, limit),
        workers=workers,
        overlap=device.type != "cpu" or torch.get_num_threads() < cores(),
    )
    none = True
    with closing(batches):
        for batch in batches:
            none = False
            yield batch
    if none:
        raise DataError(
            f"{source.name}: expected images, got none that can be read; check the data"
        )


def image_count(source: ImageSource, limit: int | None) -> int:
    """How many images of the source will be read, broken ones included.

    Raises:
        OptionError: if `limit` is below 1.
    """
    if limit is not None and limit < 1:
        raise OptionError(f"limit: expected an integer >= 1, got {limit}")
    return len(source) if limit is None else min(limit, len(source))


@contextmanager
def counted(description: str, total: int, *, show: bool) -> Iterator[Callable[[int], None]]:
    """A progress bar on the terminal's error stream; yields a function that adds to the count."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    hidden = not (show and console.is_terminal)
    with Progress(*columns, console=console, transient=True, disable=hidden) as bar:
        task = bar.add_task(description, total=total)
        yield lambda count: bar.advance(task, count)
