"""Small tokenizers of sound for tests, with books that fit what their encoders give."""

from __future__ import annotations

import torch
from torch import Tensor

from vocabula.tokenizers import Tokenizer, build_tokenizer

NETWORKS = {
    "seanet-even": {"name": "seanet", "ratios": (2, 4), "hidden": 4},
    "seanet-odd": {"name": "seanet", "ratios": (3, 5), "hidden": 4, "activation": "snake"},
    "frames-even": {"hop": 8, "window": 20, "hidden": 8, "blocks": 1},
    "frames-odd": {"hop": 7, "window": 20, "hidden": 8, "blocks": 1},
    "frames-causal": {"hop": 7, "window": 20, "hidden": 8, "blocks": 1, "causal": True},
}
CAUSAL = ["seanet-even", "seanet-odd", "frames-causal"]


def tokenizer_of(
    kind: str, *, conditional: bool = False, likelihood: str = "spectral", channels: int = 1
) -> Tokenizer:
    """A tokenizer of two books of 16 codewords at 1 kHz, in evaluation mode."""
    torch.manual_seed(0)
    options = NETWORKS[kind]
    film = "_film" if conditional else ""
    encoder, decoder = dict(options), {"name": f"seanet{film}", **options}
    decoder["name"] = f"seanet{film}"
    if kind.startswith("frames"):
        encoder = {"name": "mel", "bands": 6, **options}
        decoder["name"] = f"vocos{film}"
    stage = {"name": "vector", "dim": 4, "codebook_size": 16, "initialization": "kmeans"}
    losses = {"spectral": {"name": "spectral", "windows": (8, 16)}, "mulaw": "mulaw"}
    specs = {
        "signal": {"name": "audio", "sample_rate": 1000},
        "encoder": encoder,
        "quantizer": {"name": "residual", "stages": [stage, stage]},
        "decoder": decoder,
        "likelihood": losses[likelihood],
    }
    tokenizer = build_tokenizer(specs, channels, attributes={"speaker": 3})
    assert isinstance(tokenizer, Tokenizer)
    z = tokenizer.vectors(noise(4, 600, channels=channels)).detach()
    tokenizer.quantizer(z)  # books that begin with k-means of what the encoder gives
    return tokenizer.eval()


def noise(batch: int, samples: int, *, channels: int = 1, seed: int = 1) -> Tensor:
    """Recordings (batch, channels, samples) of noise whose loudness changes."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(batch, channels, samples, generator=generator) * 2 - 1
    return x * (0.6 + 0.4 * torch.sin(torch.arange(samples) / 9))
