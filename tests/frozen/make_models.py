"""Writes frozen tokenizers, training steps, priors and a generator."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from frozen.cases import (
    COUNTED,
    FILES,
    HALF,
    TOKENIZERS,
    channels_of,
    environment,
    grid,
    outcome,
    read_arrays,
    shapes,
    steps,
    trained,
)
from frozen.store import new, put_arrays, put_json
from vocabula import load, load_generator, open_source, pipelines
from vocabula.priors import (
    CodeGrid,
    Condition,
    Conditioning,
    Origin,
    PixelCNN,
    PixelSNAIL,
    PortablePrior,
    Prior,
    TextTokenizer,
    TransformerPrior,
    level_folder,
    save,
    save_tokenizer_beside,
)
from vocabula.tokenizers import SignalTokenizer

STEPPED = (
    "vector-ema",
    "vector-gradient",
    "vector-linear",
    "gumbel",
    "lookup-free",
    "finite-scalar",
    "residual",
    "product",
    "gaussian",
    "likelihood-categorical",
    "likelihood-logistic",
    "vqgan",
    "levels",
)


def put_tokenizer(name: str) -> None:
    """A saved tokenizer, and what it makes of the images, in its folder."""
    folder, channels = FILES / "tokenizers" / name, channels_of(name)
    if not new(folder):
        return
    images = torch.from_numpy(read_arrays(FILES / "images.npz")[str(channels)])
    made = (trained(TOKENIZERS[name], seed, channels) for seed in range(100))
    if name in HALF:
        made = (tokenizer.bfloat16() for tokenizer in made)
    tokenizer = next(each for each in made if name in HALF or decided(each, images))
    if name in COUNTED:
        source = open_source(str(FILES / "pictures"))
        tokenizer.code_statistics = pipelines.learn_statistics(tokenizer, source)
    tokenizer.save_pretrained(folder)
    (folder / "README.md").unlink()
    tokenizer = load(folder)
    put_arrays(folder / "expected.npz", outcome(tokenizer, images))
    content = {"fingerprint": tokenizer.fingerprint(), "tensors": shapes(tokenizer.state_dict())}
    put_json(folder / "expected.json", content)


def decided(tokenizer: SignalTokenizer, images: torch.Tensor) -> bool:
    """Whether no code hangs on the last bits of the arithmetic."""
    expected = outcome(tokenizer, images)
    if "codes1" in expected and len(np.unique(expected["codes1"])) < 3:
        return False
    for seed in range(5):
        other, random = copy.deepcopy(tokenizer), torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in other.parameters():
                parameter *= 1 + 3e-5 * torch.randn(parameter.shape, generator=random)
        found = outcome(other, images)
        if any(not np.array_equal(found[k], expected[k]) for k in expected if "codes" in k):
            return False
    return True


def put_steps(name: str) -> None:
    """The losses of three training steps, bit for bit, and on what they were computed."""
    path, model = FILES / "steps" / f"{name}.json", TOKENIZERS[name]
    if new(path):
        losses = [loss.item().hex() for _, loss in steps(model, 0, channels_of(name))]
        put_json(path, {"environment": environment(), "model": model, "losses": losses})


def put_prior(name: str, make: Callable[..., Prior], text: bool, **known: Any) -> None:
    """A saved prior, and the log-probabilities of codes."""
    folder = FILES / "priors" / name
    if not new(folder):
        return
    torch.manual_seed(2)
    upper = CodeGrid((4,), (2, 2))
    written = TextTokenizer.train(["one two", "three"], size=40) if text else None
    if written is not None:
        known |= {"text_tokens": written.size, "text_length": 4}
    prior = make(CodeGrid((3, 23), (3, 3), largest_symbol=5), Conditioning(upper=[upper], **known))
    prior.origin = Origin(
        "f00d", {"class": ("a", "b", "c")} if known.get("classes") else {}, (12, 12)
    )
    prior.text_tokenizer = written
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter *= 3 if parameter.ndim > 1 else 1
    save(prior.eval(), folder)
    (folder / "README.md").unlink()
    arrays = {
        "codes": np.stack([grid((4, 3, 3), 3, 1), grid((4, 3, 3), 23, 2)], -1),
        "upper": grid((4, 2, 2), 4, 3),
    }
    given: dict[str, Any] = {"upper": (torch.from_numpy(arrays["upper"]),)}
    if known.get("classes"):
        arrays["labels"] = np.array([0, 1, 2, -1])
        given["attributes"] = {"class": torch.from_numpy(arrays["labels"])}
    if written is not None:
        arrays["text"] = prior.condition(4, text="three one").text.numpy()
        given["text"] = torch.from_numpy(arrays["text"])
    with torch.no_grad():
        nats = prior.log_prob(torch.from_numpy(arrays["codes"]), Condition(**given))
    drawn = prior.sample((4, 3, 3), Condition(**given), seed=0)
    put_arrays(folder / "expected.npz", {**arrays, "nats": nats.numpy(), "drawn": drawn.numpy()})
    content = {"fingerprint": prior.fingerprint(), "environment": environment()}
    put_json(folder / "expected.json", {**content, "tensors": shapes(prior.state_dict())})


def put_priors() -> None:
    """Priors of all families, and a generator of two levels."""
    small = {"hidden": 8, "layers": 1, "heads": 2}
    snail = {"hidden": 8, "blocks": 1, "residuals": 1, "heads": 2}
    everything: dict[str, Any] = {"classes": 3, "dropout": 0.2}
    put_prior("pixelcnn", lambda *a: PixelCNN(*a, hidden=8, layers=2), True, **everything)
    put_prior("pixelsnail", lambda *a: PixelSNAIL(*a, **snail), False, **everything)
    put_prior("gpt2", lambda *a: TransformerPrior(*a, **small), True, **everything)
    llama = {**small, "architecture": "llama"}
    put_prior("llama", lambda *a: TransformerPrior(*a, **llama), False, **everything)
    portable = {"hidden": 8, "layers": 1, "embedding": 4, "reach": 2}
    put_prior("portable", lambda *a: PortablePrior(*a, **portable), False)
    folder = FILES / "generator"
    if not new(folder):
        return
    tokenizer = load(FILES / "tokenizers" / "levels")
    save_tokenizer_beside(folder, tokenizer)
    (folder / "tokenizer" / "README.md").unlink()
    grids: list[CodeGrid] = []
    torch.manual_seed(3)
    for i, place in enumerate(tokenizer.grids(12, 10)):
        codes = CodeGrid(tokenizer.levels[i].codebook_sizes, place)
        prior = PixelCNN(codes, Conditioning(upper=tuple(grids)), hidden=4, layers=2, kernel=3)
        prior.origin = Origin(tokenizer.fingerprint(), {}, (12, 10))
        save(prior, level_folder(folder, i, 2))
        (level_folder(folder, i, 2) / "README.md").unlink()
        grids.append(codes)
    generator = load_generator(folder)
    found = [torch.from_numpy(grid((2, *c.grid), c.codebook_sizes[0], 1)) for c in grids]
    nats = generator.log_prob(found).detach().numpy()
    codes = {f"codes{i}": level.numpy() for i, level in enumerate(found, 1)}
    put_arrays(folder / "expected.npz", {**codes, "nats": nats})
