"""Saving priors to folders and loading them; nothing is unpickled."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vocabula import registry
from vocabula.errors import CheckpointError
from vocabula.priors.card import prior_card
from vocabula.priors.durations import Durations
from vocabula.priors.origin import Origin
from vocabula.priors.prior import Prior
from vocabula.priors.text import TextTokenizer
from vocabula.signals.attributes import CLASS
from vocabula.tokenizers.saved_folder import (
    CONFIG,
    build_saved,
    read_config,
    read_saved_weights,
    settings_errors,
    write_saved,
)


def save(
    prior: Prior,
    folder: str | Path,
    *,
    data: str | None = None,
    metrics: Mapping[str, Any] | None = None,
    command: str | None = None,
    half: bool = False,
) -> None:
    """Write a prior into a folder: settings, weights, a card, and its text tokenizer if any.

    A `TransformerPrior`'s folder also opens with ``AutoModelForCausalLM.from_pretrained``. Every
    file is complete or absent at any moment; other files in the folder are left alone.

    Args:
        prior: the model.
        folder: the folder, created if needed.
        data: what it was trained on, for the card.
        metrics: figures by name, for the card.
        command: what made it, for the card.
        half: store weights in 16 bits where that loses nothing.

    Raises:
        OutputError: the folder cannot be written.
    """
    folder = Path(folder)
    settings = registry.spec(prior)
    size = prior.origin.image_size
    origin: dict[str, Any] = {
        "tokenizer": prior.origin.tokenizer,
        "class_names": list(prior.origin.class_names),
        "image_size": None if size is None else list(size),
    }
    names = {k: list(v) for k, v in prior.origin.names.items() if k != CLASS}
    if names:  # else the file is as it was before there were other attributes
        origin["names"] = names
    if prior.origin.durations is not None:
        origin["durations"] = prior.origin.durations.plain()
    config = {
        **prior.foreign_config(),
        "prior": settings,
        "origin": origin,
        "text": prior.text_tokenizer is not None,
    }
    card = prior_card(prior, settings, data=data, metrics=metrics, command=command)

    def beside(draft: Path) -> None:
        if prior.text_tokenizer is not None:
            prior.text_tokenizer.save(draft)

    write_saved(folder, prior.saved_module(), config, card, beside, half=half)


def load(path: str | Path) -> Prior:
    """The prior saved in a folder, on the CPU and in evaluation mode.

    Args:
        path: a folder with ``config.json`` and ``model.safetensors``.

    Raises:
        CheckpointError: missing, damaged, foreign, of a newer format, or inconsistent.

    Example:
        >>> prior = load("runs/digits-prior")
        >>> type(prior).__name__
        'PixelCNN'
    """
    folder = Path(path)
    config = _read_config(folder)
    prior: Prior = build_saved(folder, config, "prior")
    with settings_errors(folder, config, "prior"):
        prior.origin = _origin(config["origin"])
        if config["text"]:
            prior.text_tokenizer = TextTokenizer.load(folder)
    read_saved_weights(prior.saved_module(), folder)
    return prior.eval()


def _origin(saved: Mapping[str, Any]) -> Origin:
    """The origin that a configuration describes."""
    size, lengths = saved["image_size"], saved.get("durations")
    names = {CLASS: saved["class_names"], **saved.get("names", {})}
    return Origin(
        str(saved["tokenizer"]),
        {name: tuple(map(str, its)) for name, its in names.items() if its},
        None if size is None else (int(size[0]), int(size[1])),
        Durations.of_plain(lengths) if lengths is not None else None,
    )


def _read_config(folder: Path) -> dict[str, Any]:
    """The checked contents of a saved prior's ``config.json``."""
    config = read_config(folder, "prior", "`vocabula train-prior --out`")
    if not isinstance(config.get("prior"), dict):
        what = "a tokenizer" if "tokenizer" in config else "no settings of one"
        raise CheckpointError(
            f"{folder / CONFIG}: expected a prior, got {what}; give the folder of a vocabula prior"
        )
    return config
