"""Reading ahead: threads work on the next items while the caller is busy with earlier ones."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

from vocabula.budgets import AHEAD_PIXELS

Task = TypeVar("Task")
Result = TypeVar("Result")

_SPARE_TASKS = 16  # ready results besides those under way: several batches, at any speed


def cores() -> int:
    """How many cores this process may use."""
    has_affinity = hasattr(os, "sched_getaffinity")  # macOS and Windows do not say
    return len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1


def local_processes() -> int:
    """How many processes of a run share this machine, according to their launcher."""
    words = os.environ.get("LOCAL_WORLD_SIZE", os.environ.get("WORLD_SIZE", "1"))
    return int(words) if words.isdigit() and int(words) > 0 else 1


def default_workers() -> int:
    """One worker for each core that this process may use, 16 at most."""
    return min(16, cores())


def map_ahead(
    function: Callable[[Task], Result],
    tasks: Iterable[tuple[Task, int]],
    *,
    workers: int,
    overlap: bool = True,
    most: int | None = None,
) -> Generator[Result, None, None]:
    """``function(task)`` of every task, in order, computed by threads ahead of use.

    Threads suffice where the work releases Python's lock, as Pillow's decoders and NumPy's copies
    do. The tasks under way, or done and not yet taken, have at most `AHEAD_PIXELS` pixels together;
    a single task may have more. Close the iterator to stop the threads before its end.

    Args:
        function: called in any thread; what it raises is raised here, at its task's turn.
        tasks: (task, pixels) pairs; iterated in the caller's thread, no further than needed.
        workers: number of threads; 0 calls `function` in the caller's thread.
        overlap: go on while the caller is busy with results. False: work only while the caller
            waits for more, which is faster if the caller keeps all cores busy: taking a core from
            one of its threads would make all of them wait.
        most: tasks that are under way, or done and not yet taken; None for 16 + 2 `workers`.

    Yields:
        The results, in the order of the tasks.
    """
    if workers == 0:
        for task, _ in tasks:
            yield function(task)
        return
    waiting: deque[tuple[Future[Result], int]] = deque()
    most, pixels = most or _SPARE_TASKS + 2 * workers, 0
    pool = ThreadPoolExecutor(workers, thread_name_prefix="vocabula-read")
    try:
        for task, size in tasks:
            if len(waiting) == most or pixels + size > AHEAD_PIXELS:
                if not overlap:
                    wait([future for future, _ in waiting])
                leave = most - 1 if overlap else 0
                while waiting and (len(waiting) > leave or pixels + size > AHEAD_PIXELS):
                    taken = waiting[0][1]
                    yield waiting.popleft()[0].result()  # without a name that keeps the result
                    pixels -= taken
            waiting.append((pool.submit(function, task), size))
            pixels += size
        if not overlap:
            wait([future for future, _ in waiting])
        while waiting:
            yield waiting.popleft()[0].result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
