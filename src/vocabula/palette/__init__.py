"""Classic vector quantization of one image, with no network: colour palettes and block codebooks.

    image ──fit──▶ codebook, uint8          image, codebook ──encode──▶ codes ──decode──▶ image

The result of `decode` depends only on the codes and the integer codebook: stored in a file, the two
give the same pixels everywhere.

Example:
    >>> import numpy as np
    >>> from vocabula import palette
    >>> image = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    >>> colors = palette.fit(image, 16)
    >>> codes = palette.encode(image, colors, dither=True)
    >>> palette.decode(codes, colors).shape
    (32, 48, 3)
"""

from __future__ import annotations

from vocabula.palette.block_codes import decode_blocks, encode_blocks
from vocabula.palette.blocks import fit_blocks
from vocabula.palette.colors import decode, encode, fit
from vocabula.palette.picture import indexed_picture, png_bytes

__all__ = [
    "decode",
    "decode_blocks",
    "encode",
    "encode_blocks",
    "fit",
    "fit_blocks",
    "indexed_picture",
    "png_bytes",
]
