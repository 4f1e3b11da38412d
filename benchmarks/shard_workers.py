"""Two workers beside one, and Ray."""

from __future__ import annotations

import contextlib
import os
import signal
import statistics
import time
import warnings
from pathlib import Path
from typing import Any

import psutil
from shard_cases import content, forked, pictures, tokenizer

from vocabula.pipelines import RayEngine, encode_shards
from vocabula.pipelines.ray_cluster import connected
from vocabula.pipelines.ray_engine import ActorPool

SHARDS = 16


def two_workers(folder: Path) -> dict[str, Any]:
    """Shards of a third of a second, three times: what start and end of a process weigh."""
    return _compared(folder, 50, turns=3)


def long_shards(folder: Path) -> dict[str, Any]:
    """Shards of several seconds, once: some three minutes."""
    return _compared(folder, 700, turns=1)


def _compared(folder: Path, count: int, *, turns: int) -> dict[str, Any]:
    """How many times as fast two processes are as one, with shards of `count` pictures.

    By the clock, and by CPU time: that of one process over that of the longer of two. Two that run
    one after another show how evenly the work is divided; two at once also how far cores slow each
    other down.
    """
    made, data = tokenizer(128), pictures(folder / "many", SHARDS * count)

    def encode(name: str, workers: int, number: int) -> None:
        warnings.simplefilter("ignore")
        out = folder / name
        encode_shards(made, data, out, shards=SHARDS, worker=(number, workers), workers=0)

    def seconds(name: str, workers: int, at_once: bool = True) -> tuple[float, float, float]:
        """CPU seconds of the longest worker and of all, and seconds by the clock."""
        start, ends = time.perf_counter(), []
        for batch in [range(workers)] if at_once else [[n] for n in range(workers)]:
            processes = [forked(lambda n=n: encode(name, workers, n)) for n in batch]
            ends += [os.wait4(process, 0) for process in processes]
        assert not any(code for _, code, _ in ends), ends
        spent = [used.ru_utime + used.ru_stime for _, _, used in ends]
        return max(spent), sum(spent), time.perf_counter() - start

    def figures(turn: int) -> dict[str, float]:
        one, two = seconds(f"{turn}-one", 1), seconds(f"{turn}-two", 2)
        apart = seconds(f"{turn}-apart", 2, at_once=False) if turns > 1 else None
        return {
            "cpu_seconds_of_a_shard": one[0] / SHARDS,
            "cpu_seconds_of_one": one[1],
            "cpu_seconds_of_two_together": two[1],
            "seconds_of_one": one[2],
            "seconds_of_two": two[2],
            "times_as_fast_by_cpu_time_at_once": one[0] / two[0],
            "times_as_fast_by_the_clock": one[2] / two[2],
            **({"times_as_fast_by_cpu_time_one_after_another": one[0] / apart[0]} if apart else {}),
        }

    if turns > 1:
        seconds("warm", 1)
    found = [figures(turn) for turn in range(turns)]
    whole, others = content(folder / "0-one"), [*folder.glob("0-[ta]*")]
    middle = {name: round(statistics.median(f[name] for f in found), 2) for name in found[0]}
    same = all(content(other) == whole for other in others)
    return {"shards": SHARDS, "pictures_of_a_shard": count, "same": same, **middle}


def processor_seconds() -> float:
    """Of this process, and of those below it that still run."""
    me = psutil.Process()
    found = 0.0
    for process in (me, *me.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            found += sum(process.cpu_times()[:2])
    return found


class Killing(ActorPool):
    """A pool of which one actor is killed twice, each time with a shard that it has just got."""

    killed: list[int]
    started: float
    first: tuple[float, ...]

    def _take(self, task: Any) -> None:
        super()._take(task)
        if not self.first:
            self.first = (time.perf_counter() - self.started, processor_seconds())
        receipts = (self._folder.path / "receipts").glob("*.jsonl")
        fresh = {int(place.name.split("-")[-2]) for place in receipts} - set(self.killed)
        if fresh and len(self.killed) < 2:
            self.killed.append(fresh.pop())
            os.kill(self.killed[-1], signal.SIGKILL)


class KillingEngine(RayEngine):
    """Measures the time from the start to the first actor that has its tokenizer."""

    def encode(self, work: Any, queue: Any, advance: Any) -> int:
        start, used = time.perf_counter(), processor_seconds()
        with connected(cpus=2) as (ray, _):
            connection = time.perf_counter() - start
            pool = Killing(ray, self, work, queue, advance)
            pool.killed, pool.started, pool.first = [], start, ()
            signals = pool.run()
        self.found = {
            "kills": len(pool.killed),
            "actors": pool._made,
            "seconds_to_connect": round(connection, 2),
            "seconds_to_the_first_actor": round(pool.first[0], 2),
            "cpu_seconds_to_the_first_actor": round(pool.first[1] - used, 2),
            "seconds": round(time.perf_counter() - start, 2),
        }
        return signals


def with_ray(folder: Path, turns: int = 3) -> dict[str, Any]:
    """A Ray of its own with two CPUs, of which one actor is killed twice; three times."""
    os.environ["RAY_ADDRESS"] = "local"
    warnings.simplefilter("ignore")
    made, data = tokenizer(), pictures(folder / "pictures", 480)
    encode_shards(made, data, folder / "whole", shards=SHARDS, workers=0)
    found = []
    for turn in range(turns):
        engine, out = KillingEngine(actors=(1, 2)), folder / f"ray{turn}"
        encode_shards(made, data, out, shards=SHARDS, workers=0, engine=engine)
        same = content(out) == content(folder / "whole")
        found.append({**engine.found, "same": same})
    return {"cpus": 2, "shards": SHARDS, "runs": found}
