"""Decodes a file of codes to signals."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vocabula.budgets import BATCH_PIXELS, LONG_SAMPLES
from vocabula.data import Source, VectorSource
from vocabula.data.long_signal import Parts
from vocabula.data.media import MEDIA
from vocabula.data.token_file import TokenFile, read_tokens
from vocabula.data.token_records import TokenBatch
from vocabula.errors import OptionError, TokensError
from vocabula.evaluation.counting import counted
from vocabula.signals import Condition
from vocabula.signals.attributes import NOT_GIVEN
from vocabula.tokenizers import SignalTokenizer
from vocabula.tokenizers.inference import inference
from vocabula.tokenizers.passing import decoded_parts, takes_parts


def decode_tokens(
    tokenizer: SignalTokenizer,
    tokens: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    attributes: Mapping[str, int | str] | None = None,
    batch_size: int | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> list[Path]:
    """Decode every record of a token file to the files of the tokenizer's kind of signal.

    Images become a folder of PNG files of the originals' size and names, recordings a folder of
    .wav files of the originals' lengths, vectors one .npy or .parquet file; see
    `vocabula.data.media`. The output appears when it is complete.

    Args:
        tokenizer: the tokenizer that made the codes.
        tokens: a file that `encode_dataset` wrote.
        out: the folder or file to write.
        attributes: one value of some attributes by index or name, for a decoder that takes a
            condition, such as ``{"speaker": "anna"}``; other attributes are those of the file.
        batch_size: most signals of a batch; None takes as many as are quick.
        overwrite: write into a folder that has files, or replace the file.
        progress: show a progress bar on a terminal.

    Returns:
        The files written, in the order of the records.

    Raises:
        TokensError: the file is missing, damaged, without codes, or made by another tokenizer.
        DataError: the decoder does not know an attribute or a value, or one that it needs is
            missing; the message lists what it knows.
        OptionError: the files cannot hold the tokenizer's signals, or `out` names another format.
        OutputError: the output exists, cannot be written, or the disk is full.
    """
    if batch_size is not None and batch_size < 1:
        raise OptionError(f"batch size: expected an integer >= 1, got {batch_size}")
    media, place = MEDIA.of(tokenizer.signal.kind).for_signal(tokenizer.signal, "decode"), Path(out)
    media.check(place, overwrite=overwrite)
    records = read_tokens(tokens, fingerprint=tokenizer.code_names())
    if records.signal != tokenizer.signal.kind:
        raise TokensError(
            f"{tokens}: expected tokens of {tokenizer.signal.plural}, got those of the signal "
            f"{records.signal}; use the tokenizer that wrote them"
        )
    chosen = {name: tokenizer.attribute_index(name, v) for name, v in (attributes or {}).items()}
    with (
        inference(tokenizer) as device,
        counted("decoding", len(records), show=progress) as advance,
    ):
        signals = _decoded(tokenizer, records, chosen, device, batch_size, advance)
        return media.write(place, signals, len(records), overwrite=overwrite)


def _decoded(
    tokenizer: SignalTokenizer,
    records: TokenFile,
    chosen: Mapping[str, int],
    device: torch.device,
    batch_size: int | None,
    advance: Callable[[int], None],
) -> Iterator[tuple[Tensor | Parts, Sequence[str]]]:
    """The signals of all records and where they came from, in batches of equal size."""
    in_parts = takes_parts(tokenizer, encodes=False)
    for batch in records.batches():
        for extent, rows in _of_one_size(batch):
            most = max(1, BATCH_PIXELS // math.prod(extent))
            most = min(most, batch_size or (Source if extent else VectorSource).batch_size)
            long = in_parts and extent[0] * tokenizer.channels > LONG_SAMPLES
            most = 1 if long else most
            for first in range(rows.start, rows.stop, most):
                part = slice(first, min(first + most, rows.stop))
                levels = [torch.from_numpy(level[part]) for level in batch.levels]
                known = _condition(tokenizer, records, batch, part, chosen)
                signals: Tensor | Parts
                if long:
                    signals = decoded_parts(tokenizer, _at(levels), extent[0], known)
                else:
                    codes = [level.to(device) for level in levels]
                    signals = tokenizer.decode_stored(codes, known, size=extent).cpu()
                yield signals, batch.paths[part].tolist()
                advance(part.stop - part.start)


def _at(levels: Sequence[Tensor]) -> Callable[[Sequence[slice]], list[Tensor]]:
    """Gives the codes of each level at some of its positions."""
    return lambda at: [codes[:, here] for codes, here in zip(levels, at, strict=True)]


def _condition(
    tokenizer: SignalTokenizer,
    records: TokenFile,
    batch: TokenBatch,
    part: slice,
    chosen: Mapping[str, int],
) -> Condition | None:
    """What the decoder knows of some records: what was chosen, else what the file says."""
    if tokenizer.known({}) is None:
        return None
    own = {
        name: torch.from_numpy(values[part].copy())
        for name, values in batch.attributes.items()
        if name not in chosen
    }
    count = len(batch.paths[part])
    for name in tokenizer.decoder_attributes:
        own.setdefault(name, torch.full((count,), chosen.get(name, NOT_GIVEN)))
    given = {name: names for name, names in records.names.items() if name not in chosen}
    return tokenizer.known(own, given)


def _of_one_size(batch: TokenBatch) -> Iterator[tuple[tuple[int, ...], slice]]:
    """The runs of signals of one extent."""
    extents = batch.extents
    changes = np.flatnonzero((extents[1:] != extents[:-1]).any(axis=1)) + 1
    for first, after in itertools.pairwise([0, *changes.tolist(), len(batch)]):
        yield tuple(extents[first].tolist()), slice(first, after)
