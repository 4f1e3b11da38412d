"""The summary in a saved tokenizer's folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vocabula.errors import OptionError
from vocabula.tokenizers.identity import fingerprint, read_bytes
from vocabula.tokenizers.look import Kin, codes_digest
from vocabula.tokenizers.saved_folder import WEIGHTS

if TYPE_CHECKING:  # a summary is read without torch
    pass

from vocabula.tokenizers.summary import KEY, LevelSummary, Summary


def saved_summary(folder: Path, config: Mapping[str, Any]) -> Summary | None:
    """The summary in a saved tokenizer's folder, if it matches the settings and weights there.

    It is used only if its fingerprint equals the one recomputed from the two files.

    Args:
        folder: of the tokenizer.
        config: its configuration, as `read_tokenizer_config` gives it.

    Returns:
        None if there is none or it does not match: the tokenizer has to be loaded.
    """
    try:
        summary = _parsed(config[KEY])
        tensors = read_bytes(folder / WEIGHTS)
        found = fingerprint("tokenizer", config["tokenizer"], tensors)
        codes = codes_digest(config["tokenizer"], tensors)
    except (OSError, OptionError, LookupError, TypeError, ValueError):
        return None
    if found != summary.fingerprint:
        return None
    kin = Kin.of(config)
    look_of = kin.fingerprints[0] if kin is not None and kin.digest == codes else ""
    return replace(summary, codes=codes, look_of=look_of)


def _side(saved: int | str) -> int | Fraction:
    return saved if isinstance(saved, int) else Fraction(saved)


def _parsed(saved: Mapping[str, Any]) -> Summary:
    """What `Summary.to_dict` gave."""
    levels = (
        LevelSummary(
            level["title"],
            level["quantizer"],
            _side(level["stride"]),
            tuple(level["codebook_sizes"]),
        )
        for level in saved["levels"]
    )
    lists = {"encoders": tuple(saved["encoders"]), "decoders": tuple(saved["decoders"])}
    return Summary(**{**saved, **lists, "levels": tuple(levels)})
