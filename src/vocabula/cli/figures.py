"""The figures of an evaluation as JSON, with what they were measured with."""

from __future__ import annotations

import json
import shlex
import sys
from typing import TYPE_CHECKING

import vocabula

if TYPE_CHECKING:
    from vocabula.evaluation import Evaluation
    from vocabula.tokenizers import ImageTokenizer


def figures_json(result: Evaluation, tokenizer: ImageTokenizer, run: str) -> str:
    """The figures, the run, the tokenizer's fingerprint, the version and the command line."""
    content = {
        **result.to_dict(),
        "run": run,
        "fingerprint": tokenizer.fingerprint(),
        "version": vocabula.__version__,
        "command": shlex.join(["vocabula", *sys.argv[1:]]),
    }
    return json.dumps(content, indent=2, allow_nan=False) + "\n"
