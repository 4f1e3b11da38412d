"""What is frozen, and how its figures are taken: shared by the script and the test."""

from __future__ import annotations

import io
import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vocabula import build_tokenizer, registry
from vocabula.cli.main import app
from vocabula.functional import native
from vocabula.registry import component
from vocabula.tokenizers import SignalTokenizer

OUTPUTS = ("out.json", "rates/rate.json")
"""Where commands of frozen figures write them, unless they print them."""
FILES = Path(__file__).parent / "files"
Table = dict[str, Any]


def vqvae(**options: Any) -> Table:
    """A small network of the VQ-VAE family."""
    small = {"hidden": 4, "residual_layers": 1, "residual_hidden": 4, "downsample": 4}
    return {"name": "vqvae", **small, **options}


def vqgan(**options: Any) -> Table:
    """A small network of the VQGAN family."""
    return {
        "name": "vqgan",
        "hidden": 4,
        "multipliers": [1, 2],
        "blocks": 1,
        "groups": 2,
        **options,
    }


def vector(**options: Any) -> Table:
    """A small vector quantizer."""
    return {"name": "vector", "dim": 4, "codebook_size": 16, **options}


def model(quantizer: Table, network: Table | None = None, **more: Any) -> Table:
    """The settings of a tokenizer of one level."""
    network = network or vqvae()
    return {"encoder": network, "decoder": network, "quantizer": quantizer, **more}


def levels(*quantizers: Table) -> Table:
    """The settings of a tokenizer of several levels."""
    narrow = vqvae(downsample=2)
    found = {f"level{i}": model(quantizer, narrow) for i, quantizer in enumerate(quantizers, 1)}
    for name in list(found)[1:]:
        found[name] = {**found[name], "encoder": {**narrow, "dim": 6}}
    for name in list(found)[:-1]:
        found[name] = {**found[name], "decoder": {**narrow, "out_channels": 6}}
    return found


@component("network", "frozen encoder")
class OwnEncoder(nn.Conv2d):
    """A network of a user's own: patches of 4 x 4 pixels to vectors."""

    def __init__(self, width: int = 4) -> None:
        super().__init__(3, width, 4, stride=4)


@component("network", "frozen decoder")
class OwnDecoder(nn.ConvTranspose2d):
    """A network of a user's own: vectors to patches of 4 x 4 pixels."""

    def __init__(self, width: int = 4) -> None:
        super().__init__(width, 3, 4, stride=4)


WRAPPED = {
    "encoder": {"name": "wrapped", "network": {"name": "frozen encoder"}, "stride": 4},
    "decoder": {"name": "wrapped", "network": {"name": "frozen decoder"}, "stride": 4},
    "quantizer": vector(),
}
GRADIENT = {"learning": "gradient"}
BITS = {"name": "lookup_free", "dim": 4}
TOKENIZERS: dict[str, Table] = {
    "vector-ema": model(vector()),
    "vector-gradient": model(vector(**GRADIENT)),
    "vector-linear": model(vector(learning="linear")),
    "vector-cosine": model(vector(distance="cosine", **GRADIENT)),
    "vector-cosine-ema": model(vector(distance="cosine")),
    "vector-projected": model(vector(codebook_dim=3, **GRADIENT)),
    "vector-rotation": model(vector(estimator="rotation")),
    "vector-normal": model(vector(initialization={"name": "normal", "scale": 0.1}, revival=None)),
    "vector-uniform": model(vector(initialization={"name": "uniform", "scale": 2.0})),
    "vector-data": model(vector(initialization="data")),
    "vector-stochastic": model(vector(sampling_temperature=0.5)),
    "vector-diversity": model(vector(diversity_weight=0.1)),
    "vector-orthogonality": model(vector(orthogonality_weight=0.1, **GRADIENT)),
    "vector-options": model(
        vector(
            learning={"name": "ema", "decay": 0.9, "eps": 1e-4},
            initialization={"name": "kmeans", "iterations": 3, "refit_until": 2, "seed": 5},
            revival={"name": "revival", "threshold": 0.2, "patience": 2, "decay": 0.9},
            commitment_weight=0.5,
        )
    ),
    "gumbel": model({"name": "gumbel", "dim": 4, "codebook_size": 16}),
    "gumbel-annealed": model(
        {
            "name": "gumbel",
            "dim": 4,
            "codebook_size": 16,
            "codebook_dim": 3,
            "hard": False,
            "temperature": {"name": "annealing", "start": 1.0, "end": 0.1, "steps": 100},
        }
    ),
    "lookup-free": model(BITS),
    "lookup-free-books": model({**BITS, "books": 2, "bits": 2}),
    "lookup-free-projected": model({**BITS, "bits": 3, "books": 2, "activation": "tanh"}),
    "lookup-free-spherical": model({**BITS, "spherical": True}),
    "finite-scalar": model({"name": "finite_scalar", "levels": [8, 5, 3]}),
    "finite-scalar-projected": model({"name": "finite_scalar", "levels": [5, 3], "dim": 4}),
    "residual": model({"name": "residual", "stages": [vector(), vector(codebook_size=8)]}),
    "residual-repeated": model({"name": "residual", "stages": [vector()], "repeat": 3}),
    "residual-same": model({"name": "residual", "stages": [vector(), {"same_as": 0}]}),
    "residual-beam": model(
        {"name": "residual", "stages": [vector(**GRADIENT)] * 2, "beam": 3, "dropout": 0.5}
    ),
    "residual-lookup-free": model({"name": "residual", "stages": [BITS, {**BITS, "scale": 0.5}]}),
    "product": model(
        {"name": "product", "parts": [vector(dim=2), vector(dim=3, codebook_size=5, **GRADIENT)]}
    ),
    "gaussian": model({"name": "gaussian", "dim": 4}),
    "gaussian-free-bits": model({"name": "gaussian", "dim": 3, "free_bits": 0.1}),
    "likelihood-variance": model(vector(), likelihood={"name": "gaussian", "variance": 0.5}),
    "likelihood-categorical": model(
        vector(), vqvae(hidden=2, downsample=2), likelihood="categorical"
    ),
    "likelihood-logistic": model(vector(), likelihood={"name": "logistic_mixture", "mixtures": 2}),
    "vqvae-attention": model(vector(), vqvae(attention=True, downsample=2)),
    "vqvae-plain": model(vector(), vqvae(residual_layers=0, downsample=8)),
    "vqvae-grey": model(vector()),
    "vqgan": model(vector(), vqgan()),
    "vqgan-plain": model(vector(), vqgan(attention_levels=0, multipliers=[1, 1, 1])),
    "vqgan-gaussian": model({"name": "gaussian", "dim": 4}, vqgan(hidden=2, dropout=0.1)),
    "levels": levels(vector(), vector(codebook_size=8)),
    "levels-mixed": levels(
        {"name": "finite_scalar", "levels": [5, 3]},
        {"name": "residual", "stages": [vector(), vector()]},
    ),
    "levels-three": levels(vector(), BITS, vector()),
    "wrapped": WRAPPED,
    "half-precision": model(vector()),
}
GREY = ("vqvae-grey", "likelihood-categorical")
HALF = ("half-precision",)
COUNTED = ("vector-ema", "levels")
"""Tokenizers that are saved with counts of codes."""


def channels_of(name: str) -> int:
    """Channels of the images of a tokenizer."""
    return 1 if name in GREY else 3


def pixels(count: int, height: int, width: int, channels: int = 3) -> Tensor:
    """Images (count, channels, H, W), uint8, by a formula: slopes, an edge, and a little noise."""
    n, c, y, x = np.mgrid[:count, :channels, :height, :width]
    values = (9 + 4 * n) * x + (5 + 7 * n) * y + 20 * c + 90 * (x > y + c + n % 3)
    noise = (x * y * (c + 3) + 5 * x * x + n * (3 * x + y)) % 23
    return torch.from_numpy(((values + noise + 31 * n) % 256).astype(np.uint8))


def grid(size: tuple[int, ...], symbols: int, number: int) -> NDArray[np.int64]:
    """Codes by a formula."""
    place = np.arange(np.prod(size)).reshape(size)
    return (place * place * 7 + 13 * number * (place + 1)) % symbols


def trained(specs: Mapping[str, Any], seed: int, channels: int = 3) -> SignalTokenizer:
    """A tokenizer after three steps, so that buffers have moved."""
    *_, (tokenizer, _) = steps(specs, seed, channels)
    return tokenizer.eval()


def steps(
    specs: Mapping[str, Any], seed: int, channels: int = 3
) -> Iterator[tuple[SignalTokenizer, Tensor]]:
    """The tokenizer and its loss () after each of three steps."""
    torch.manual_seed(seed)
    tokenizer = build_tokenizer(specs, channels)
    networks = [part for kind in ("encoder", "decoder") for part in tokenizer.parts()[kind]]
    with torch.no_grad():
        for p in (p for part in networks for p in part.parameters()):
            p *= 3 if p.ndim > 1 else 0.5  # so that positions differ by more than last bits
    optimizer = torch.optim.Adam(tokenizer.parameters(), 1e-2, eps=1e-3)
    for number in range(3):
        images = pixels(8, 8, 8, channels).roll(number, dims=0)
        loss = tokenizer.train()(images).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        yield tokenizer, loss.detach()


def listed(codes: Tensor | Sequence[Tensor]) -> list[Tensor]:
    """Codes as one tensor for each level."""
    return [codes] if isinstance(codes, Tensor) else list(codes)


@torch.no_grad()
def outcome(tokenizer: SignalTokenizer, images: Tensor) -> dict[str, NDArray[Any]]:
    """Codes by level, the reconstruction, and bits per dimension of images."""
    bits = tokenizer.bits_per_dim(images)
    found = {
        "reconstruction": tokenizer.reconstruct(images).float().numpy(),
        "bits": torch.stack([bits.codes, bits.likelihood]).double().numpy(),
    }
    if all(level.codebook_sizes for level in tokenizer.levels):
        codes = listed(tokenizer.encode(images))
        found |= {f"codes{i}": level.numpy() for i, level in enumerate(codes, 1)}
    return found


# ---------------------------------------------------------------------- values


def environment() -> dict[str, str]:
    """What decides the last bits of a result: equal ones compute equal bits."""
    vendor = platform.processor()
    if os.path.exists("/proc/cpuinfo"):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        vendor = next((x.split()[-1] for x in lines if x.startswith("vendor_id")), vendor)
    return {
        "torch": torch.__version__,
        "capability": torch.backends.cpu.get_cpu_capability(),
        "vendor": vendor,
        "kernels": str(native.instructions()),
    }


def plain(value: Any) -> Any:
    """A default value as JSON holds it."""
    if hasattr(value, "component_kind"):
        return {"component": registry.spec(value)}
    return list(value) if isinstance(value, tuple) else value


def options_of(kind: str, name: str) -> Table:
    """The options of a component: the default of each, and whether a value is required."""
    return {
        option.name: {"required": True} if option.required else {"default": plain(option.default)}
        for option in registry.options(kind, name)
    }


def shapes(state: Mapping[str, Tensor]) -> dict[str, str]:
    """The names of tensors with their shapes, as in ``4x3``."""
    return {name: "x".join(map(str, tensor.shape)) for name, tensor in state.items()}


def read_json(path: Path) -> Any:
    """The content of a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz file."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def log_of(folder: Path) -> list[Table]:
    """The lines of a run's log without what depends on the clock."""
    clocked = ("seconds", "images_per_second", "signals_per_second")
    lines = (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    records = map(json.loads, lines)
    return [{k: v for k, v in record.items() if k not in clocked} for record in records]


def printed(words: str) -> Any:
    """The JSON that a command prints, or writes into a file of the current folder."""
    out = io.StringIO()
    with redirect_stdout(out):
        app(words.split(), standalone_mode=False)
    for path in map(Path, OUTPUTS):
        if path.exists():
            content = read_json(path)
            path.unlink()
            return content
    return json.loads(out.getvalue())
