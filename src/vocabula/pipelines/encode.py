"""Encodes the signals of a source to a file of codes."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vocabula.data import Batch, Source
from vocabula.data.long_signal import LongSignal
from vocabula.data.token_writer import TokenWriter
from vocabula.errors import OptionError
from vocabula.evaluation.batches import read_bounded, signal_count
from vocabula.evaluation.counting import counted
from vocabula.levels import levels_of
from vocabula.pipelines.at_once import map_at_once, threads_for
from vocabula.pipelines.rate_search import spending, weighing
from vocabula.signals.attributes import CLASS
from vocabula.tokenizers import SignalTokenizer
from vocabula.tokenizers.inference import device_of, inference
from vocabula.tokenizers.passing import codes_of_parts, takes_parts

Known = Callable[[NDArray[np.int64]], dict[str, NDArray[np.int64]]]


def encode_dataset(
    tokenizer: SignalTokenizer,
    source: Source,
    out: str | os.PathLike[str],
    *,
    batch_size: int | None = None,
    limit: int | None = None,
    workers: int | None = None,
    quality: float | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> int:
    """Encode every image of a source and write the codes to one parquet file.

    The file holds the codes of all levels, their shapes, image size, path and label of each image,
    and the tokenizer's fingerprint, so that `decode_tokens` refuses the codes of another tokenizer.
    It appears under its name when it is complete.

    Args:
        tokenizer: a tokenizer with a codebook.
        source: the images, with the tokenizer's number of channels.
        out: the file to write; its name ends in ``.parquet`` or indicates no other format.
        batch_size: most images of a batch.
        limit: encode the first `limit` images only.
        workers: threads that decode ahead; None takes one for each core, 0 decodes in this one.
        quality: of a tokenizer with a rate term: how little bits weigh, from 0 to 100; None and 50
            weigh them as in training.
        overwrite: replace an existing file.
        progress: show a progress bar on a terminal.

    Returns:
        The number of images encoded; unreadable ones are left out.

    Raises:
        OptionError: the tokenizer is continuous and has no codes, `out` names another format, or
            the quality is out of range or without a rate term.
        DataError: no image can be read, or the channels differ from the tokenizer's.
        OutputError: the file exists, its folder cannot be written or the disk is full.
    """
    check_codes(tokenizer)
    spent = spending(tokenizer, quality, None)
    total = signal_count(source, limit)
    batches = read_bounded(
        source,
        batch_size=batch_size,
        limit=limit,
        workers=workers,
        device=device_of(tokenizer),
        parts=takes_parts(tokenizer, decodes=False),
    )
    writer = TokenWriter(
        out,
        fingerprint=tokenizer.code_names().written,
        levels=[level.spec for level in tokenizer.levels],
        signal=tokenizer.signal.kind,
        source=source.name,
        label_names=source.label_names,
        attributes={name: own for name, own in source.names.items() if name != CLASS},
        crops=source.crops,
        overwrite=overwrite,
    )
    with (
        writer,
        inference(tokenizer),
        weighing(tokenizer, spent.scale),
        counted("encoding", total, show=progress) as advance,
        closing(encode_batches(tokenizer, source, batches, writer)) as done,
    ):
        for indices in done:
            advance(len(indices))
    return writer.count


def check_codes(tokenizer: SignalTokenizer) -> None:
    """Refuse a tokenizer without codes.

    Raises:
        OptionError: it is continuous.
    """
    for level in tokenizer.levels:
        if not level.codebook_sizes:
            raise OptionError(
                f"encode: expected a tokenizer with a codebook, got the continuous "
                f"{type(level.quantizer).__name__}, which has no codes; train one with another "
                "quantizer"
            )


def encode_batches(
    tokenizer: SignalTokenizer,
    source: Source,
    batches: Generator[Batch | LongSignal, None, None],
    writer: TokenWriter,
    known: Known | None = None,
) -> Generator[NDArray[np.int64], None, None]:
    """Encode batches and write their codes, in order.

    Args:
        tokenizer: in inference; see `inference`.
        source: what the batches are of.
        batches: of `read_bounded`, long signals only if they may pass in parts; closed at the end.
        writer: where the codes go.
        known: gives the attributes (B,) of some indices; None takes those of the batches.

    Yields:
        The indices of the signals that were written, batch by batch.
    """
    device = device_of(tokenizer)

    def rows_of(batch: Batch | LongSignal) -> tuple[NDArray[np.int64], tuple[Any, ...]]:
        """The codes and what else is known of signals, as `TokenWriter.extend` takes them."""
        levels: Sequence[Any]
        extent: tuple[int, ...]
        if isinstance(batch, LongSignal):
            levels, extent = codes_of_parts(tokenizer, batch.parts), (batch.parts.length,)
        else:
            levels = levels_of(tokenizer.encode(batch.values.to(device)))
            extent = tuple(batch.values.shape[2:])
        indices = batch.indices.numpy()
        if known is None:
            further = {n: v.numpy() for n, v in batch.attributes.items() if n in source.names}
        else:
            further = known(indices)
        labels = further.pop(CLASS, None)
        return indices, (levels, batch.paths, labels, extent, further)

    found = map_at_once(rows_of, batches, threads=threads_for(tokenizer))
    with closing(batches), closing(found) as parts:
        for indices, rows in parts:
            writer.extend(*rows)
            yield indices
