"""Training that begins as another tokenizer: with its weights, and maybe with its codes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vocabula import registry
from vocabula.errors import OptionError
from vocabula.tokenizers import SignalTokenizer, load
from vocabula.tokenizers.look import Kin, codes_settings, look_paths, look_settings
from vocabula.tokenizers.saved_folder import CONFIG, read_tokenizer_config
from vocabula.tokenizers.saved_summary import saved_summary
from vocabula.tokenizers.weights import take_over

KEY = "from"
"""Where ``run.json`` has the fingerprint of the tokenizer that the run began as."""


@dataclass(frozen=True)
class Start:
    """The tokenizer that a training begins as.

    Attributes:
        run: where it is, as the user names it.
        tokenizer: it, on the CPU.
        fingerprint: its own.
        notes: a line for each part of a run that does not begin as its.
    """

    run: str
    tokenizer: SignalTokenizer
    fingerprint: str
    notes: list[str] = field(default_factory=list)


def open_start(run: str | os.PathLike[str] | None) -> Start | None:
    """The tokenizer of a RUN to begin as; None for none.

    Raises:
        CheckpointError: see `load`.
    """
    if run is None:
        return None
    tokenizer = load(run)
    return Start(os.fspath(run), tokenizer, tokenizer.fingerprint())


def words_of(start: Start | None) -> tuple[str, ...]:
    """How a command line names a start."""
    return () if start is None else ("--from", start.run)


def said_of(start: Start | None) -> dict[str, str]:
    """What the manifest of a run says of its start."""
    return {} if start is None else {KEY: start.fingerprint}


def notes_of(start: Start | None) -> list[str]:
    """What there is to say about parts that do not begin as the start."""
    return [] if start is None else start.notes


def check_start(start: Start | None, manifest: Mapping[str, Any] | None) -> None:
    """Refuse to resume a run that began as another tokenizer, or as none.

    Raises:
        OptionError: it did.
    """
    if manifest is None:
        return
    before, now = manifest.get(KEY), None if start is None else start.fingerprint
    if before != now:
        raise OptionError(
            f"--from: expected {_named(before)}, as the run to resume began, got {_named(now)}; "
            "use the same --from, or another --out for a new run"
        )


def begin_as(new: SignalTokenizer, start: Start) -> None:
    """Give a new tokenizer the weights of a start, but for parts of its look that differ.

    It is one of `Kin` from now on: its files stay those of the start, as long as training leaves
    what codes depend on as it is.

    Args:
        new: as the configuration of the run describes it.
        start: what the run begins as; its notes are filled.

    Raises:
        OptionError: the configuration describes other encoders or quantizers.
    """
    old = start.tokenizer.float()
    wanted, given = registry.spec(new), registry.spec(old)
    different = _difference(codes_settings(given), codes_settings(wanted))
    if different is not None:
        path, before, now = different
        raise OptionError(
            f"--from: expected the networks of {start.run}, whose {path} is {before}, got {now}; "
            f"use the preset and the overrides of that run (vocabula info {start.run})"
        )
    anew = []
    for path in look_paths(given):
        if look_settings(wanted, path) != look_settings(given, path):
            anew.append(f"{path}.")
            name = path.rpartition(".")[2]
            start.notes.append(f"the {name} differs from that of {start.run} and learns anew")
    take_over(new, {n: t for n, t in old.state_dict().items() if not n.startswith(tuple(anew))})
    names = old.code_names()
    if names.own == start.fingerprint:  # in float32 as it was saved
        new.kin = Kin(old.codes_digest(), tuple(dict.fromkeys((*names.others, names.own))))
        new.code_statistics = old.code_statistics


def note_kin(tokenizer: SignalTokenizer, folder: Path) -> None:
    """Note that a saved tokenizer, if there is one, has the codes of a tokenizer, if it has."""
    if not (folder / CONFIG).is_file():
        return
    saved = saved_summary(folder, read_tokenizer_config(folder))
    if saved is None or saved.codes != tokenizer.codes_digest():
        return
    own = tokenizer.kin
    known = own.fingerprints if own is not None and own.digest == saved.codes else ()
    others = dict.fromkeys([*known, saved.look_of, saved.fingerprint])
    tokenizer.kin = Kin(saved.codes, tuple(name for name in others if name))


def _difference(before: Any, now: Any, path: str = "") -> tuple[str, Any, Any] | None:
    """The first place where two settings differ, with both values; None if nowhere."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*before, *now]):
            place = f"{path}.{key}".lstrip(".")
            found = _difference(before.get(key), now.get(key), place)
            if found is not None:
                return found
        return None
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for number, pair in enumerate(zip(before, now, strict=True)):
            found = _difference(*pair, f"{path}.{number}")
            if found is not None:
                return found
        return None
    old, new = ("its default" if value is None else value for value in (before, now))
    return None if before == now else (path, old, new)


def _named(fingerprint: str | None) -> str:
    return "no tokenizer" if fingerprint is None else f"the tokenizer {fingerprint[:12]}"
