"""The figures of an evaluation as JSON, with what they were measured with."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import vocabula

if TYPE_CHECKING:
    from vocabula.evaluation import Evaluation
    from vocabula.reports.compare import Compared
    from vocabula.tokenizers import SignalTokenizer


def figures_json(
    result: Evaluation, tokenizer: SignalTokenizer, run: str, more: Mapping[str, Any]
) -> str:
    """The figures, the run, the tokenizer's fingerprint, the version and the command line.

    Args:
        result: the figures.
        tokenizer: what was measured.
        run: its folder.
        more: further figures by name.
    """
    about = {"run": run, "fingerprint": tokenizer.fingerprint()}
    return _json({**result.to_dict(), **more, **about})


def comparison_json(compared: Sequence[Compared]) -> str:
    """The figures of several tokenizers, the version and the command line."""
    return _json({"runs": [one.to_dict() for one in compared]})


def _json(content: Mapping[str, Any]) -> str:
    command = shlex.join(["vocabula", *sys.argv[1:]])
    about = {"version": vocabula.__version__, "command": command}
    return json.dumps({**content, **about}, indent=2, allow_nan=False) + "\n"
