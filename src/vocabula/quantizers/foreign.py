"""Names of options in other libraries, and their counterparts here."""

from __future__ import annotations

from collections.abc import Mapping

FOREIGN_OPTIONS: Mapping[str, str] = {
    "accept_image_fmap": "channel_dim=1",
    "beta": "commitment_weight",
    "channel_first": "channel_dim=1",
    "codebook_diversity_loss_weight": "diversity_weight",
    "codebook_diversity_temperature": "diversity_weight, whose temperature follows the data",
    "commitment_cost": "commitment_weight",
    "commitment_loss_weight": "commitment_weight",
    "decay": "learning=EMA(decay=...)",
    "diversity_gamma": "diversity_weight",
    "embedding_dim": "dim",
    "ema_update": "learning=EMA() or learning=Gradient()",
    "entropy_loss_weight": "entropy_weight",
    "eps": "learning=EMA(eps=...)",
    "heads": "ProductQuantizer([VectorQuantizer(dim // heads, ...), ...])",
    "input_dim": "dim",
    "inv_temperature": "inverse_temperature",
    "kmeans_init": "initialization=KMeans()",
    "kmeans_iters": "initialization=KMeans(iterations=...)",
    "learnable_codebook": "learning=Gradient()",
    "n_codes": "codebook_size",
    "n_e": "codebook_size",
    "e_dim": "dim",
    "n_embed": "codebook_size",
    "num_codebooks": "books (LookupFreeQuantizer), ResidualQuantizer or ProductQuantizer",
    "num_embeddings": "codebook_size",
    "num_groups": "ProductQuantizer([...])",
    "num_quantizers": "ResidualQuantizer.repeat(n, dim=..., codebook_size=...)",
    "orthogonal_reg_weight": "orthogonality_weight",
    "quantize_dropout": "dropout, a probability",
    "return_all_codes": "nothing: decode(codes[..., :n]) gives the sum of the first n stages",
    "rotation_trick": "estimator='rotation'",
    "sample_codebook_temp": "sampling_temperature",
    "separate_codebook_per_head": "ProductQuantizer with other or the same parts",
    "shared_codebook": "ResidualQuantizer([book], repeat=n)",
    "stochastic_sample_codes": "sampling_temperature above 0",
    "straight_through": "estimator='straight_through' (the default), or a GumbelQuantizer",
    "sync_codebook": "nothing: processes of a group agree by themselves",
    "threshold_ema_dead_code": "revival=Revival(threshold=...), a fraction of the fair share",
    "use_cosine_sim": "distance='cosine'",
    "use_ddp": "nothing: processes of a group agree by themselves",
}
"""By the name of another library: what to write instead."""
