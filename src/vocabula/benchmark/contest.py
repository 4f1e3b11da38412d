"""A contest: one process for each contestant, taking turns at the same case.

    parent    ours      faiss     cdist
      ├─turn──▶ run
      │◀────── seconds
      ├─turn────────────▶ run
      │◀─────────────── seconds             A B C A B C ..., the others idle
      ...

A process of its own gives each library its own thread pool and allocator. Idle threads spin for
some milliseconds before they sleep; each turn begins after a longer rest.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

import vocabula
from vocabula.benchmark.memory import ENVIRONMENT
from vocabula.benchmark.task import OURS, Case, Settings

REST = 0.02
YARDSTICKS = ("matmul",)
"""Contestants that are measured beside the others, but are no rivals."""


class ContestantError(Exception):
    """A contestant could not do its part; the message says why."""


class Contestant:
    """A process that holds one contestant; see `worker` for what it can be asked.

    Args:
        threads: how many threads its libraries start with.
        environment: variables it has in addition to the parent's.
    """

    def __init__(self, threads: int, environment: dict[str, str] | None = None) -> None:
        # A worker finds the package where this process did, and nothing in the current folder.
        source = str(Path(vocabula.__file__).parents[1])
        paths = [source, os.environ.get("PYTHONPATH", "")]
        pools = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-W", "ignore", "-m", "vocabula.benchmark.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # Ctrl-C is the parent's to handle
            env={
                **os.environ,
                **dict.fromkeys(pools, str(threads)),
                **(environment or {}),
                "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            },
        )

    def send(self, do: str, **arguments: Any) -> None:
        """Ask for something without waiting; `receive` takes the answer."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # `receive` says how the process ended
            self._process.stdin.write(json.dumps({"do": do, "with": arguments}) + "\n")
            self._process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        """The answer to what was sent.

        Raises:
            ContestantError: it reports an error, or its process has ended.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ContestantError(f"its process ended with code {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ContestantError(answer["error"])
        return answer

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Send and receive."""
        self.send(do, **arguments)
        return self.receive()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):  # of a message that it no longer read
                    pipe.close()


class Team:
    """The processes of a contest, started when first needed and ended together.

    Args:
        suite: the suite whose tasks they do.
        settings: what they share.
    """

    def __init__(self, suite: str, settings: Settings) -> None:
        self._suite, self._settings = suite, settings
        self._members: dict[tuple[str, bool], Contestant] = {}

    def __enter__(self) -> Team:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with ExitStack() as stack:
            for member in self._members.values():
                stack.callback(member.close)
        self._members.clear()

    def prepare(
        self, case: Case, names: Iterable[str], *, memory: bool = False
    ) -> tuple[dict[str, Contestant], dict[str, dict[str, Any]]]:
        """Let contestants prepare a case, all at once; gives those that can, and all first answers.

        Args:
            case: the case.
            names: who prepares.
            memory: use processes in which peak memory can be measured.
        """
        environment = ENVIRONMENT if memory else {}
        for name in names:
            if (name, memory) not in self._members:
                self._members[name, memory] = Contestant(self._settings.threads, environment)
        asked = {name: self._members[name, memory] for name in names}
        for name, member in asked.items():
            member.send(
                "prepare",
                suite=self._suite,
                contestant=name,
                values=case.values,
                settings=asdict(self._settings),
            )
        ready, answers = {}, {}
        for name, member in asked.items():
            try:
                answers[name] = {k: v for k, v in member.receive().items() if v}
                ready[name] = member
            except ContestantError as error:
                answers[name] = {"failed": str(error)}
                self.drop(name, memory=memory)
        return ready, answers

    def drop(self, name: str, *, memory: bool) -> None:
        """End a contestant that failed; it starts anew when it is needed again."""
        self._members.pop((name, memory)).close()


def contest(team: Team, case: Case, settings: Settings) -> dict[str, Any]:
    """Run one case: enough turns, a check, and a measurement of memory if requested.

    A rival that is far behind another takes two turns only, so that the time goes to the others.

    Returns:
        ``case``: its values; ``contestants``: by name the ``median_s`` of the turns, its quartiles
        ``lower_s`` and ``upper_s``, ``turns``, ``calls`` and what the check found, or ``failed``;
        ``best_rival`` and ``best_rival_over_ours``, the ratio of the medians, where there are two.
    """
    ready, figures = team.prepare(case, case.contestants)
    turns: dict[str, list[dict[str, Any]]] = {name: [] for name in ready}
    length, patience = (0.02, 0.5) if settings.quick else (0.05, 2.0)
    slow: set[str] = set()
    done, spent = 0, 0.0
    while done < case.most and (done < case.turns or spent < patience):
        if done == 2:
            slow, spent = _far_behind(turns), 0.0
        started = time.perf_counter()
        for name in [name for name in ready if name not in slow]:
            time.sleep(REST)
            try:
                turns[name].append(ready[name].ask("turn", seconds=length))
                if done == 0:
                    figures[name].update(ready[name].ask("check"))
            except ContestantError as error:
                figures[name] = {"failed": str(error)}
                team.drop(name, memory=False)
                del ready[name], turns[name]
        done, spent = done + 1, spent + time.perf_counter() - started
    for name in ready:
        figures[name] = {**_spread(turns[name]), **figures[name]}
    if case.memory:
        _memory(team, case, list(ready), figures)
    return {"case": case.values, "contestants": figures, **_comparison(figures)}


def _far_behind(turns: dict[str, list[dict[str, Any]]]) -> set[str]:
    """The rivals whose best turn took more than twice as long as the best rival's."""
    best = {
        name: min(turn["seconds"] for turn in taken)
        for name, taken in turns.items()
        if name not in (OURS, *YARDSTICKS)
    }
    return {name for name in best if best[name] > 2 * min(best.values())}


def _spread(turns: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Median and quartiles over turns, each the median of its calls."""
    seconds = [turn["seconds"] for turn in turns]
    lower, middle, upper = (
        statistics.quantiles(seconds, n=4, method="inclusive") if len(seconds) > 1 else seconds * 3
    )
    return {
        "median_s": middle,
        "lower_s": lower,
        "upper_s": upper,
        "turns": len(turns),
        "calls": sum(turn["calls"] for turn in turns),
        "busy_threads": statistics.median(turn["busy"] for turn in turns),
    }


def _memory(
    team: Team, case: Case, names: Iterable[str], figures: dict[str, dict[str, Any]]
) -> None:
    """Add each contestant's ``peak_bytes``, measured one after another in separate processes."""
    for name in names:
        if name in YARDSTICKS:
            continue
        ready, _ = team.prepare(case, [name], memory=True)
        try:
            if name in ready:
                figures[name].update(ready[name].ask("memory"))
        except ContestantError:
            team.drop(name, memory=True)


def _comparison(figures: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The fastest rival, and its median time over ours."""
    times = {name: found["median_s"] for name, found in figures.items() if "median_s" in found}
    rivals = {name: time for name, time in times.items() if name not in (OURS, *YARDSTICKS)}
    if OURS not in times or not rivals:
        return {}
    best = min(rivals, key=lambda name: rivals[name])
    return {"best_rival": best, "best_rival_over_ours": rivals[best] / times[OURS]}
