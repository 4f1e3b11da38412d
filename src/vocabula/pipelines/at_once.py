"""Parts of batches that several threads take at once, each one thread."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from typing import TypeVar

import torch

from vocabula.data import Batch
from vocabula.data.ahead import map_ahead
from vocabula.data.long_signal import LongSignal
from vocabula.tokenizers import SignalTokenizer
from vocabula.tokenizers.inference import device_of

LEAST_ROWS = 2**13
"""Of a part: with fewer rows, the steps between operations take a tenth of the time and more."""

Result = TypeVar("Result")


def threads_for(tokenizer: SignalTokenizer) -> int:
    """How many parts of a batch a tokenizer should take at once; 1 where threads share one.

    Signals without axes, such as vectors, pass networks that are small or missing. Threads that
    share each operation then spend their time waiting for one another.
    """
    alone = tokenizer.signal.axes or device_of(tokenizer).type != "cpu"
    return 1 if alone else torch.get_num_threads()


def map_at_once(
    function: Callable[[Batch | LongSignal], Result],
    batches: Iterable[Batch | LongSignal],
    *,
    threads: int,
) -> Generator[Result, None, None]:
    """``function(part)`` of all batches in parts, in order; each part is one thread's.

    A long signal is one part.

    The caller goes on while the threads work. Until the end torch starts no threads of its own,
    here or in `function`. Close the iterator to stop before the end.

    Args:
        function: called in any thread; what it raises is raised here, at its part's turn.
        batches: read in the caller's thread, no further than needed.
        threads: how many; 1 calls `function` with whole batches in the caller's thread.

    Yields:
        The results, in order.
    """
    if threads == 1:
        yield from map(function, batches)
        return

    def run(part: Batch | LongSignal) -> Result:
        torch.get_num_threads()  # a new thread now takes over what is set below
        with torch.inference_mode():
            return function(part)

    parts = (
        (part, 0)  # what waits is limited by its number: two batches, or the least parts
        for batch in batches
        for part in (
            [batch]
            if isinstance(batch, LongSignal)
            else batch.chunks(max(1, min(threads, len(batch) // LEAST_ROWS)))
        )
    )
    torch.set_num_threads(1)
    try:
        with closing(map_ahead(run, parts, workers=threads, most=2 * threads)) as results:
            yield from results
    finally:
        torch.set_num_threads(threads)
