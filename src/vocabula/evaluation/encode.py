"""From images to a file of codes."""

from __future__ import annotations

import os
from contextlib import closing

from vocabula.data import ImageSource
from vocabula.data.token_file import TokenRecord, TokenWriter
from vocabula.errors import OptionError
from vocabula.evaluation.batches import counted, image_count, label_of, read_batches
from vocabula.quantizers.base import Quantizer
from vocabula.tokenizers import Tokenizer
from vocabula.tokenizers.inference import device_of, inference


def encode_dataset(
    tokenizer: Tokenizer,
    source: ImageSource,
    out: str | os.PathLike[str],
    *,
    batch_size: int = 64,
    limit: int | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> int:
    """Encode every image of a source and write the codes to one parquet file.

    The file holds codes, shape, image size, path and label of each image, and the tokenizer's
    fingerprint, so that `decode_tokens` refuses the codes of another tokenizer. It appears under
    its name when it is complete.

    Args:
        tokenizer: a tokenizer with a codebook.
        source: the images, with the tokenizer's number of channels.
        out: the file to write, by custom ``.parquet``.
        batch_size: most images of a batch.
        limit: encode the first `limit` images only.
        workers: threads that decode ahead; None takes one for each core, 0 decodes in this one.
        overwrite: replace an existing file.
        progress: show a progress bar on a terminal.

    Returns:
        The number of images encoded; unreadable ones are left out.

    Raises:
        OptionError: the tokenizer is continuous and has no codes.
        DataError: no image can be read, or the channels differ from the tokenizer's.
        OutputError: the file exists, its folder cannot be written or the disk is full.
    """
    quantizer = tokenizer.quantizer
    if not isinstance(quantizer, Quantizer):
        raise OptionError(
            f"encode: expected a tokenizer with a codebook, got the continuous "
            f"{type(quantizer).__name__}, which has no codes; train one with another quantizer"
        )
    total = image_count(source, limit)
    batches = read_batches(
        source, batch_size=batch_size, limit=limit, workers=workers, device=device_of(tokenizer)
    )
    writer = TokenWriter(
        out,
        fingerprint=tokenizer.fingerprint(),
        codebook_sizes=quantizer.codebook_sizes,
        code_shape=quantizer.code_shape,
        source=source.name,
        label_names=source.label_names,
        overwrite=overwrite,
    )
    written = 0
    with (
        writer,
        inference(tokenizer) as device,
        counted("encoding", total, show=progress) as advance,
        closing(batches),
    ):
        for batch in batches:
            height, width = batch.images.shape[-2:]
            codes = tokenizer.encode(batch.images.to(device)).cpu().numpy()
            for i, path in enumerate(batch.paths):
                writer.append(TokenRecord(codes[i], path, label_of(batch, i), height, width))
            written += len(batch.paths)
            advance(len(batch.paths))
    return written
