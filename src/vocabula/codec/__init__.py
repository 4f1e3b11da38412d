"""Compressed files: signals as honest, safe, portable bits.

    image --> tokenizer --> codes --> entropy model --> range coder --> .vcb
                                                                        header, checksums

`write` and `read` compress images with a tokenizer, optionally with their exact pixels;
`write_codes` and `read_codes` take codes of any origin; `write_blocks` and `read_blocks` need no
tokenizer. `vocabula.pipelines` writes whole folders of files. The format: docs/vcb.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vocabula import lazy_names
from vocabula.errors import CodecError, CodecWarning

if TYPE_CHECKING:
    from vocabula.codec.adaptive import AdaptiveModel
    from vocabula.codec.blocks import BlockFile, quantize_blocks, read_blocks, write_blocks
    from vocabula.codec.choice import ENTROPIES, NETWORKS, Entropy, choose_model, offered_models
    from vocabula.codec.code_files import CodeFile, read_codes, write_codes
    from vocabula.codec.files import cut, read, to_bytes, write
    from vocabula.codec.inspection import Inspection, inspect
    from vocabula.codec.limits import Limits
    from vocabula.codec.models import EntropyModel
    from vocabula.codec.portable import PortableModel
    from vocabula.codec.prior import PriorModel, load_prior
    from vocabula.codec.span import Block
    from vocabula.codec.static import StaticModel
    from vocabula.codec.table import Table
    from vocabula.codec.uniform import UniformModel
    from vocabula.tokenizers.code_statistics import CodeStatistics, load_statistics

__getattr__ = lazy_names(__name__)

__all__ = [
    "ENTROPIES",
    "NETWORKS",
    "AdaptiveModel",
    "Block",
    "BlockFile",
    "CodeFile",
    "CodeStatistics",
    "CodecError",
    "CodecWarning",
    "Entropy",
    "EntropyModel",
    "Inspection",
    "Limits",
    "PortableModel",
    "PriorModel",
    "StaticModel",
    "Table",
    "UniformModel",
    "choose_model",
    "cut",
    "inspect",
    "load_prior",
    "load_statistics",
    "offered_models",
    "quantize_blocks",
    "read",
    "read_blocks",
    "read_codes",
    "to_bytes",
    "write",
    "write_blocks",
    "write_codes",
]
