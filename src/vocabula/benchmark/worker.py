"""A contestant's process: answers the messages of `contest`, one line of JSON each.

It ends when its standard input does, so a killed parent leaves none behind.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from vocabula.benchmark.memory import peak_bytes
from vocabula.benchmark.suites import SUITES
from vocabula.benchmark.task import Settings, Task
from vocabula.files import one_line


class Worker:
    """The state between messages: one task, and what its last run returned."""

    def __init__(self) -> None:
        self._task: Task | None = None
        self._settings = Settings(threads=1)
        self._result: Any = None
        self._last = math.inf

    def _ready(self) -> Task:
        if self._task is None:
            raise RuntimeError("task: expected one prepared, got none; send prepare first")
        return self._task

    def prepare(
        self, suite: str, contestant: str, values: dict[str, Any], settings: dict[str, Any]
    ) -> dict[str, Any]:
        """Build the task and warm it up: inputs, index, thread pools and code."""
        self._task = self._result = None  # free the former task's memory first
        self._settings = Settings(**settings)
        self._task = task = SUITES[suite].task(contestant, values, self._settings)
        _set_threads(self._settings.threads)
        warm = task.warm or task.run
        started = time.perf_counter()
        warm()
        if time.perf_counter() - started < 1:
            warm()
        self._last = math.inf
        return {"note": task.note}

    def turn(self, seconds: float) -> dict[str, Any]:
        """Run for at least `seconds` and at least once; gives the median of the calls."""
        task = self._ready()
        times: list[float] = []
        if self._last < seconds:
            self._result = None
            task.run()  # wakes the threads and fills the caches that others have used meanwhile
        busy = time.process_time()
        while sum(times) < seconds or not times:
            self._result = None
            started = time.perf_counter()
            self._result = task.run()
            times.append(time.perf_counter() - started)
        self._last = statistics.median(times)
        busy = (time.process_time() - busy) / sum(times)
        return {"seconds": self._last, "calls": len(times), "busy": busy}

    def check(self) -> dict[str, Any]:
        """Look at the last result."""
        return self._ready().check(self._result)

    def memory(self) -> dict[str, Any]:
        """Measure the peak memory of one run, after the warming up."""
        task, self._result = self._ready(), None
        peak = peak_bytes(task.run, task.output_bytes, self._settings.device)
        return {"peak_bytes": None if peak is None else peak + task.held_bytes}


def _set_threads(threads: int) -> None:
    """Set the number of threads of the libraries that the task has loaded."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    if "faiss" in sys.modules:
        sys.modules["faiss"].omp_set_num_threads(threads)


def main() -> None:
    """Answer until the input ends."""
    # Whatever a library prints goes to standard error, not between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    worker = Worker()
    verbs: dict[str, Callable[..., dict[str, Any]]] = {
        "prepare": worker.prepare,
        "turn": worker.turn,
        "check": worker.check,
        "memory": worker.memory,
    }
    for line in sys.stdin:
        message = json.loads(line)
        try:
            answer = verbs[message["do"]](**message["with"])
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {one_line(str(error))}"[:300]}
        with contextlib.suppress(BrokenPipeError):
            answers.write(json.dumps(answer) + "\n")
            answers.flush()


if __name__ == "__main__":
    main()
