"""Processes beside the tests': forked off one that has imported torch and the package already."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import torch.multiprocessing


class _Forked(ForkServerContext):
    """Processes of a server that has imported `preloaded`.

    The server of Python 3.11 looks for that along its own path, and does without what is not there.
    """

    def Process(self, *arguments: Any, **named: Any) -> multiprocessing.Process:  # noqa: N802
        """Return a process, not started yet."""
        self.serve()
        return super().Process(*arguments, **named)

    def serve(self) -> None:
        """Start the server unless it runs."""
        self.set_forkserver_preload(["preloaded"])
        before = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(TESTS), before]))
        try:
            forkserver.ensure_running()
        finally:
            del os.environ["PYTHONPATH"]
            if before is not None:
                os.environ["PYTHONPATH"] = before


TESTS = Path(__file__).parent
FORKED = _Forked()


def spawn(work: Callable[..., None], *arguments: Any, ranks: int = 2) -> None:
    """Run a function as every rank, which is its first argument; wait, and raise what one did."""
    FORKED.serve()
    torch.multiprocessing.start_processes(work, arguments, ranks, start_method="forkserver")


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code, and what it wrote to standard error and output."""

    code: int | None
    errors: str
    output: str = ""


def run_ranks(work: Callable[..., None], *arguments: Any, timeout: float = 300) -> list[Ended]:
    """Run a function as ranks 0 and 1 of a group on the CPU, described by the environment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    shared |= {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        places = [Path(folder, str(rank)) for rank in range(2)]
        processes = []
        for rank, place in enumerate(places):
            variables = {**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}
            process = FORKED.Process(target=_ranked, args=(place, variables, work, arguments))
            process.start()
            processes.append(process)
        for process in processes:
            process.join(timeout)
            process.kill()
            process.join()
        texts = [place.read_text() if place.exists() else "" for place in places]
    return [Ended(process.exitcode, text) for process, text in zip(processes, texts, strict=True)]


class Program:
    """A Python program in a process forked off one that has imported what it needs.

    Args:
        program: its text.
        words: its arguments.
        variables: of its environment, beside those of this process.
    """

    def __init__(self, program: str, *words: object, **variables: str) -> None:
        self._folder = tempfile.TemporaryDirectory()
        environment = {**os.environ, **variables}
        arguments = (self._folder.name, environment, program, [*map(str, words)])
        self._process = FORKED.Process(target=_run_program, args=arguments)
        self._process.start()

    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self._process.is_alive()

    def send_signal(self, number: int) -> None:
        """Send a signal."""
        os.kill(self._process.pid, number)

    def wait(self, timeout: float = 300) -> Ended:
        """Wait until it ends."""
        self._process.join(timeout)
        code = self._process.exitcode
        self._process.kill()
        self._process.join()
        output, errors = (Path(self._folder.name, it).read_text() for it in ("output", "errors"))
        self._folder.cleanup()
        return Ended(code, errors, output)


def on_instructions(capability: str, program: str, *words: object) -> str:
    """What a program prints where torch has two threads and these instructions of the processor.

    torch asks for the variable when it first computes, which is after the fork. A processor
    without the instructions ignores it.
    """
    threads = "import torch; torch.set_num_threads(2)\n"
    ended = Program(threads + program, *words, ATEN_CPU_CAPABILITY=capability).wait()
    assert ended.code == 0, ended.errors
    return ended.output


def _run_program(folder: str, variables: dict[str, str], program: str, words: list[str]) -> None:
    os.environ.clear()
    os.environ.update(variables)
    torch.set_num_threads(1)
    for number, name in ((1, "output"), (2, "errors")):
        with Path(folder, name).open("w") as file:
            os.dup2(file.fileno(), number)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["-c", *words]
    exec(program, {"__name__": "__main__"})


def _ranked(
    place: Path, variables: dict[str, str], work: Callable[..., None], arguments: tuple[Any, ...]
) -> None:
    """Work under these variables, with standard error in a file."""
    os.environ.update(variables)
    torch.set_num_threads(1)
    with place.open("w") as errors:
        os.dup2(errors.fileno(), 2)
    try:
        work(*arguments)
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
