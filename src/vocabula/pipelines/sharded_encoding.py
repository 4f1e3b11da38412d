"""Encodes data shard by shard: resumable, by any number of processes, each signal exactly once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vocabula.data import Cut
from vocabula.data.shard_plan import PARQUET, PLAN, ShardPlan
from vocabula.data.token_tables import FORMATS
from vocabula.errors import OptionError
from vocabula.pipelines.encode import check_codes
from vocabula.pipelines.rate_search import spending
from vocabula.pipelines.shard_engines import Engine, InThisProcess, Opened
from vocabula.pipelines.shard_folder import clear_shards
from vocabula.pipelines.shard_planning import ShardInputs, make_plan
from vocabula.pipelines.shard_running import Sharded, run_shards
from vocabula.tokenizers import SignalTokenizer


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
    quality: float | None = None,
    most_broken: float = 0.1,
    format: str = PARQUET,
    overwrite: bool = False,
    progress: bool = False,
    engine: Engine | None = None,
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
        quality: see `encode_dataset`.
        most_broken: share of a shard's signals that may be broken; one always may, unless it is 0.
        format: of the parts: ``parquet``, or ``webdataset`` for tars.
        overwrite: remove the plan and the parts that `out` holds; only as the only worker.
        progress: show a progress bar on a terminal.
        engine: who encodes, such as a `RayEngine`; None for this process. With an engine there is
            one worker, and `workers` counts for each process of the engine.

    Returns:
        What was done; `complete` says whether all shards are finished.

    Raises:
        OptionError: the tokenizer has no codes, or options do not fit each other or the plan.
        TokensError: the plan or a part is of another tokenizer, of other data, or was changed.
        DataError: an input has changed, or shards were set aside after `TRIES` failures, in all
            starts together.
        EngineError: the engine's cluster is not there, or its processes keep ending.
        OutputError: the disk is full, or the folder cannot be written.
        Interrupted: SIGINT or SIGTERM came; finished parts are kept.
    """
    _check_worker(worker, overwrite)
    if engine is not None and worker != (0, 1):
        raise OptionError(
            f"--worker: expected none with an engine, got {worker[0]}/{worker[1]}; leave it out, "
            "the engine shares the shards out"
        )
    engine = engine or InThisProcess()
    engine.check()
    inputs = plan_shards(
        tokenizer,
        data,
        out,
        shards=shards,
        options=options,
        cut=cut,
        limit=limit,
        batch_size=batch_size,
        quality=quality,
        most_broken=most_broken,
        format=format,
        overwrite=overwrite,
    )
    what = Opened(tokenizer, inputs)
    return run_shards(Path(out), what, engine, worker=worker, workers=workers, progress=progress)


def plan_shards(
    tokenizer: SignalTokenizer,
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    shards: int,
    options: Mapping[str, Any] | None = None,
    cut: Cut | None = None,
    limit: int | None = None,
    batch_size: int | None = None,
    quality: float | None = None,
    most_broken: float = 0.1,
    format: str = PARQUET,
    overwrite: bool = False,
) -> ShardInputs:
    """Check what `encode_shards` is asked for and make the plan, unless it is there; its data.

    Args:
        tokenizer: see `encode_shards`, as for all others.
        data: to encode.
        out: the folder.
        shards: how many.
        options: of the data.
        cut: of pictures.
        limit: of signals.
        batch_size: of signals.
        quality: of the codes.
        most_broken: share of signals.
        format: of the parts.
        overwrite: start anew.

    Raises:
        VocabulaError: see `encode_shards`.
    """
    check_codes(tokenizer)
    spending(tokenizer, quality, None)  # refuses what does not fit
    _check(shards, most_broken, format)
    folder, place = Path(out), os.fspath(data)
    if overwrite and (folder / PLAN).exists():
        ShardPlan(folder)  # a foreign folder is refused, whatever its files are called
        clear_shards(folder)
    own = dict(options or {})
    inputs = ShardInputs(tokenizer.signal, place, own, cut)
    make_plan(
        tokenizer,
        place,
        folder,
        shards=shards,
        inputs=inputs,
        options=own,
        batch_size=batch_size,
        limit=limit,
        cut=cut,
        quality=quality,
        most_broken=most_broken,
        format=format,
    )
    return inputs


def _check_worker(worker: tuple[int, int], overwrite: bool) -> None:
    number, count = worker
    if not 0 <= number < count:
        raise OptionError(
            f"--worker: expected I/N with I from 0 to N - 1, got {number}/{count}; the workers "
            "of 2 are 0/2 and 1/2"
        )
    if overwrite and count > 1:
        raise OptionError(
            f"--overwrite: expected a single worker, got {count}, which would remove each other's "
            "parts; start one worker alone with it, or choose another folder"
        )


def _check(shards: int, most_broken: float, format: str) -> None:
    if shards < 1:
        raise OptionError(f"--shards: expected an integer >= 1, got {shards}; raise it")
    if not 0 <= most_broken <= 1:
        raise OptionError(f"--max-broken: expected a share in [0, 1], got {most_broken:g}; try 0.1")
    if format not in FORMATS:
        raise OptionError(f"--format: expected {' or '.join(FORMATS)}, got {format}; choose one")
