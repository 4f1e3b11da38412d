"""Loading a saved tokenizer."""

from __future__ import annotations

import os

from vocabula.files.packaged import run_folder
from vocabula.tokenizers.base import SignalTokenizer
from vocabula.tokenizers.saving import load_saved


def load(path: str | os.PathLike[str]) -> SignalTokenizer:
    """The tokenizer saved in a folder, on the CPU and in evaluation mode.

    Args:
        path: a folder with ``config.json`` and ``model.safetensors``, and if there are counts of
            the training codes, ``entropy.safetensors``; or ``"default"``, the tokenizer for
            photographs that comes with the package.

    Raises:
        CheckpointError: missing, damaged, foreign, of a newer format, or inconsistent.

    Example:
        >>> tokenizer = load("runs/photos")
        >>> tokenizer.encode(images).shape
        torch.Size([2, 3, 3])
    """
    tokenizer: SignalTokenizer = load_saved(run_folder(path))
    return tokenizer
