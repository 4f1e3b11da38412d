"""Writes what is missing of the frozen files: those that are there never change.

Run it from the root of the project: ``python tests/frozen/make.py``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from frozen.cases import FILES, TOKENIZERS, options_of, printed, read_json
from frozen.make_files import put_compressed, put_encoded, put_pictures, put_runs, put_tokens
from frozen.make_models import STEPPED, put_priors, put_steps, put_tokenizer
from frozen.store import new, put_json, workplace
from vocabula import registry
from vocabula.signals import CodeSpec
from vocabula.signatures import sources

COMMANDS = {
    "evaluate": "evaluate tokenizers/vector-ema pictures --json -",
    "evaluate-books": "evaluate tokenizers/residual pictures --json -",
    "evaluate-gaussian": "evaluate tokenizers/gaussian pictures --json -",
    "evaluate-levels": "evaluate tokenizers/levels pictures --json -",
    "compare": "compare tokenizers/vector-ema tokenizers/levels pictures --json out.json",
    "rate": "rate tokenizers/residual pictures --jobs 1 -o rates",
}
"""Commands that write figures as JSON: printed, or into a file that `printed` finds."""


def put_components() -> None:
    """Names and options of all components; what was there stays as it was."""
    path = FILES / "components.json"
    before = read_json(path) if path.exists() else {}
    found: dict[str, Any] = {}
    for kind in sorted({*sources.declared(), *before}):
        names = {n: options_of(kind, n) for n in registry.names(kind) if "frozen" not in n}
        old = before.get(kind, {})
        found[kind] = {n: names.get(n, {}) | old.get(n, {}) for n in sorted({*names, *old})}
    put_json(path, found)


def put_commands() -> None:
    """The JSON of commands."""
    for name, words in COMMANDS.items():
        path = FILES / "commands" / f"{name}.json"
        if new(path):
            with workplace():
                content = printed(words)
            if name == "rate":  # the points of other codecs are as many as Pillow's version likes
                content["curves"] = {
                    codec: points[:1] for codec, points in content["curves"].items()
                }
            put_json(path, {"words": words, "output": content})


if __name__ == "__main__":
    torch.set_num_threads(1)
    FILES.mkdir(exist_ok=True)
    put_components()
    put_pictures()
    for name in TOKENIZERS:
        put_tokenizer(name)
    for name in STEPPED:
        put_steps(name)
    put_tokens("one", [CodeSpec([200], [])], [(3, 3)])
    put_tokens("wide", [CodeSpec([40000], [])], [(3, 4)])
    put_tokens("books", [CodeSpec([7, 300], [2])], [(2, 3)])
    put_tokens("levels", [CodeSpec([16], []), CodeSpec([8, 8], [2])], [(2, 2), (4, 4)])
    put_encoded()
    put_priors()
    put_runs()
    put_compressed()
    put_commands()
