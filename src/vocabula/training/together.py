"""Work that one process does for all, so that all continue or fail together."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from vocabula.errors import VocabulaError

T = TypeVar("T")


def in_main_process(accelerator: Accelerator, work: Callable[[], T]) -> T:
    """Let the main process do something; every process calls this and gets the result.

    An expected failure there is raised in every process: none is left waiting for another.

    Args:
        accelerator: the process group.
        work: what to do; its result is sent to the other processes, so it must be picklable.

    Raises:
        VocabulaError: `work` raised it; OSError and RuntimeError likewise.
    """
    answer: tuple[T | None, Exception | None] = (None, None)
    if accelerator.is_main_process:
        try:
            answer = (work(), None)
        except (VocabulaError, OSError, RuntimeError) as error:
            answer = (None, error)
    if accelerator.num_processes > 1:
        [answer] = broadcast_object_list([answer])
    result, failure = answer
    if failure is not None:
        raise failure
    return result  # type: ignore[return-value]
