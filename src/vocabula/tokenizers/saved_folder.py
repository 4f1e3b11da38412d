"""The shared part of saved models' folders: their files, and the checks when reading them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vocabula import __version__, registry
from vocabula.errors import CheckpointError, OptionError, UnknownNameError, first_line
from vocabula.files import (
    dump_json,
    input_error,
    new_folder,
    output_errors,
    unicode_text,
    write_bytes,
)

if TYPE_CHECKING:
    from torch import nn

FORMAT = 1
CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"


def write_saved(
    folder: Path,
    module: nn.Module,
    config: Mapping[str, Any],
    card: str,
    beside: Callable[[Path], None],
    *,
    half: bool = False,
) -> None:
    """Write a model's folder: weights, card and settings. The settings appear last.

    Every file is complete or absent at any moment; other files in the folder are left alone.

    Args:
        folder: the folder, created if needed.
        module: the model.
        config: the content of ``config.json`` but for format, library and version.
        card: the text of the card.
        beside: writes further files into the folder it is given.
        half: store weights in 16 bits where that loses nothing.

    Raises:
        OutputError: the folder cannot be written.
    """
    from vocabula.tokenizers.weights import write_weights

    said = {"format": FORMAT, "library": "vocabula", "version": __version__}
    with output_errors(folder), new_folder(folder, overwrite=True, last=CONFIG) as draft:
        write_weights(module, draft / WEIGHTS, half=half)
        beside(draft)
        write_bytes(draft / CARD, unicode_text(card).encode())
        write_bytes(draft / CONFIG, dump_json({**config, **said}))


def read_config(folder: Path, kind: str, made_by: str) -> dict[str, Any]:
    """The contents of a saved folder's ``config.json``, of this library and format.

    Args:
        folder: of the model.
        kind: what it is, for messages: "tokenizer" or "prior".
        made_by: what writes such a folder.

    Raises:
        CheckpointError: missing, damaged, foreign or of a newer format.
    """
    path = folder / CONFIG
    if not path.is_file():
        what = "no such folder" if not folder.exists() else f"no {CONFIG} in it"
        raise CheckpointError(
            f"{folder}: expected a saved {kind}, got {what}; give the folder that {made_by} wrote"
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise input_error(path, error, CheckpointError) or CheckpointError(
            f"{path}: expected JSON, got a damaged file ({first_line(error)}); "
            "copy the folder again"
        ) from None
    if not isinstance(config, dict) or config.get("library") != "vocabula":
        raise CheckpointError(
            f"{path}: expected a model saved by vocabula, got one of another library; "
            f"give the folder of a vocabula {kind}"
        )
    if config.get("format") != FORMAT:
        raise CheckpointError(
            f"{path}: expected format {FORMAT}, got {config.get('format')!r}; "
            "update vocabula to the version that saved it"
        )
    return config


def read_tokenizer_config(folder: Path) -> dict[str, Any]:
    """The contents of a saved tokenizer's ``config.json``.

    Raises:
        CheckpointError: see `read_config`; or it belongs to a prior, or has no settings.
    """
    config = read_config(folder, "tokenizer", "`vocabula train --out` or save_pretrained")
    if isinstance(config.get("prior"), dict):
        raise CheckpointError(
            f"{folder}: expected a tokenizer, got a prior; give the run it was trained for, or "
            f"{folder / 'tokenizer'}"
        )
    if not isinstance(config.get("tokenizer"), dict):
        raise CheckpointError(
            f"{folder / CONFIG}: expected a table 'tokenizer' of settings, got "
            f"{type(config.get('tokenizer')).__name__}; copy the folder again"
        )
    return config


@contextmanager
def settings_errors(folder: Path, config: Mapping[str, Any], kind: str) -> Iterator[None]:
    """Name the file of settings that do not build a model.

    Raises:
        CheckpointError: the settings inside are wrong.
    """
    try:
        yield
    except UnknownNameError as error:
        raise CheckpointError(
            f"{folder / CONFIG}: expected the settings of a {kind}, got "
            f"{first_line(error).removesuffix(registry.OWN)} (saved by vocabula "
            f"{config.get('version', '?')}, this is {__version__}){registry.OWN}"
        ) from None
    except (OptionError, LookupError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"{folder / CONFIG}: expected the settings of a {kind}, got {first_line(error)} "
            f"(saved by vocabula {config.get('version', '?')}, this is {__version__}); "
            "use the version that saved it, or undo changes to the file"
        ) from None


def build_saved(folder: Path, config: Mapping[str, Any], kind: str) -> Any:
    """The model that a configuration describes, before its weights are read.

    Args:
        folder: of the model.
        config: as `read_config` gives it.
        kind: what it is, and the name of its settings: "tokenizer" or "prior".

    Raises:
        CheckpointError: the settings are wrong.
    """
    with settings_errors(folder, config, kind):
        return registry.build(kind, config[kind])


def read_saved_weights(module: nn.Module, folder: Path) -> None:
    """Fill a model with the weights beside its configuration.

    Raises:
        CheckpointError: they are missing, damaged or of another model.
    """
    from vocabula.tokenizers.weights import read_weights

    if not (folder / WEIGHTS).is_file():
        raise CheckpointError(
            f"{folder}: expected {WEIGHTS} beside {CONFIG}, got none; copy the whole folder"
        )
    read_weights(module, folder / WEIGHTS)
