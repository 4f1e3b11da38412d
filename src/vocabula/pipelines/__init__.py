"""Operations on whole sources: encode, decode, compress, decompress, sample, complete, export."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vocabula import lazy_names

if TYPE_CHECKING:
    from vocabula.pipelines.blocks import BlockOptions, write_block_files
    from vocabula.pipelines.compress import Compressed, compress_files
    from vocabula.pipelines.counts import learn_statistics
    from vocabula.pipelines.decode import decode_tokens
    from vocabula.pipelines.decompress import decompress_files
    from vocabula.pipelines.encode import encode_dataset
    from vocabula.pipelines.fidelity import Fidelity
    from vocabula.pipelines.ray_engine import RayEngine
    from vocabula.pipelines.shard_running import Sharded
    from vocabula.pipelines.sharded_encoding import encode_shards

__getattr__ = lazy_names(__name__)

__all__ = [
    "BlockOptions",
    "Compressed",
    "Fidelity",
    "RayEngine",
    "Sharded",
    "compress_files",
    "decode_tokens",
    "decompress_files",
    "encode_dataset",
    "encode_shards",
    "learn_statistics",
    "write_block_files",
]
