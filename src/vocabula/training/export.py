"""From a trainer to a saved tokenizer: averaged weights if any, and counts of its codes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from vocabula.data import Source
from vocabula.pipelines import learn_statistics
from vocabula.tokenizers import load, save
from vocabula.training.trainer import Trainer

_CARD_METRICS = ("step", "loss", "mse", "psnr", "perplexity", "usage")


def export_tokenizer(
    trainer: Trainer, folder: Path, *, data: str, command: str, record: dict[str, Any]
) -> None:
    """Save the tokenizer with its card, using the averaged weights if there are any.

    The trainer goes on unchanged.

    Args:
        trainer: holds the tokenizer.
        folder: where it is saved; every file is complete or absent at any moment.
        data: its training data, for the card.
        command: how it was trained, for the card.
        record: figures of the last log line, for the card.

    Raises:
        OutputError: the folder cannot be written.
    """
    metrics = {key: record[key] for key in _CARD_METRICS if key in record}
    with trainer.averaged():
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
    done = 0

    def count(signals: int) -> None:
        nonlocal done
        done += signals
        advance(done, len(source))

    learn_statistics(tokenizer.to(device), source, advance=count).save(folder)
