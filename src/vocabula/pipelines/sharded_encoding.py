"""Encodes data shard by shard: resumable, by any number of processes, each signal exactly once."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vocabula.data import Cut, Source
from vocabula.data.pieces import ChangedInputError
from vocabula.data.shard_plan import PLAN, Shard, ShardPlan
from vocabula.data.token_writer import TokenWriter
from vocabula.errors import DataError, Interrupted, OptionError, OutputError, VocabulaError, plural
from vocabula.evaluation.batches import counted, read_batches
from vocabula.files import new_file, one_line, output_errors
from vocabula.pipelines.encode import check_codes, encode_batches
from vocabula.pipelines.shard_folder import ShardFolder, clear_shards
from vocabula.pipelines.shard_planning import ShardInputs, make_plan
from vocabula.tokenizers import SignalTokenizer
from vocabula.tokenizers.inference import device_of, inference

TRIES = 3
"""How often a shard may fail before it is set aside."""


@dataclass(frozen=True, slots=True)
class Sharded:
    """What a process has done, and what there is.

    Attributes:
        shards: of the plan.
        finished: how many of them are finished, by any process.
        signals: codes of how many signals this process has written.
        complete: whether all shards are finished; then the manifest is there.
    """

    shards: int
    finished: int
    signals: int
    complete: bool


def encode_shards(
    tokenizer: SignalTokenizer,
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    shards: int,
    worker: tuple[int, int] = (0, 1),
    options: Mapping[str, Any] | None = None,
    cut: Cut | None = None,
    limit: int | None = None,
    batch_size: int | None = None,
    workers: int | None = None,
    most_broken: float = 0.1,
    overwrite: bool = False,
    progress: bool = False,
) -> Sharded:
    """Encode data to a folder of parts, each the codes of one shard; go on where others stopped.

    The plan of the first process says which inputs each shard has. A part is a function of the plan
    and the tokenizer, on the same device and build of torch. It is written under a hidden name and
    renamed when it is on the disk, so processes may be killed, start again, or work on the same
    shard. Shard k is that of worker k mod n; the shards of a lost worker are done by any other
    that is given them.

    Args:
        tokenizer: a tokenizer with a codebook.
        data: as for the kind's `SignalData.open`, such as a folder of pictures.
        out: the folder; it holds a plan of the same data and options, or nothing.
        shards: how many parts there will be.
        worker: (i, n): this process is worker i of n, counted from 0.
        options: of the kind's `SignalData`, such as ``{"strict": True}``.
        cut: encode squares of pictures instead of whole ones.
        limit: encode the first `limit` signals only; with `cut`, pictures.
        batch_size: most signals of a batch; batches never cross shards.
        workers: threads that decode ahead; None takes one for each core.
        most_broken: share of a shard's signals that may be broken; one always may, unless it is 0.
        overwrite: remove the plan and the parts that `out` holds; only as the only worker.
        progress: show a progress bar on a terminal.

    Returns:
        What was done; `complete` says whether all shards are finished.

    Raises:
        OptionError: the tokenizer has no codes, or options do not fit each other or the plan.
        TokensError: the plan or a part is of another tokenizer, of other data, or was changed.
        DataError: an input has changed, or shards were set aside after `TRIES` failures.
        OutputError: the disk is full, or the folder cannot be written.
        Interrupted: SIGINT or SIGTERM came; finished parts are kept.
    """
    check_codes(tokenizer)
    _check(worker, shards, most_broken, overwrite)
    folder, place = Path(out), os.fspath(data)
    if overwrite and (folder / PLAN).exists():
        ShardPlan(folder)  # a foreign folder is refused, whatever its files are called
        clear_shards(folder)
    own = dict(options or {})
    inputs = ShardInputs(tokenizer.signal, place, own, cut)
    plan = make_plan(
        tokenizer,
        place,
        folder,
        shards=shards,
        inputs=inputs,
        options=own,
        batch_size=batch_size,
        limit=limit,
        cut=cut,
        most_broken=most_broken,
    )
    parts = ShardFolder(folder, plan)
    parts.look()
    encoder = ShardEncoder(tokenizer, inputs, parts, workers=workers)
    mine = [k for k in range(worker[0], len(plan), worker[1]) if not parts.finished[k]]
    total = sum(int(n) for n in plan.counts()[mine]) * plan.facts.crops
    try:
        with inference(tokenizer), counted("encoding", total, show=progress) as advance:
            failed = _encode_all(encoder, mine, advance)
        complete = parts.close()
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted: {int(parts.finished.sum())} of {plural(len(plan), 'part')} finished and "
            "kept; run the command again to go on"
        ) from None
    if failed:
        raise _set_aside(parts, failed)
    return Sharded(len(plan), int(parts.finished.sum()), encoder.signals, complete)


class ShardEncoder:
    """Encodes single shards of a plan; for loops and schedulers of one's own.

    Args:
        tokenizer: the plan's tokenizer, in inference.
        inputs: the plan's data.
        folder: the parts.
        workers: threads that decode ahead; None takes one for each core.

    Attributes:
        signals: codes of how many signals it has written.
    """

    def __init__(
        self,
        tokenizer: SignalTokenizer,
        inputs: ShardInputs,
        folder: ShardFolder,
        *,
        workers: int | None = None,
    ) -> None:
        self._tokenizer, self._inputs, self.folder = tokenizer, inputs, folder
        self._workers, self.signals = workers, 0

    def encode(self, number: int, advance: Callable[[int], None] = lambda count: None) -> None:
        """Write the part of a shard, and the table of its broken signals if it has any.

        Raises:
            DataError: more signals are broken than the plan allows, or an input has changed.
            OutputError: the disk is full.
        """
        plan, folder = self.folder.plan, self.folder
        shard = plan.shard(number)
        source = self._inputs.of(shard, plan.facts.root)
        writer, done = self._writer(plan, number), np.empty(0, np.int64)
        try:
            with writer:
                done = self._write(shard, source, writer, advance)
                self._write_broken(shard, source, done)
        except OutputError:
            if not folder.part(number).exists():
                raise
            # another process has finished the same shard, and has cleared hidden files away
        folder.add(number)
        folder.failed(number).unlink(missing_ok=True)
        self.signals += len(done)

    def _writer(self, plan: ShardPlan, number: int) -> TokenWriter:
        facts, tokenizer = plan.facts, self._tokenizer
        return TokenWriter(
            self.folder.part(number),
            fingerprint=facts.fingerprint,
            levels=[level.spec for level in tokenizer.levels],
            signal=facts.signal,
            source=facts.source,
            label_names=facts.label_names,
            attributes=facts.attributes,
            crops=facts.crops,
            part={"plan": plan.id, "shard": number},
            overwrite=True,
        )

    def _write(
        self, shard: Shard, source: Source, writer: TokenWriter, advance: Callable[[int], None]
    ) -> NDArray[np.int64]:
        """Encode the signals; returns the indices of those that could be read."""
        facts = self.folder.plan.facts
        batches = read_batches(
            source,
            batch_size=facts.batch_size,
            workers=self._workers,
            device=device_of(self._tokenizer),
        )
        values, crops, found = shard.values, facts.crops, [np.empty(0, np.int64)]

        def known(indices: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
            return {name: own[indices // crops] for name, own in (values or {}).items()}

        chosen = None if values is None else known
        coded = encode_batches(self._tokenizer, source, batches, writer, chosen)
        try:
            with closing(coded) as parts:
                for indices in parts:
                    found.append(indices)
                    advance(len(indices))
        except DataError:
            if len(found) > 1 or facts.most_broken < 1:
                raise  # else all may be broken, and are
        return np.concatenate(found)

    def _write_broken(self, shard: Shard, source: Source, done: NDArray[np.int64]) -> None:
        facts, place = self.folder.plan.facts, self.folder.broken(shard.number)
        lost = np.setdiff1d(np.arange(len(source)), done)
        broken = [source.left_out(index) for index in lost.tolist()]
        share = facts.most_broken
        if len(lost) > max(share * len(source), float(share > 0)):
            raise DataError(
                f"shard {shard.number}: expected at most {share:.3g} of {len(source)} signals to "
                f"be broken, got {len(lost)} (such as {': '.join(broken[0])}); repair them or "
                "raise --max-broken"
            )
        if shard.number == 0:
            broken = [*map(tuple, facts.unreadable), *broken]  # type: ignore[list-item]
        if not broken:
            place.unlink(missing_ok=True)
            return
        columns = dict(zip(("path", "reason"), zip(*broken, strict=True), strict=True))
        table = pa.table({name: pa.array(map(_text, own)) for name, own in columns.items()})
        with output_errors(place), new_file(place, overwrite=True) as hidden:
            pq.write_table(table, hidden, compression="zstd")


def _text(value: str) -> str:
    return value.encode(errors="replace").decode()


def _encode_all(
    encoder: ShardEncoder, shards: Sequence[int], advance: Callable[[int], None]
) -> dict[int, str]:
    """Encode shards, those that fail again after the others; the reasons of those set aside."""
    waiting, tries, failed = deque(shards), dict.fromkeys(shards, 0), dict[int, str]()
    while waiting:
        number = waiting.popleft()
        if encoder.folder.is_finished(number):
            continue
        try:
            encoder.encode(number, advance)
        except (ChangedInputError, OutputError):
            raise
        except (VocabulaError, OSError, RuntimeError, MemoryError) as error:
            tries[number] += 1
            if tries[number] < TRIES:
                waiting.append(number)
                continue
            failed[number] = one_line(str(error) or type(error).__name__)
            encoder.folder.set_aside(number, TRIES, failed[number])
    return failed


def _set_aside(parts: ShardFolder, failed: Mapping[int, str]) -> DataError:
    numbers = ", ".join(map(str, list(failed)[:5])) + (", ..." if len(failed) > 5 else "")
    reason = next(iter(failed.values())).rstrip(".")
    return DataError(
        f"{parts.path}: expected every shard to be encoded, got {plural(len(failed), 'shard')} set "
        f"aside after {TRIES} tries: {numbers} ({reason}); {int(parts.finished.sum())} of "
        f"{len(parts.plan)} parts are kept, run the command again after mending it"
    )


def _check(worker: tuple[int, int], shards: int, most_broken: float, overwrite: bool) -> None:
    number, count = worker
    if not 0 <= number < count:
        raise OptionError(
            f"--worker: expected I/N with I from 0 to N - 1, got {number}/{count}; the workers "
            "of 2 are 0/2 and 1/2"
        )
    if shards < 1:
        raise OptionError(f"--shards: expected an integer >= 1, got {shards}; raise it")
    if not 0 <= most_broken <= 1:
        raise OptionError(f"--max-broken: expected a share in [0, 1], got {most_broken:g}; try 0.1")
    if overwrite and count > 1:
        raise OptionError(
            f"--overwrite: expected a single worker, got {count}, which would remove each other's "
            "parts; start one worker alone with it, or choose another folder"
        )
