"""Tiny generators, of one level and of two, with untrained parts."""

from __future__ import annotations

from typing import Any

import torch

from priors.builders import MAKERS
from vocabula.priors import CodeGrid, Conditioning, Generator, Origin, Prior, TextTokenizer
from vocabula.tokenizers import SignalTokenizer, build_tokenizer

NET = {"name": "vqvae", "hidden": 8, "residual_layers": 0, "downsample": 2}
BOOK = {"name": "vector", "dim": 4}
CLASSES = ("zero", "one", "two")
CAPTIONS = [f"a handwritten {name}" for name in CLASSES]


def make_tokenizer(
    levels: int = 1, channels: int = 1, likelihood: str | None = None, codebook_size: int = 16
) -> Any:
    torch.manual_seed(0)
    book = BOOK | {"codebook_size": codebook_size}
    spec: dict[str, Any] = {"likelihood": likelihood} if likelihood else {}
    if levels == 1:
        net = NET | {"downsample": 4}
        spec |= {
            "encoder": net,
            "decoder": net,
            "quantizer": {"name": "residual", "stages": [book, book]},
        }
    else:
        level = {"encoder": NET, "decoder": NET, "quantizer": book}
        spec |= {f"level{i + 1}": level for i in range(levels)}
    tokenizer = build_tokenizer(spec, channels)
    with torch.no_grad():
        tokenizer.train()(torch.rand(16, channels, 16, 16))
    return tokenizer.eval()


def make_priors(
    tokenizer: SignalTokenizer, kind: str, size: tuple[int, int] = (12, 16), **known: Any
) -> list[Prior]:
    """A prior for each level of images of `size`; known: classes, attributes, names, ...."""
    names = dict(known.pop("names", {}))
    if known.get("classes"):
        names["class"] = CLASSES
    text = TextTokenizer.train(CAPTIONS, size=60) if known.pop("text", False) else None
    if text is not None:
        known |= {"text_tokens": text.size, "text_length": 8}
    grids: list[CodeGrid] = []
    priors = []
    for level, grid in zip(tokenizer.levels, tokenizer.grids(*size), strict=True):
        codes = CodeGrid(level.codebook_sizes, grid, level.code_shape)
        torch.manual_seed(1)
        prior = MAKERS[kind](codes, Conditioning(upper=tuple(grids), **known)).eval()
        prior.origin = Origin(tokenizer.fingerprint(), names, size)
        prior.text_tokenizer = text
        with torch.no_grad():
            for parameter in prior.parameters():
                parameter *= 2  # first weights are so small that conditions hardly matter
        priors.append(prior)
        grids.append(codes)
    return priors


def make_generator(kind: str = "pixelcnn", levels: int = 1, **options: Any) -> Generator:
    channels, likelihood = options.pop("channels", 1), options.pop("likelihood", None)
    tokenizer = make_tokenizer(levels, channels, likelihood)
    return Generator(tokenizer, make_priors(tokenizer, kind, **options))


def save_generator(folder: Any, generator: Generator) -> Any:
    from vocabula.priors import level_folder, save, save_tokenizer_beside

    for i, prior in enumerate(generator.priors):
        save(prior, level_folder(folder, i, len(generator.priors)))
    save_tokenizer_beside(folder, generator.tokenizer)
    return folder
