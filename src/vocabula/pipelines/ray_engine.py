"""Encodes shards by a pool of Ray's actors, which grows and shrinks with the work."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vocabula.data.image_problems import DataWarning
from vocabula.errors import EngineError, OptionError
from vocabula.files import one_line
from vocabula.pipelines.ray_actor import Outcome, ShardActor
from vocabula.pipelines.ray_cluster import check_installed, connected, find_cluster, import_ray
from vocabula.pipelines.shard_engines import ShardQueue, ShardWork

DEATHS = 10
"""So many deaths of actors in a row, without a shard between them, end the encoding."""

_TICK, _GRACE = 0.5, 10.0  # seconds between two looks; for actors that are asked to stop
_ASIDE = "progress"  # name of the group of calls that do not wait for the shard


class RayEngine:
    """Ray schedules the shards: actors hold the tokenizer once each and write the parts.

    Plan, parts and manifest are those of `InThisProcess`. An actor that dies is replaced and its
    shard encoded again, which does not count as a failure of the shard.

    Args:
        actors: fewest and most actors. Those of the first number are asked for at once, more as
            long as shards wait and Ray grants what they need. None: no upper bound but the shards.
        cpus: processors of an actor, and threads of torch in it.
        gpus: of an actor, such as 1 or 0.5; with some it encodes on a GPU.

    Raises:
        OptionError: Ray is not installed, or a number is out of range.
    """

    def __init__(
        self, *, actors: tuple[int, int | None] = (1, None), cpus: float = 1, gpus: float = 0
    ) -> None:
        least, most = actors
        if least < 1 or (most is not None and most < least):
            raise OptionError(
                f"--actors: expected LEAST..MOST with 1 <= LEAST <= MOST, got {least}..{most}; try "
                "1..8"
            )
        for name, value, low in (("cpus", cpus, "above 0"), ("gpus", gpus, "0 or more")):
            if not 0 <= value < float("inf") or (name == "cpus" and value == 0):
                raise OptionError(
                    f"--actor-{name}: expected a number that is {low}, got {value:g}; try 1"
                )
        check_installed()
        self.least, self.most, self.cpus, self.gpus = least, most, cpus, gpus

    def check(self) -> None:
        """Refuse a cluster that does not answer.

        Raises:
            EngineError: no cluster is at ``RAY_ADDRESS``.
        """
        if not import_ray().is_initialized():
            find_cluster()

    def encode(self, work: ShardWork, queue: ShardQueue, advance: Callable[[int], None]) -> int:
        """See `Engine`.

        Raises:
            EngineError: the cluster refuses, or actors keep dying.
            OptionError: this machine has too little for an actor.
        """
        with connected() as (ray, local):
            self._check_room(ray, local)
            return ActorPool(ray, self, work, queue, advance).run()

    def _check_room(self, ray: Any, local: bool) -> None:
        """Refuse what this machine can never give; of a cluster, which may grow, say it."""
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if any(n.get("CPU", 0) >= self.cpus and n.get("GPU", 0) >= self.gpus for n in nodes):
            return
        most = {name: max(n.get(name, 0) for n in nodes) for name in ("CPU", "GPU")}
        got = f"{self.cpus:g} CPUs and {self.gpus:g} GPUs"
        has = f"{most['CPU']:g} CPUs and {most['GPU']:g} GPUs"
        if local:
            raise OptionError(
                f"--actor-cpus, --actor-gpus: expected at most what this machine has, {has}, got "
                f"{got}; lower them"
            )
        warnings.warn(
            f"no node has room for an actor of {got} ({has} at most); it waits until one has",
            DataWarning,
            stacklevel=2,
        )


@dataclass(eq=False, slots=True)
class Actor:
    """An actor as its driver sees it: what it encodes, and how far it said to be."""

    handle: Any
    shard: int | None = None  # None until it is ready
    counted: int = 0
    asked: Any = None  # its answer on progress, which is under way


class ActorPool:
    """The actors of one encoding; see `RayEngine`.

    Args:
        ray: the package, connected.
        engine: bounds and sizes.
        work: what encoding takes.
        queue: the shards.
        advance: takes numbers of signals.
    """

    def __init__(
        self,
        ray: Any,
        engine: RayEngine,
        work: ShardWork,
        queue: ShardQueue,
        advance: Callable[[int], None],
    ) -> None:
        self._ray, self._engine, self._queue, self._advance = ray, engine, queue, advance
        self._folder, self._plan = work.folder, work.folder.plan
        self._counts = self._plan.counts() * self._plan.facts.crops
        self._tasks: dict[Any, Actor] = {}
        self._made, self._deaths, self.signals = 0, 0, 0
        self._class = ray.remote(concurrency_groups={_ASIDE: 1})(ShardActor)
        threads = max(1, int(engine.cpus))
        self._how = {
            "device": "cuda" if engine.gpus else "cpu",
            "threads": threads,
            "workers": threads if work.workers is None else work.workers,
        }
        what = ray.put(work.what.packed().content)
        self._arguments = ([what], str(self._folder.path.resolve()), self._plan.id)

    def run(self) -> int:
        """Encode until no shard waits; returns codes of how many signals were written."""
        try:
            self._grow()
            while self._tasks:
                done, _ = self._ray.wait([*self._tasks], num_returns=1, timeout=_TICK)
                for task in done:
                    self._take(task)
                self._grow()
                self._shrink()
                self._look()
        finally:
            self._close()
        return self.signals

    def _grow(self) -> None:
        """Ask for actors: the fewest at once, then as many again as have been granted."""
        running = len(self._tasks)
        starting = sum(actor.shard is None for actor in self._tasks.values())
        wanted = running - starting + len(self._queue)
        if self._engine.most is not None:
            wanted = min(wanted, self._engine.most)
        room = max(self._engine.least - running, max(1, running - starting) - starting)
        for _ in range(min(room, wanted - running)):
            self._start()

    def _start(self) -> None:
        name, engine = f"vocabula {self._plan.id} {self._made}", self._engine
        self._made += 1
        options = {"name": name, "num_cpus": engine.cpus, "num_gpus": engine.gpus}
        handle = self._class.options(**options).remote(name, *self._arguments, **self._how)
        self._tasks[handle.ready.options(name="load the tokenizer").remote()] = Actor(handle)

    def _take(self, task: Any) -> None:
        """What an actor has done, and its next shard."""
        actor, errors = self._tasks.pop(task), self._ray.exceptions
        try:
            outcome = self._ray.get(task)
        except errors.RayTaskError:
            self._ray.kill(actor.handle)
            raise
        except errors.RayError as error:
            self._bury(actor, error)
            return
        if outcome.stop is not None:
            self._ray.kill(actor.handle)
            raise outcome.stop
        if actor.shard is not None:
            self._note(actor, actor.shard, outcome)
        if (number := self._queue.take()) is None:
            self._ray.kill(actor.handle)
            return
        actor.shard, actor.counted, actor.asked = number, 0, None
        name = f"shard {number} of {self._folder.path.name}"
        self._tasks[actor.handle.encode.options(name=name).remote(number)] = actor

    def _note(self, actor: Actor, number: int, outcome: Outcome) -> None:
        for text in outcome.warnings:
            warnings.warn(text, DataWarning, stacklevel=2)
        self._deaths = 0
        if outcome.known is None:
            self._advance(-actor.counted)
            self._queue.fail(number, outcome.reason)
            return
        self._folder.note(number, outcome.known)
        self.signals += outcome.signals
        self._advance(int(self._counts[number]) - actor.counted)

    def _bury(self, actor: Actor, error: Exception) -> None:
        """Let the shard of an actor that has died be encoded again.

        Raises:
            EngineError: too many have died in a row.
        """
        self._ray.kill(actor.handle)
        if actor.shard is not None:
            self._advance(-actor.counted)
            self._queue.put_back(actor.shard)
        self._deaths += 1
        if self._deaths >= DEATHS:
            raise EngineError(
                f"Ray: expected actors that encode, got {DEATHS} that died in a row "
                f"({one_line(str(error))[:200]}); see Ray's logs, finished parts are kept"
            )

    def _shrink(self) -> None:
        """Take back what was asked for, when no shard waits any more."""
        if len(self._queue):
            return
        for task, actor in [*self._tasks.items()]:
            if actor.shard is None:
                del self._tasks[task]
                self._ray.kill(actor.handle)

    def _look(self) -> None:
        """Ask the actors how far they are; take the answers that have come."""
        for actor in self._tasks.values():
            if actor.shard is None:
                continue
            if actor.asked is None:
                group = actor.handle.progress.options(concurrency_group=_ASIDE)
                actor.asked = group.remote()
            elif self._ray.wait([actor.asked], timeout=0)[0]:
                self._answer(actor)

    def _answer(self, actor: Actor) -> None:
        answer, actor.asked = actor.asked, None
        try:
            shard, count = self._ray.get(answer)
        except self._ray.exceptions.RayError:
            return  # the shard tells as much
        if shard == actor.shard:
            self._advance(count - actor.counted)
            actor.counted = count

    def _close(self) -> None:
        """End all actors; those that are in the middle of a shard drop it first."""
        left = {task: actor for task, actor in self._tasks.items() if actor.shard is not None}
        for actor in left.values():
            actor.handle.stop.options(concurrency_group=_ASIDE).remote()
        if left:
            self._ray.wait([*left], num_returns=len(left), timeout=_GRACE)
        for actor in self._tasks.values():
            self._ray.kill(actor.handle)
