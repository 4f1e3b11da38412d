"""Makes the plan of a sharded encoding, or finds it and checks that it is the one asked for."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from itertools import zip_longest
from pathlib import Path
from typing import Any

from vocabula.data import DATA, Cut, ImageSource, Source
from vocabula.data.cropped import CroppedSource
from vocabula.data.pieces import ChangedInputError, Piece, shared_out
from vocabula.data.places import lasting_name
from vocabula.data.shard_plan import PLAN, PlanFacts, Shard, ShardPlan, write_plan
from vocabula.errors import OptionError, TokensError
from vocabula.files import check_new_folder, holds_something, output_errors
from vocabula.signals import Signal
from vocabula.signals.attributes import CLASS
from vocabula.tokenizers import SignalTokenizer


class ShardInputs:
    """Opens the data of a plan, whole or shard by shard.

    Args:
        signal: the kind of signal, with the channels of the tokenizer.
        data: as the user names them.
        options: those of the kind's `SignalData`.
        cut: how pictures are cut; None for whole signals.
    """

    def __init__(
        self, signal: Signal, data: str, options: Mapping[str, Any], cut: Cut | None = None
    ) -> None:
        self._data, self._channels, self._cut = data, signal.channels, cut
        self._opener = DATA.of(signal.kind)(**options).for_signal(signal)
        self._whole: Source | None = None
        self._again = (signal, lasting_name(data), options, cut)

    def __reduce__(self) -> tuple[Any, ...]:
        """Open the data anew in another process."""
        return ShardInputs, self._again

    def whole(self) -> Source:
        """All signals, opened once.

        Raises:
            DataError: the data are missing, damaged or do not fit.
        """
        if self._whole is None:
            self._whole = self._opener.open(self._data, channels=self._channels)
            if self._cut is not None and not isinstance(self._whole, ImageSource):
                raise OptionError(
                    f"encode --crop, --resize: expected pictures, got {self._whole.name}, which "
                    "holds none; leave them out"
                )
        return self._whole

    def of(self, shard: Shard, root: str | None) -> Source:
        """The signals of a shard.

        Args:
            shard: which.
            root: the folder that paths are relative to, or None.

        Raises:
            ChangedInputError: an input is not as the plan says.
            DataError: the data are damaged.
        """
        for piece in shard.pieces:
            piece.check()
        place = None if root is None else Path(root)
        found = self._opener.open_files(
            self._data, shard.pieces, root=place, channels=self._channels
        )
        if found is None:
            found = self.whole().part(shard.pieces[0].first, _end(shard.pieces[-1]))
        if len(found) != shard.signals:
            raise ChangedInputError(
                f"{self._data}: expected {shard.signals} signals in shard {shard.number}, got "
                f"{len(found)}; check that its inputs can be read"
            )
        if self._cut is None or not isinstance(found, ImageSource):
            return found
        return CroppedSource(found, self._cut, shard.first)


def make_plan(
    tokenizer: SignalTokenizer,
    data: str,
    out: Path,
    *,
    shards: int,
    inputs: ShardInputs,
    options: Mapping[str, Any],
    batch_size: int | None,
    limit: int | None,
    cut: Cut | None,
    quality: float | None,
    most_broken: float,
    format: str,
) -> ShardPlan:
    """Share data out to shards and freeze the plan in a folder, unless it has one already.

    Several processes may do so at once: the plan of the first one stays.

    Args:
        tokenizer: what will encode.
        data: as the user names them.
        out: the folder; it is made if needed.
        shards: how many.
        inputs: the data.
        options: of the kind's `SignalData`.
        batch_size: most signals of a batch.
        limit: use the first signals only.
        cut: how pictures are cut.
        quality: how little bits weigh; None as in training.
        most_broken: share of a shard's signals that may be broken.
        format: of the parts.

    Raises:
        OptionError: there are more shards than signals, or the plan that exists was made with other
            options.
        TokensError: the plan that exists is of another tokenizer, or damaged.
        ChangedInputError: something was added to the data, or is gone, since that plan was made.
        OutputError: the folder holds something else, or cannot be written.
    """
    wanted = {
        "data": lasting_name(data),
        "shards": shards,
        "options": dict(options),
        "batch_size": batch_size,
        "limit": limit,
        "cut": None if cut is None else asdict(cut),
        "quality": quality,
        "most_broken": most_broken,
        "format": format,
    }
    asked = json.loads(json.dumps(wanted))  # as a plan tells it
    if not (out / PLAN).exists():
        _write(tokenizer, out, inputs, asked)
        return ShardPlan(out)
    plan = ShardPlan(out)
    _check_same(plan, tokenizer, asked)
    _check_folders(plan, inputs)
    return plan


def _write(
    tokenizer: SignalTokenizer, out: Path, inputs: ShardInputs, asked: dict[str, Any]
) -> None:
    check_new_folder(out, overwrite=True)
    source, limit, shards = inputs.whole(), asked["limit"], asked["shards"]
    total = len(source) if limit is None else min(limit, len(source))
    if shards > total:
        raise OptionError(
            f"--shards: expected at most {total}, a signal for each, got {shards}; lower it"
        )
    with output_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    if holds_something(out) and not (out / PLAN).exists():
        check_new_folder(out, overwrite=False)
    facts = PlanFacts(
        **asked,
        signal=tokenizer.signal.kind,
        fingerprint=tokenizer.code_names().written,
        signals=total,
        root=None if source.root is None else str(source.root),
        source=source.name,
        label_names=source.label_names,
        attributes={name: list(own) for name, own in source.names.items() if name != CLASS},
        folders={str(folder): _date(folder) for folder in sorted(source.folders())},
        unreadable=[list(one) for one in source.unreadable],
    )
    pieces = shared_out(source.pieces(), total, shards)
    write_plan(out, facts, pieces, source.stored_attributes())


def _check_same(plan: ShardPlan, tokenizer: SignalTokenizer, asked: Mapping[str, Any]) -> None:
    """Refuse a plan that was made by another tokenizer or with other options."""
    if not (names := tokenizer.code_names()).know(plan.facts.fingerprint):
        raise TokensError(
            f"{plan.path}: expected the plan of tokenizer {names.in_words(12)}, got one of "
            f"tokenizer {plan.facts.fingerprint[:12]}; use that one, or another folder"
        )
    for name, value in asked.items():
        found = getattr(plan.facts, name)
        if found != value:
            raise OptionError(
                f"{plan.path}: expected {_words(name)} {found}, as the plan says, got {value}; "
                "give the same, choose another folder, or start anew with --overwrite"
            )


def _words(name: str) -> str:
    return {"data": "the data", "most_broken": "--max-broken"}.get(
        name, "the options of the data" if name == "options" else f"--{name.replace('_', '-')}"
    )


def _check_folders(plan: ShardPlan, inputs: ShardInputs) -> None:
    """Refuse data that something was added to, or taken from, since the plan was made.

    The data are looked through only if the date of one of their folders has changed.
    """
    folders = plan.facts.folders
    if all(_date(Path(folder)) == date for folder, date in folders.items()):
        return
    found = inputs.whole()
    if plan.facts.limit is not None:
        return  # what is new may lie behind the limit
    for piece, planned in zip_longest(_files(found.pieces()), _files(plan.pieces())):
        if piece == planned:
            continue
        fix = "bring it back, or encode the data anew to another folder"
        if planned is not None and not os.path.exists(planned):
            got = f"none at {planned}"
        else:
            got, fix = f"{piece} too", "encode what is new apart, to another folder"
        raise ChangedInputError(
            f"{plan.facts.data}: expected the inputs that {plan.path} names, got {got}; {fix}"
        )


def _files(pieces: Any) -> Any:
    """The different paths of pieces, in order."""
    last = None
    for piece in pieces:
        if piece.path != last:
            last = piece.path
            yield last


def _end(piece: Piece) -> int:
    return piece.first + piece.count


def _date(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return -1
