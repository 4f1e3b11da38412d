"""Encodes the signals of a source to a file of codes."""

from __future__ import annotations

import os
from contextlib import closing
from typing import Any

from vocabula.data import Batch, Source
from vocabula.data.token_writer import TokenWriter
from vocabula.errors import OptionError
from vocabula.evaluation.batches import counted, read_batches, signal_count
from vocabula.levels import levels_of
from vocabula.pipelines.at_once import map_at_once, threads_for
from vocabula.signals.attributes import CLASS
from vocabula.tokenizers import SignalTokenizer
from vocabula.tokenizers.inference import device_of, inference


def encode_dataset(
    tokenizer: SignalTokenizer,
    source: Source,
    out: str | os.PathLike[str],
    *,
    batch_size: int | None = None,
    limit: int | None = None,
    workers: int | None = None,
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
        overwrite: replace an existing file.
        progress: show a progress bar on a terminal.

    Returns:
        The number of images encoded; unreadable ones are left out.

    Raises:
        OptionError: the tokenizer is continuous and has no codes, or `out` names another format.
        DataError: no image can be read, or the channels differ from the tokenizer's.
        OutputError: the file exists, its folder cannot be written or the disk is full.
    """
    for level in tokenizer.levels:
        if not level.codebook_sizes:
            raise OptionError(
                f"encode: expected a tokenizer with a codebook, got the continuous "
                f"{type(level.quantizer).__name__}, which has no codes; train one with another "
                "quantizer"
            )
    total = signal_count(source, limit)
    batches = read_batches(
        source, batch_size=batch_size, limit=limit, workers=workers, device=device_of(tokenizer)
    )
    writer = TokenWriter(
        out,
        fingerprint=tokenizer.fingerprint(),
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
        inference(tokenizer) as device,
        counted("encoding", total, show=progress) as advance,
        closing(batches),
    ):

        def rows_of(batch: Batch) -> tuple[Any, ...]:
            """The codes and what else is known of signals, as `TokenWriter.extend` takes them."""
            levels = levels_of(tokenizer.encode(batch.values.to(device)))
            further = {n: v.numpy() for n, v in batch.attributes.items() if n in source.names}
            labels = further.pop(CLASS)
            return levels, batch.paths, labels, batch.values.shape[2:], further

        with closing(map_at_once(rows_of, batches, threads=threads_for(tokenizer))) as parts:
            for part in parts:
                before = writer.count
                writer.extend(*part)
                advance(writer.count - before)
    return writer.count
