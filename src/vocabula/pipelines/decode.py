"""Decodes a file of codes to images."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch

from vocabula.data.names import OutputNames
from vocabula.data.png import check_channels, picture
from vocabula.data.source import BATCH_PIXELS
from vocabula.data.token_file import read_tokens
from vocabula.data.token_layout import TokenRecord
from vocabula.errors import OptionError, OutputError
from vocabula.evaluation.batches import counted
from vocabula.files import new_folder
from vocabula.tokenizers import SignalTokenizer
from vocabula.tokenizers.inference import inference


def decode_tokens(
    tokenizer: SignalTokenizer,
    tokens: str | os.PathLike[str],
    out_dir: str | os.PathLike[str],
    *,
    batch_size: int = 64,
    overwrite: bool = False,
    progress: bool = False,
) -> list[Path]:
    """Decode every record of a token file to a PNG file of the original's size.

    Names come from the source paths, sub-folders included, are unique and always lie below
    `out_dir`; see `OutputNames`. The files appear there when all of them are complete.

    Args:
        tokenizer: the tokenizer that made the codes.
        tokens: a file that `encode_dataset` wrote.
        out_dir: the folder to write.
        batch_size: most images of a batch.
        overwrite: write into a folder that has files; those of the same name are replaced.
        progress: show a progress bar on a terminal.

    Returns:
        The files written, in the order of the records.

    Raises:
        TokensError: the file is missing, damaged, without codes, or made by another tokenizer.
        OptionError: the tokenizer's images have a number of channels that PNG cannot hold.
        OutputError: the folder is not empty, cannot be written, or the disk is full.
    """
    check_channels(tokenizer.channels, "decode")
    out = Path(out_dir)
    if out.absolute().name == "":
        raise OutputError(f"{out}: expected a folder with a name; choose another place")
    records = read_tokens(tokens, fingerprint=tokenizer.fingerprint())
    names, written = OutputNames(out), []
    with (
        new_folder(out, overwrite=overwrite) as draft,
        inference(tokenizer) as device,
        counted("decoding", len(records), show=progress) as advance,
    ):
        for batch in _batches(records, batch_size):
            levels = zip(*(record.levels for record in batch), strict=True)
            codes = [torch.from_numpy(np.stack(level)).to(device) for level in levels]
            images = tokenizer.decode_uint8(codes, size=(batch[0].height, batch[0].width))
            pictures = images.permute(0, 2, 3, 1).cpu().contiguous().numpy()
            for image, record in zip(pictures, batch, strict=True):
                name = names.take(record.path)
                (draft / name).parent.mkdir(parents=True, exist_ok=True)
                picture(image).save(draft / name)
                written.append(out / name)
            advance(len(batch))
    return written


def _batches(records: Iterable[TokenRecord], batch_size: int) -> Iterator[list[TokenRecord]]:
    """Consecutive records of the same size, with at most `BATCH_PIXELS` pixels together."""
    if batch_size < 1:
        raise OptionError(f"batch size: expected an integer >= 1, got {batch_size}")
    waiting: list[TokenRecord] = []
    for record in records:
        if waiting:
            first = waiting[0]
            same = _shapes(first) == _shapes(record)
            pixels = (len(waiting) + 1) * first.height * first.width
            if not same or len(waiting) == batch_size or pixels > BATCH_PIXELS:
                yield waiting
                waiting = []
        waiting.append(record)
    if waiting:
        yield waiting


def _shapes(record: TokenRecord) -> tuple[object, ...]:
    """What the records of a batch share: the shapes of all levels and the image's size."""
    return (*(codes.shape for codes in record.levels), record.height, record.width)
