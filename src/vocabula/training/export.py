"""From a trainer to a saved tokenizer: averaged weights if there are any."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vocabula.tokenizers import save
from vocabula.training.trainer import Trainer

_CARD_METRICS = ("step", "loss", "mse", "psnr", "perplexity", "usage")


def export_tokenizer(
    trainer: Trainer, folder: Path, *, data: str, command: str, record: dict[str, Any]
) -> None:
    """Save the tokenizer with its card; where weights are averaged, with the average.

    The trainer goes on unchanged.

    Args:
        trainer: holds the tokenizer.
        folder: where it is saved; every file is complete or absent at any moment.
        data: what it learned from, for the card.
        command: how it was trained, for the card.
        record: figures of the last log line, for the card.

    Raises:
        OutputError: the folder cannot be written.
    """
    metrics = {key: record[key] for key in _CARD_METRICS if key in record}
    with trainer.averaged():
        save(trainer.tokenizer, folder, data=data, metrics=metrics, command=command)
