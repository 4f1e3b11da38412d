"""The pool of actors beside a Ray that grants so many of them at a time, without processes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vocabula.errors import EngineError, OptionError
from vocabula.pipelines.ray_actor import Outcome
from vocabula.pipelines.ray_engine import DEATHS, ActorPool, RayEngine
from vocabula.pipelines.shard_engines import Packed, ShardQueue, ShardWork

KNOWN = (1, 0, 1, 1, "")


class Death(Exception):  # noqa: N818 - Ray's own has another name
    """What Ray raises for an actor that has died."""


@dataclass(eq=False)
class Task:
    """A call that is under way."""

    call: Call
    words: tuple[Any, ...]


class Call:
    """A method of an actor that is far away."""

    def __init__(self, ray: Granting, actor: Any, name: str) -> None:
        self.ray, self.actor, self.name = ray, actor, name

    def options(self, **words: Any) -> Call:
        return self

    def remote(self, *words: Any) -> Task:
        return Task(self, words)


class Granting:
    """As much of Ray as a pool uses: it grants `room` actors at once, and the first `dying` die."""

    exceptions = SimpleNamespace(RayError=Death, RayTaskError=ZeroDivisionError)

    def __init__(self, room: int, dying: int = 0) -> None:
        self.room, self.dying = room, dying
        self.alive: list[Any] = []
        self.made, self.most, self.done = 0, 0, list[int]()

    def remote(self, **words: Any) -> Any:
        made = SimpleNamespace(remote=self.make)
        return lambda cls: SimpleNamespace(options=lambda **words: made)

    def make(self, *words: Any, **more: Any) -> Any:
        actor = SimpleNamespace()
        for name in ("ready", "encode", "progress", "stop"):
            setattr(actor, name, Call(self, actor, name))
        self.alive.append(actor)
        self.made, self.most = self.made + 1, max(self.most, len(self.alive))
        return actor

    def put(self, value: Any) -> Any:
        return value

    def kill(self, actor: Any) -> None:
        if actor in self.alive:
            self.alive.remove(actor)

    def wait(self, tasks: list[Any], num_returns: int = 1, timeout: float = 0) -> Any:
        granted = self.alive[: self.room]
        done = [task for task in tasks if task.call.actor in granted][:num_returns]
        return done, []

    def get(self, task: Any) -> Any:
        name = task.call.name
        if name == "progress":
            raise Death
        if name == "encode" and self.dying:
            self.dying -= 1
            raise Death("killed\nby nobody")
        self.done += task.words
        return Outcome(signals=1, known=KNOWN if name == "encode" else None)


class Folder:
    """A folder whose shards are noted, not written."""

    def __init__(self, shards: int) -> None:
        counts = np.ones(shards, np.int64)
        facts = SimpleNamespace(crops=1)
        self.plan = SimpleNamespace(id="p", facts=facts, counts=lambda: counts)
        self.path, self.noted = Path("tokens"), set[int]()

    def is_finished(self, shard: int) -> bool:
        return shard in self.noted

    def note(self, shard: int, known: Any) -> None:
        self.noted.add(shard)


def run(ray: Granting, shards: int, actors: tuple[int, int | None]) -> tuple[int, int]:
    """Signals that were written and signals that the bar has counted."""
    folder, counted = Folder(shards), list[int]()
    work: Any = ShardWork(Packed(b""), folder)  # type: ignore[arg-type]
    queue = ShardQueue(folder, range(shards))  # type: ignore[arg-type]
    engine = RayEngine(actors=actors)
    written = ActorPool(ray, engine, work, queue, counted.append).run()
    assert folder.noted == set(range(shards)) and not ray.alive
    return written, sum(counted)


@pytest.mark.parametrize(
    ("actors", "room", "most"),
    [
        ((1, 2), 9, 2),  # the upper bound holds
        ((1, None), 3, 6),  # as many again are asked for as were granted: 3 wait for room
        ((4, 8), 1, 4),  # the lower bound is asked for at once
        ((50, 60), 99, 20),  # never more than there are shards
    ],
)
def test_the_pool_grows_within_its_bounds(
    actors: tuple[int, int | None], room: int, most: int
) -> None:
    ray = Granting(room)
    assert run(ray, 20, actors) == (20, 20)
    assert ray.most == most and sorted(ray.done) == list(range(20))


def test_actors_that_die_are_replaced() -> None:
    ray = Granting(2, dying=DEATHS - 1)
    assert run(ray, 4, (1, 2)) == (4, 4)
    assert ray.made >= DEATHS


def test_ten_deaths_in_a_row_end_it() -> None:
    ray = Granting(2, dying=DEATHS)
    with pytest.raises(EngineError, match=r"got 10 that died in a row \(killed by nobody\)"):
        run(ray, 4, (1, 1))
    assert not ray.alive and ray.made == DEATHS


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ({"actors": (0, 2)}, r"1 <= LEAST <= MOST, got 0..2"),
        ({"actors": (3, 2)}, r"1 <= LEAST <= MOST, got 3..2"),
        ({"cpus": 0}, "--actor-cpus: expected a number that is above 0, got 0"),
        ({"gpus": -1}, "--actor-gpus: expected a number that is 0 or more, got -1"),
        ({"cpus": float("nan")}, "--actor-cpus"),
    ],
)
def test_numbers_out_of_range(words: dict[str, Any], line: str) -> None:
    with pytest.raises(OptionError, match=line):
        RayEngine(**words)
