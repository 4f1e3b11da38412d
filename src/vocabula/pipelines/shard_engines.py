"""Who encodes the shards that wait: this process, or others that an engine schedules."""

from __future__ import annotations

import copy
import pickle
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from vocabula.pipelines.shard_folder import ShardFolder

if TYPE_CHECKING:
    from vocabula.pipelines.shard_planning import ShardInputs
    from vocabula.tokenizers import SignalTokenizer

TRIES = 3
"""How often a shard may fail, in all starts together, before it is set aside."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A plan's tokenizer and data, in this process."""

    tokenizer: SignalTokenizer
    inputs: ShardInputs

    def opened(self) -> Opened:
        """Itself."""
        return self

    def packed(self) -> Packed:
        """The same in bytes, the tokenizer on the CPU."""
        model = copy.deepcopy(self.tokenizer).cpu().eval()
        return Packed(pickle.dumps((model, self.inputs)))


@dataclass(frozen=True, slots=True)
class Packed:
    """A plan's tokenizer and data in bytes, which pass through processes that load no torch."""

    content: bytes

    def opened(self) -> Opened:
        """The tokenizer and the data; they are of this program, as the bytes never leave it."""
        return Opened(*pickle.loads(self.content))

    def packed(self) -> Packed:
        """Itself."""
        return self


@dataclass(frozen=True, slots=True)
class ShardWork:
    """What encoding a shard takes.

    Attributes:
        what: the plan's tokenizer and data.
        folder: the parts.
        workers: threads that decode ahead; None for the usual number.
    """

    what: Opened | Packed
    folder: ShardFolder
    workers: int | None = None


class ShardQueue:
    """The shards that wait; those that fail wait again, behind the others, or are set aside.

    Failed tries are counted in the folder, so the count outlives this process. A shard that was set
    aside gets one more try in each later start.

    Args:
        folder: the parts.
        shards: the numbers of shards, in order.

    Attributes:
        aside: why each shard that was set aside has failed.
    """

    def __init__(self, folder: ShardFolder, shards: Iterable[int]) -> None:
        self._folder, self._waiting = folder, deque(shards)
        self.aside: dict[int, str] = {}

    def __len__(self) -> int:
        """How many wait, perhaps with some that other processes have finished."""
        return len(self._waiting)

    def take(self) -> int | None:
        """The next shard that is not finished; None if there is none."""
        while self._waiting:
            number = self._waiting.popleft()
            if not self._folder.is_finished(number):
                return number
        return None

    def put_back(self, number: int) -> None:
        """Let a shard wait that has not been tried to its end."""
        self._waiting.appendleft(number)

    def fail(self, number: int, reason: str) -> None:
        """Count a failed try.

        Raises:
            OutputError: the folder cannot be written.
        """
        tries = self._folder.tries(number) + 1
        self._folder.note_failure(number, tries, reason)
        if tries < TRIES:
            self._waiting.append(number)
        else:
            self.aside[number] = reason


class Engine(Protocol):
    """Encodes shards, in processes of its choice."""

    def check(self) -> None:
        """Refuse early what cannot work: a missing package, or a cluster that is not there."""

    def encode(self, work: ShardWork, queue: ShardQueue, advance: Callable[[int], None]) -> int:
        """Encode the shards of a queue until none waits.

        Args:
            work: what it takes.
            queue: the shards; failures are told to it.
            advance: takes the numbers of signals that were encoded.

        Returns:
            Codes of how many signals were written.
        """


class InThisProcess:
    """Encodes one shard after another."""

    def check(self) -> None:
        """There is nothing to check."""

    def encode(self, work: ShardWork, queue: ShardQueue, advance: Callable[[int], None]) -> int:
        """See `Engine`."""
        from vocabula.pipelines.shard_encoder import ShardEncoder, attempt
        from vocabula.tokenizers.inference import inference

        what = work.what.opened()
        encoder = ShardEncoder(what.tokenizer, what.inputs, work.folder, workers=work.workers)
        with inference(what.tokenizer):
            while (number := queue.take()) is not None:
                if reason := attempt(encoder, number, advance):
                    queue.fail(number, reason)
        return encoder.signals
