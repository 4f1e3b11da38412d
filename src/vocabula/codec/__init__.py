"""Compressed files: signals as honest, safe, portable bits.

    image --> tokenizer --> codes --> entropy model --> range coder --> .vcb
                                                                        header, checksums

`write` and `read` compress images with a tokenizer, if wanted with their exact pixels;
`write_codes` and `read_codes` take codes of any origin; `write_blocks` and `read_blocks` need no
tokenizer. `compress_files`, `write_block_files` and `decompress_files` do so for picture files. The
format is specified in docs/vcb.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vocabula import lazy_names
from vocabula.errors import CodecError, CodecWarning

if TYPE_CHECKING:
    from vocabula.codec.adaptive import AdaptiveModel
    from vocabula.codec.block_files import BlockOptions, write_block_files
    from vocabula.codec.blocks import BlockFile, quantize_blocks, read_blocks, write_blocks
    from vocabula.codec.choice import ENTROPIES, NETWORKS, Entropy, choose_model, offered_models
    from vocabula.codec.compress import Compressed, compress_files
    from vocabula.codec.decompress import decompress_files
    from vocabula.codec.fidelity import Fidelity
    from vocabula.codec.files import (
        CodeFile,
        cut,
        read,
        read_codes,
        to_bytes,
        write,
        write_codes,
    )
    from vocabula.codec.inspection import Inspection, inspect
    from vocabula.codec.learning import learn_statistics
    from vocabula.codec.limits import Limits
    from vocabula.codec.models import EntropyModel, UniformModel
    from vocabula.codec.portable import PortableModel
    from vocabula.codec.prior import PriorModel, load_prior
    from vocabula.codec.segment import Block
    from vocabula.codec.static import StaticModel
    from vocabula.codec.table import Table
    from vocabula.tokenizers.code_statistics import CodeStatistics, load_statistics

__getattr__ = lazy_names(
    __name__,
    {
        "adaptive": ("AdaptiveModel",),
        "block_files": ("BlockOptions", "write_block_files"),
        "blocks": ("BlockFile", "quantize_blocks", "read_blocks", "write_blocks"),
        "choice": ("ENTROPIES", "NETWORKS", "Entropy", "choose_model", "offered_models"),
        "compress": ("Compressed", "compress_files"),
        "decompress": ("decompress_files",),
        "fidelity": ("Fidelity",),
        "files": ("CodeFile", "cut", "read", "read_codes", "to_bytes", "write", "write_codes"),
        "inspection": ("Inspection", "inspect"),
        "learning": ("learn_statistics",),
        "limits": ("Limits",),
        "models": ("EntropyModel", "UniformModel"),
        "portable": ("PortableModel",),
        "prior": ("PriorModel", "load_prior"),
        "segment": ("Block",),
        "static": ("StaticModel",),
        "table": ("Table",),
        "vocabula.tokenizers.code_statistics": ("CodeStatistics", "load_statistics"),
    },
)

__all__ = [
    "ENTROPIES",
    "NETWORKS",
    "AdaptiveModel",
    "Block",
    "BlockFile",
    "BlockOptions",
    "CodeFile",
    "CodeStatistics",
    "CodecError",
    "CodecWarning",
    "Compressed",
    "Entropy",
    "EntropyModel",
    "Fidelity",
    "Inspection",
    "Limits",
    "PortableModel",
    "PriorModel",
    "StaticModel",
    "Table",
    "UniformModel",
    "choose_model",
    "compress_files",
    "cut",
    "decompress_files",
    "inspect",
    "learn_statistics",
    "load_prior",
    "load_statistics",
    "offered_models",
    "quantize_blocks",
    "read",
    "read_blocks",
    "read_codes",
    "to_bytes",
    "write",
    "write_block_files",
    "write_blocks",
    "write_codes",
]
