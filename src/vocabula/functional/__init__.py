"""Pure tensor mathematics: search, estimators, statistics, entropies, clustering, packing.

Every function works on plain tensors, keeps no state, and traces under ``torch.compile``.
"""

from __future__ import annotations

from vocabula.functional import gpu
from vocabula.functional.binary import binary_entropies
from vocabula.functional.bit_packing import MAX_BITS, pack_bits, unpack_bits
from vocabula.functional.context_models import context_nats
from vocabula.functional.directional import directional
from vocabula.functional.distributed import (
    all_gather_rows,
    all_reduce_sum,
    all_reduce_sum_grad,
    broadcast,
    rank,
    world_size,
)
from vocabula.functional.estimators import rotation, straight_through
from vocabula.functional.finite_scalar import finite_scalar, finite_scalar_values
from vocabula.functional.index_backpropagation import index_backpropagation
from vocabula.functional.kmeans import kmeans
from vocabula.functional.modes import readable, transforming
from vocabula.functional.packing import pack_digits, unpack_digits
from vocabula.functional.search import (
    nearest_codeword,
    nearest_codewords,
    nearest_of_books,
    residual_codes,
    sample_codeword,
)
from vocabula.functional.soft import soft_assignment_entropies
from vocabula.functional.statistics import (
    code_counts,
    code_statistics,
    code_sums,
    entropy,
    masked_mean,
    masked_row_mean,
    perplexity,
    usage,
)

__all__ = [
    "MAX_BITS",
    "all_gather_rows",
    "all_reduce_sum",
    "all_reduce_sum_grad",
    "binary_entropies",
    "broadcast",
    "code_counts",
    "code_statistics",
    "code_sums",
    "context_nats",
    "directional",
    "entropy",
    "finite_scalar",
    "finite_scalar_values",
    "index_backpropagation",
    "kmeans",
    "masked_mean",
    "masked_row_mean",
    "nearest_codeword",
    "nearest_codewords",
    "nearest_of_books",
    "pack_bits",
    "pack_digits",
    "perplexity",
    "rank",
    "readable",
    "residual_codes",
    "rotation",
    "sample_codeword",
    "soft_assignment_entropies",
    "straight_through",
    "transforming",
    "unpack_bits",
    "unpack_digits",
    "usage",
    "world_size",
]

gpu.register()
