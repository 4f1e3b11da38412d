"""From a trainer to a saved tokenizer: averaged weights if any, and counts of its codes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from vocabula.data import Source
from vocabula.pipelines import learn_statistics
from vocabula.tokenizers import load, save
from vocabula.tokenizers.saved_folder import CONFIG
from vocabula.training.start import note_kin
from vocabula.training.trainer import Trainer

_CARD_METRICS = ("step", "loss", "mse", "psnr", "perplexity", "usage")


def export_tokenizer(
    trainer: Trainer,
    folder: Path,
    *,
    data: str,
    command: str,
    record: dict[str, Any],
    before: Path | None = None,
) -> None:
    """Save the tokenizer with its card, using the averaged weights if there are any.

    The trainer goes on unchanged.

    Args:
        trainer: holds the tokenizer.
        folder: where it is saved; every file is complete or absent at any moment.
        data: its training data, for the card.
        command: how it was trained, for the card.
        record: figures of the last log line, for the card.
        before: a tokenizer of the same run that may have the same codes, if it is there.

    Raises:
        OutputError: the folder cannot be written.
    """
    metrics = {key: record[key] for key in _CARD_METRICS if key in record}
    with trainer.averaged():
        if before is not None:
            note_kin(trainer.tokenizer, before)
        save(trainer.tokenizer, folder, data=data, metrics=metrics, command=command)


def count_codes(
    folder: Path,
    source: Source,
    device: torch.device,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Keep counts of the training data's codes beside a saved tokenizer, for the entropy models.

    A continuous tokenizer has none.

    Args:
        folder: where the tokenizer is saved.
        source: what it was trained on.
        device: where it encodes them.
        advance: called with how many signals are done, and of how many.

    Raises:
        OutputError: the folder cannot be written.
    """
    tokenizer = load(folder)
    if not all(level.codebook_sizes for level in tokenizer.levels):
        return
    if tokenizer.code_statistics is not None and tokenizer.code_names().others:
        return  # files of the tokenizer that it is a look of were compressed with these
    done = 0

    def count(signals: int) -> None:
        nonlocal done
        done += signals
        advance(done, len(source))

    learn_statistics(tokenizer.to(device), source, advance=count).save(folder)


def share_counts(folder: Path, before: Path) -> None:
    """Keep the counts beside an earlier tokenizer of a run, too, if it is there with these codes.

    Raises:
        OutputError: its folder cannot be written.
    """
    if not (before / CONFIG).is_file():
        return
    tokenizer, earlier = load(folder), load(before)
    counts = tokenizer.code_statistics
    if counts is not None and tokenizer.code_names().know(earlier.fingerprint()):
        counts.save(before)
