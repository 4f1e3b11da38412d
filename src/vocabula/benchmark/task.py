"""What a contestant is asked to do: a task, made from a case inside the contestant's process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from vocabula.errors import OptionError

OURS = "vocabula"
Device = Literal["cpu", "cuda"]


@dataclass(frozen=True, slots=True)
class Settings:
    """What all contestants of a run share.

    Args:
        threads: of every library, at least 1.
        device: "cpu" or "cuda".
        seed: of all inputs, at least 0.
        quick: few and small cases, for a look rather than a record.

    Raises:
        OptionError: `threads` or `seed` is out of range.
    """

    threads: int
    device: Device = "cpu"
    seed: int = 0
    quick: bool = False

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise OptionError(f"threads: expected at least 1, got {self.threads}; leave it out")
        if self.seed < 0:
            raise OptionError(f"seed: expected at least 0, got {self.seed}; leave it out")


@dataclass(frozen=True, slots=True)
class Case:
    """One comparison.

    Args:
        values: sizes and names, plain data: what a contestant builds its task from.
        contestants: who takes part, in the order of their turns.
        memory: whether peak memory is measured, in processes of their own.
        turns: least number of turns of each contestant.
        most: largest number of turns.
    """

    values: dict[str, Any]
    contestants: tuple[str, ...]
    memory: bool = False
    turns: int = 3
    most: int = 9


@dataclass(frozen=True, slots=True)
class Task:
    """One contestant's part in one case, everything outside the clock prepared.

    Args:
        run: the work that is timed.
        check: looks at a result of `run` and returns figures such as ``wrong_codes``.
        output_bytes: size of what a result of `run` holds, including copies of the input.
        warm: a smaller `run`, where the whole one takes seconds.
        note: a remark for the record.
        held_bytes: memory allocated before the run that counts towards its peak memory.
    """

    run: Callable[[], Any]
    check: Callable[[Any], dict[str, Any]]
    output_bytes: Callable[[Any], int]
    warm: Callable[[], Any] | None = None
    note: str = ""
    held_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Suite:
    """A family of cases.

    Args:
        title: for tables and documents.
        cases: the cases of a run.
        task: builds a contestant's task from a case's values, in the contestant's process.
        finish: adds figures derived from others to a measured row.
        targets: the verdicts on all rows.
        fresh: new processes for every case; otherwise they live through the suite.
        devices: where the suite can run.
    """

    title: str
    cases: Callable[[Settings], list[Case]]
    task: Callable[[str, dict[str, Any], Settings], Task]
    targets: Callable[[list[dict[str, Any]], Settings], list[dict[str, Any]]]
    finish: Callable[[dict[str, Any]], None] = field(default=lambda row: None)
    fresh: bool = True
    devices: tuple[Device, ...] = ("cpu",)


def synchronized(run: Callable[[], Any], device: str) -> Callable[[], Any]:
    """The same work, which returns only when the device has finished."""
    if device != "cuda":
        return run
    import torch

    def finished() -> Any:
        result = run()
        torch.cuda.synchronize()
        return result

    return finished
