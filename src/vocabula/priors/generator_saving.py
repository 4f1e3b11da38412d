"""A generator as one folder: the priors and their tokenizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NoReturn

from vocabula import registry
from vocabula.errors import CheckpointError, OptionError
from vocabula.files.packaged import prior_folder
from vocabula.priors.generator import Generator
from vocabula.priors.prior import Prior
from vocabula.priors.saving import load
from vocabula.tokenizers import SignalTokenizer
from vocabula.tokenizers import load as load_tokenizer
from vocabula.tokenizers.look import Kin
from vocabula.tokenizers.saved_folder import CONFIG, read_tokenizer_config
from vocabula.tokenizers.saved_summary import saved_summary

TOKENIZER = "tokenizer"
"""The folder of the tokenizer within that of the priors."""


def level_folder(folder: str | Path, level: int, levels: int) -> Path:
    """The folder of a level's prior: the folder itself for a single level, otherwise within it.

    Args:
        folder: of the generator.
        level: index of the level, 0 for the coarsest, whose folder is ``level-1``.
        levels: number of levels.
    """
    return Path(folder) if levels == 1 else Path(folder) / f"level-{level + 1}"


def save_tokenizer_beside(folder: str | Path, tokenizer: SignalTokenizer) -> None:
    """Write the tokenizer into the folder of its priors, so that this one folder draws images.

    Raises:
        OutputError: the folder cannot be written.
    """
    tokenizer.save_pretrained(Path(folder) / TOKENIZER)


def load_generator(path: str | Path, tokenizer: SignalTokenizer | None = None) -> Generator:
    """The generator saved in a folder, on the CPU and in evaluation mode.

    ::

        PRIOR/tokenizer/                  the tokenizer
        PRIOR/config.json, ...            the prior, where there is one level of codes
        PRIOR/level-1/, level-2/, ...     where there are several: a prior each, coarsest first

    Args:
        path: a folder that ``vocabula train-prior --out`` wrote, or ``"default"``, the prior of
            the tokenizer that comes with the package.
        tokenizer: one that is loaded already; if it is that of the folder, it is taken as it is,
            on its device, instead of another copy.

    Raises:
        CheckpointError: a part is missing or damaged, or the parts do not belong together.

    Example:
        >>> samples = load_generator("runs/prior").sample(4, seed=0)
        >>> len(samples.images)
        4
    """
    folder = prior_folder(path)
    if not folder.is_dir():
        raise CheckpointError(
            f"{folder}: expected a trained prior, got no such folder; "
            "give the folder that `vocabula train-prior --out` wrote"
        )
    if not (folder / TOKENIZER / CONFIG).is_file():
        _refuse_without_tokenizer(folder)
    if tokenizer is None or not _is_saved(tokenizer, folder / TOKENIZER):
        tokenizer = load_tokenizer(folder / TOKENIZER)
    levels = len(tokenizer.levels)
    priors: list[Prior] = []
    for level in range(levels):
        place = level_folder(folder, level, levels)
        if not (place / CONFIG).is_file():
            raise _missing(folder, place, level, levels, priors)
        priors.append(load(place))
    try:
        return Generator(tokenizer, priors)
    except OptionError as error:
        raise CheckpointError(f"{folder}: {error}") from None


def _is_saved(tokenizer: SignalTokenizer, folder: Path) -> bool:
    """Whether a folder has this tokenizer, by its fingerprint, with the same names of its codes."""
    config = read_tokenizer_config(folder)
    summary = saved_summary(folder, config)
    same = summary is not None and summary.fingerprint == tokenizer.fingerprint()
    return same and Kin.of(config) == tokenizer.kin


def _refuse_without_tokenizer(folder: Path) -> NoReturn:
    """Say what a folder without a tokenizer is, as far as it can be recognized."""
    command = _command(folder)
    if (folder / CONFIG).is_file():
        load(folder)  # refuses anything but a prior
    elif not any((folder / f"level-{i}" / CONFIG).is_file() for i in range(1, 10)):
        remedy = (
            f"let it go on with: {command} --resume"
            if command
            else ("give the folder that `vocabula train-prior --out` wrote")
        )
        raise CheckpointError(f"{folder}: expected a trained prior, got none in it yet; {remedy}")
    raise CheckpointError(
        f"{folder}: expected the priors' tokenizer in {folder / TOKENIZER}, got none; put a copy "
        "of the saved tokenizer there, or save it with save_tokenizer_beside"
    )


def _missing(
    folder: Path, place: Path, level: int, levels: int, found: list[Prior]
) -> CheckpointError:
    if levels == 1:
        what, name = "a prior", "transformer"
    else:
        what = f"the prior of level {level + 1} of {levels}"
        name = registry.spec(found[0])["name"] if found else "transformer"
    command = _command(folder) or (f"vocabula train-prior RUN TOKENS --model {name} --out {folder}")
    return CheckpointError(f"{place}: expected {what}, got none; train it with: {command} --resume")


def _command(folder: Path) -> str:
    """The command of the run that writes the folder, if it says so."""
    try:
        return str(json.loads((folder / "run.json").read_text(encoding="utf-8"))["command"])
    except (OSError, ValueError, LookupError, TypeError):
        return ""
