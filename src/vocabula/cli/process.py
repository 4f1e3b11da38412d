"""The process of a command: its place under a launcher, its streams, its end and its memory."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import io
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable
from typing import ParamSpec, TextIO

P = ParamSpec("P")
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # parameter numbers of glibc's malloc.h
_ONE_END = 5.0  # seconds within which further signals ask for the same end


def process_index() -> int:
    """The rank that the launcher gave this process, 0 without a launcher."""
    rank = os.environ.get("RANK", "0")
    return int(rank) if rank.isdigit() else 0


def is_main_process() -> bool:
    """Whether this process is the one that prints."""
    return process_index() == 0


def alone(command: Callable[P, None]) -> Callable[P, None]:
    """The command, run by the main process only; others that a launcher starts end at once."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        if is_main_process():
            command(*args, **kwargs)

    return run


def lonely_launch() -> str | None:
    """The message if ``accelerate launch`` has started a single process; otherwise None.

    It starts several processes for GPUs, but always one for the CPU, whatever was asked for.
    """
    if "ACCELERATE_MIXED_PRECISION" not in os.environ or "WORLD_SIZE" in os.environ:
        return None
    import torch

    if torch.cuda.is_available():
        return None
    words = shlex.join(["-m", "vocabula", *sys.argv[1:]])
    return (
        "accelerate launch has started one process: without a GPU it starts no more; for two "
        f"processes on the CPU: torchrun --nproc_per_node 2 {words}"
    )


def catch_stops() -> None:
    """From now on SIGTERM and SIGHUP act like Ctrl-C: blocks are left in good order.

    A second one, as a closing terminal or a batch system may send, does not disturb that. Signals
    that are ignored, such as SIGHUP under nohup, stay ignored.
    """
    last = -_ONE_END

    def stop(number: int, frame: object) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _ONE_END:
            last = now
            raise KeyboardInterrupt

    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)


def let_stops_end() -> None:
    """From now on SIGTERM and SIGHUP end the process at once: it ends already, with its last words.

    A launcher sends SIGTERM to what is left when one of its processes has ended.
    """
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            with contextlib.suppress(ValueError):  # in another thread than the main one
                signal.signal(number, signal.SIG_DFL)


def ready_streams() -> None:
    """Open the standard streams that are missing, and let none refuse a character.

    A file that is opened while descriptor 0, 1 or 2 is free would get that number, and with it the
    output of other code.
    """
    with contextlib.suppress(OSError):
        while (opened := os.open(os.devnull, os.O_RDWR)) < 3:
            os.set_inheritable(opened, True)
        os.close(opened)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def abandon(stream: TextIO) -> None:
    """Stop writing to a stream that fails, so that the interpreter does not try at exit."""
    with contextlib.suppress(OSError, ValueError):
        number = stream.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)


def keep_freed_memory() -> None:
    """Let glibc's allocator keep freed memory for the next batch, which needs as much again.

    By default it returns large blocks to the system, which clears every page before it hands it
    out anew: a tenth to a third of a step on the CPU. Does nothing with another allocator, or if
    the user has set a ``MALLOC_...`` variable.
    """
    if not sys.platform.startswith("linux") or any(
        name.startswith("MALLOC_") for name in os.environ
    ):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, -1)


def collect_garbage_rarely() -> None:
    """Let Python look for cycles after 10,000 new objects rather than 700.

    Importing torch makes a million objects that stay: looking through them again and again is a
    twentieth of what a short command takes.
    """
    gc.set_threshold(10_000, *gc.get_threshold()[1:])
