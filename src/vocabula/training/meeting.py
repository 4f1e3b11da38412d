"""How processes that ``torchrun`` has started again find each other.

The launcher keeps one store of keys for all its starts, in which processes leave their addresses.
PyTorch up to 2.13 reads them under the same names at each start: a process that is early finds the
address of one that has been killed, and waits for it until a time limit. Here the first process of
each start makes up a name, which the others ask for with names of their own; the addresses of the
start stand under it::

    rank r:  asks/r = mine                        told/mine?  ->  heard/name/r
    rank 0:             asks/r?  ->  told/mine = name           heard/name/r?  ->  go
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import register_rendezvous_handler, rendezvous

from vocabula.errors import EngineError

_SCHEME = "vocabula"
_PAUSE = 0.02
_registered = False


def meeting_place() -> str | None:
    """The ``init_method`` of a process group under a launcher that restarts; None for the usual."""
    global _registered
    restarts = os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0")
    if restarts in ("", "0") or os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return None
    if not _registered:
        register_rendezvous_handler(_SCHEME, _meet)
        _registered = True
    return f"{_SCHEME}://"


def _meet(url: str, timeout: timedelta, **options: Any) -> Iterator[tuple[Store, int, int]]:
    store, rank, processes = next(rendezvous("env://", timeout=timeout))
    name = agreed_name(store, rank, processes, timeout.total_seconds())
    yield PrefixStore(f"{_SCHEME}/{name}", store), rank, processes


def agreed_name(store: Store, rank: int, processes: int, seconds: float) -> str:
    """A new name on which all processes of this start agree, whatever earlier ones have left.

    Args:
        store: the launcher's.
        rank: of this process.
        processes: how many there are.
        seconds: how long to wait for the others.

    Raises:
        EngineError: not all came in time.
    """
    mine, end = uuid.uuid4().hex, time.monotonic() + seconds
    if rank:
        store.set(f"{_SCHEME}/asks/{rank}", mine)
        told = f"{_SCHEME}/told/{mine}"
        _until(partial(store.check, [told]), end)
        name = store.get(told).decode()
        store.set(f"{_SCHEME}/heard/{name}/{rank}", "")
        return name
    for other in range(1, processes):
        _until(partial(_answered, store, other, mine), end)
    return mine


def _answered(store: Store, other: int, name: str) -> bool:
    """Tell another process the name, as it asks now; whether it has heard it."""
    asks = f"{_SCHEME}/asks/{other}"
    if store.check([asks]):
        store.set(f"{_SCHEME}/told/{store.get(asks).decode()}", name)
    return bool(store.check([f"{_SCHEME}/heard/{name}/{other}"]))


def _until(condition: Callable[[], bool], end: float) -> None:
    """Wait, and stay open to signals."""
    while not condition():
        if time.monotonic() > end:
            raise EngineError(
                "processes: expected all processes of the launch, got too few in time; see which "
                "of them have ended, and run the command again with --resume"
            )
        time.sleep(_PAUSE)


__all__ = ["agreed_name", "meeting_place"]
