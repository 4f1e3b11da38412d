"""Works through a plan that is there; without torch, unless this process is to encode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vocabula.data.shard_plan import ShardPlan
from vocabula.errors import DataError, Interrupted, plural
from vocabula.evaluation.counting import counted
from vocabula.pipelines.shard_engines import Engine, Opened, Packed, ShardQueue, ShardWork
from vocabula.pipelines.shard_folder import ShardFolder


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


def run_shards(
    folder: Path,
    what: Opened | Packed,
    engine: Engine,
    *,
    worker: tuple[int, int] = (0, 1),
    workers: int | None = None,
    progress: bool = False,
) -> Sharded:
    """Encode the shards of a folder's plan that are not finished.

    Args:
        folder: the folder of tokens.
        what: the plan's tokenizer and data.
        engine: who encodes.
        worker: (i, n): the shards k with k mod n = i.
        workers: threads that decode ahead, in each process that encodes.
        progress: show a progress bar on a terminal.

    Raises:
        TokensError: a part is of another tokenizer or plan, or was changed.
        DataError: an input has changed, or shards were set aside.
        EngineError: the engine's cluster is not there, or its processes keep ending.
        OutputError: the disk is full, or the folder cannot be written.
        Interrupted: SIGINT or SIGTERM came; finished parts are kept.
    """
    plan = ShardPlan(folder)
    parts = ShardFolder(folder, plan)
    parts.look()
    mine = [k for k in range(worker[0], len(plan), worker[1]) if not parts.finished[k]]
    total = sum(int(n) for n in plan.counts()[mine]) * plan.facts.crops
    queue = ShardQueue(parts, mine)
    try:
        signals = 0
        if mine:
            with counted("encoding", total, show=progress) as advance:
                work = ShardWork(what, parts, workers)
                signals = engine.encode(work, queue, advance)
        complete = parts.close()
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted: {int(parts.finished.sum())} of {plural(len(plan), 'part')} finished and "
            "kept; run the command again to go on"
        ) from None
    if queue.aside:
        raise _set_aside(parts, queue.aside)
    return Sharded(len(plan), int(parts.finished.sum()), signals, complete)


def _set_aside(parts: ShardFolder, failed: Mapping[int, str]) -> DataError:
    numbers = ", ".join(map(str, list(failed)[:5])) + (", ..." if len(failed) > 5 else "")
    first, reason = next(iter(failed.items()))
    return DataError(
        f"{parts.path}: expected every shard to be encoded, got {plural(len(failed), 'shard')} set "
        f"aside after {parts.tries(first)} tries: {numbers} ({reason.rstrip('.')}); "
        f"{int(parts.finished.sum())} of {len(parts.plan)} parts are kept, run the command again "
        "after mending it"
    )
