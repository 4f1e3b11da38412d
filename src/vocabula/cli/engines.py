"""The engine of ``vocabula encode --engine``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from vocabula.errors import OptionError

if TYPE_CHECKING:
    from vocabula.pipelines.shard_engines import Engine


def engine_of(
    name: str | None,
    actors: str | None,
    cpus: float | None,
    gpus: float | None,
    *,
    worker: str | None,
    device: str,
) -> Engine | None:
    """The engine that the options ask for; None to encode in this process.

    Args:
        name: of the engine.
        actors: fewest and most of its processes.
        cpus: processors of each.
        gpus: GPUs of each.
        worker: the ``--worker`` that is given.
        device: the ``--device`` that is given.

    Raises:
        OptionError: there is none of that name, or options do not fit each other.
    """
    own = {"--actors": actors, "--actor-cpus": cpus, "--actor-gpus": gpus}
    if name is None:
        for option, value in own.items():
            if value is not None:
                raise OptionError(
                    f"{option}: expected --engine ray with it, got {value} alone; add --engine ray"
                )
        return None
    if name != "ray":
        raise OptionError(f"--engine: expected ray, got {name}; leave it out to use no engine")
    if worker is not None:
        raise OptionError(
            f"--worker: expected none with --engine ray, got {worker}; leave it out, Ray shares "
            "the shards out"
        )
    if device != "auto":
        raise OptionError(
            f"--device: expected none with --engine ray, got {device}; --actor-gpus 1 encodes on "
            "GPUs"
        )
    from vocabula.pipelines.ray_engine import RayEngine

    return RayEngine(
        actors=bounds(actors or "1.."), cpus=1 if cpus is None else cpus, gpus=gpus or 0
    )


def bounds(words: str) -> tuple[int, int | None]:
    """The least and the most that a range of numbers names.

    Raises:
        OptionError: it is no range.

    Example:
        >>> bounds("1..8"), bounds("4"), bounds("2..")
        ((1, 8), (4, 4), (2, None))
    """
    found = re.fullmatch(r"(\d+)(\.\.(\d*))?", words.strip())
    if found is None:
        raise OptionError(f"--actors: expected N, LEAST.. or LEAST..MOST, got {words}; try 1..8")
    least, ends, most = int(found[1]), found[2], found[3]
    return least, (int(most) if most else None) if ends else least
