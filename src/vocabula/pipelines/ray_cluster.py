"""Finds a Ray cluster by Ray's own means, or starts one on this machine."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vocabula.errors import EngineError, OptionError
from vocabula.files import one_line

ADDRESS = "RAY_ADDRESS"
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # as Ray will do, and says on each start until then
    "RAY_worker_niceness": "0",  # else other programs of the machine come before the encoding
}
_PATIENCE = 3.0  # seconds within which a cluster has to take a connection


def check_installed() -> None:
    """Refuse to go on without Ray; nothing is imported.

    Raises:
        OptionError: it is not installed.
    """
    if importlib.util.find_spec("ray") is None:
        raise OptionError(
            "--engine ray: expected the package ray, got none; pip install 'vocabula[ray]'"
        )


def import_ray() -> Any:
    """Ray, which reports nothing to its makers unless the user wants it to.

    Raises:
        OptionError: it is not installed.
    """
    check_installed()
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    import ray

    return ray


def find_cluster() -> str:
    """The address of a cluster that answers; ``local`` where Ray has to be started first.

    As Ray itself does: the variable ``RAY_ADDRESS``, which a job of Ray's has, or the cluster that
    ``ray start`` has started on this machine.

    Raises:
        EngineError: no cluster answers at ``RAY_ADDRESS``.
        OptionError: Ray is not installed.
    """
    import_ray()
    from ray._private.services import canonicalize_bootstrap_address  # as ray.init does

    given = os.environ.get(ADDRESS, "")
    try:
        place = given if "://" in given else canonicalize_bootstrap_address(None)
    except (ConnectionError, OSError, ValueError) as error:
        raise _missing(given, one_line(str(error))) from None
    if place is None:
        return "local"
    host, _, port = place.rpartition("://")[2].rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE):
            return place
    except (OSError, ValueError) as error:
        if not given:
            return "local"  # what `ray start` left when the machine went down
        raise _missing(given, one_line(str(error))) from None


def _missing(given: str, reason: str) -> EngineError:
    return EngineError(
        f"{ADDRESS}: expected a running Ray cluster at {given}, got none ({reason}); start one "
        f"with ray start --head, or unset {ADDRESS} to use this machine alone"
    )


@contextmanager
def connected(cpus: int | None = None) -> Iterator[tuple[Any, bool]]:
    """Ray, connected, and whether it was started for this; a connection that exists is used.

    Args:
        cpus: of a Ray that is started here; None for all.

    Raises:
        EngineError: there is no cluster, or it refuses.
        OptionError: Ray is not installed.
    """
    ray = import_ray()
    if ray.is_initialized():
        yield ray, False
        return
    address = find_cluster()
    local = address == "local"
    own = {"num_cpus": cpus, "include_dashboard": False} if local else {}
    with _handlers_kept():
        try:
            ray.init(address, logging_level="ERROR", log_to_driver=False, **own)
        except Exception as error:
            ray.shutdown()
            raise EngineError(
                f"Ray: expected a cluster ({address}), got {one_line(str(error))[:300]}; check "
                f"{ADDRESS} and that all nodes have the same versions of Python and Ray"
            ) from None
    try:
        with _quiet(ray):
            yield ray, local
    finally:
        ray.shutdown()


@contextmanager
def _quiet(ray: Any) -> Iterator[None]:
    """Ray does not print its reports on dead processes; no option of its own keeps it from that."""
    module = ray._private.worker
    shown = getattr(module, "print_to_stdstream", None)
    module.print_to_stdstream = lambda *words, **more: None
    try:
        yield
    finally:
        module.print_to_stdstream = shown


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """Signals do what they did before; Ray would make SIGTERM end the process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
