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


def two_workers(folder: Path, turns: int = 3) -> dict[str, Any]:
    """How many times as fast two processes are as one.

    By CPU time: that of one process over that of the longer of two that run at once. It is the
    speed of a machine with two free cores, also where other programs use them.
    """
    made, data = tokenizer(128), pictures(folder / "many", 800)

    def encode(turn: int, workers: int, number: int) -> None:
        warnings.simplefilter("ignore")
        out = folder / f"{turn}-{workers}"
        encode_shards(made, data, out, shards=SHARDS, worker=(number, workers), workers=0)

    def seconds(turn: int, workers: int) -> tuple[float, float]:
        """CPU seconds of the longest worker, and seconds by the clock."""
        start = time.perf_counter()
        processes = [forked(lambda n=n: encode(turn, workers, n)) for n in range(workers)]
        ends = [os.wait4(process, 0) for process in processes]
        assert not any(code for _, code, _ in ends), ends
        longest = max(used.ru_utime + used.ru_stime for _, _, used in ends)
        return longest, time.perf_counter() - start

    pairs = [(seconds(turn, 1), seconds(turn, 2)) for turn in range(turns + 1)][1:]
    same = content(folder / "1-1") == content(folder / "1-2")
    return {
        "shards": SHARDS,
        "same": same,
        "cpu_seconds_of_one": round(statistics.median(one[0] for one, _ in pairs), 2),
        "times_as_fast_by_cpu_time": round(
            statistics.median(one[0] / two[0] for one, two in pairs), 2
        ),
        "times_as_fast_by_the_clock": round(
            statistics.median(one[1] / two[1] for one, two in pairs), 2
        ),
    }


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
