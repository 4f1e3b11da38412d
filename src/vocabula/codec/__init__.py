"""Compressed files: signals as honest, safe, portable bits.

    image --> tokenizer --> codes --> entropy model --> range coder --> .vcb
                                                                        header, checksums

`write` and `read` compress images with a tokenizer; `write_codes` and `read_codes` take codes of
any origin. `compress_files` and `decompress_files` do so for picture files. The format is
specified in docs/vcb.md.
"""

from __future__ import annotations

from vocabula.codec.adaptive import AdaptiveModel
from vocabula.codec.choice import ENTROPIES, Entropy, choose_model
from vocabula.codec.compress import Compressed, compress_files
from vocabula.codec.decompress import decompress_files
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
from vocabula.codec.segment import Block
from vocabula.codec.static import StaticModel
from vocabula.codec.statistics import CodeStatistics, load_statistics
from vocabula.codec.table import Table
from vocabula.errors import CodecError

__all__ = [
    "ENTROPIES",
    "AdaptiveModel",
    "Block",
    "CodeFile",
    "CodeStatistics",
    "CodecError",
    "Compressed",
    "Entropy",
    "EntropyModel",
    "Inspection",
    "Limits",
    "PortableModel",
    "StaticModel",
    "Table",
    "UniformModel",
    "choose_model",
    "compress_files",
    "cut",
    "decompress_files",
    "inspect",
    "learn_statistics",
    "load_statistics",
    "read",
    "read_codes",
    "to_bytes",
    "write",
    "write_codes",
]
