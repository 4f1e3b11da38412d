"""A process of Ray's that holds the tokenizer once and encodes shards, one after another."""

from __future__ import annotations

import socket
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vocabula.data.image_problems import DataWarning
from vocabula.data.shard_plan import PLAN, ShardPlan
from vocabula.errors import EngineError, VocabulaError
from vocabula.pipelines.shard_engines import Packed
from vocabula.pipelines.shard_folder import Known, ShardFolder


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a shard.

    Attributes:
        signals: codes of how many signals were written.
        known: of its part, as `ShardFolder.known` tells it; None if there is none.
        reason: why it failed, or an empty string.
        stop: what ends the whole encoding.
        warnings: what the readers of the data had to say.
    """

    signals: int = 0
    known: Known | None = None
    reason: str = ""
    stop: VocabulaError | None = None
    warnings: tuple[str, ...] = ()


class Stopped(BaseException):
    """The driver wants no more: what is half-written is discarded."""


class ShardActor:
    """Encodes shards of one plan. Its constructor does nothing that may fail.

    Args:
        name: as Ray's dashboard shows it.
        what: a list of one reference to Ray's object, the content of a `Packed`.
        out: the folder of parts.
        plan: the plan's id.
        device: where to encode.
        threads: of torch.
        workers: threads that decode ahead.
    """

    def __init__(
        self,
        name: str,
        what: list[Any],
        out: str,
        plan: str,
        *,
        device: str,
        threads: int,
        workers: int,
    ) -> None:
        self._name, self._what = name, what
        self._out, self._plan, self._device = Path(out), plan, device
        self._threads, self._workers = threads, workers
        self._shard, self._count, self._stopped = -1, 0, False

    def __repr__(self) -> str:
        return self._name

    def ready(self) -> Outcome:
        """Load the tokenizer and look for the plan."""
        import ray
        import torch

        from vocabula.pipelines.shard_encoder import ShardEncoder

        try:
            torch.set_num_threads(self._threads)
            folder = self._folder()
            what = Packed(ray.get(self._what[0])).opened()
            tokenizer = what.tokenizer.to(self._device)
            if tokenizer.fingerprint() != folder.plan.facts.fingerprint:
                raise EngineError(
                    f"{socket.gethostname()}: expected the tokenizer to arrive as it was sent, got "
                    "another one; install the same versions of vocabula and torch on all nodes"
                )
        except VocabulaError as error:
            return Outcome(stop=error)
        self._encoder = ShardEncoder(tokenizer, what.inputs, folder, workers=self._workers)
        self._model = tokenizer
        return Outcome()

    def _folder(self) -> ShardFolder:
        there = (self._out / PLAN).exists()
        plan = ShardPlan(self._out) if there else None
        if plan is None or plan.id != self._plan:
            got = "another one" if there else "none"
            raise EngineError(
                f"{self._out}: expected the folder with the plan on node {socket.gethostname()}, "
                f"got {got}; write to a disk that all nodes share"
            )
        return ShardFolder(self._out, plan)

    def encode(self, number: int) -> Outcome:
        """Write the part of a shard."""
        from vocabula.pipelines.shard_encoder import attempt
        from vocabula.tokenizers.inference import inference

        encoder, before = self._encoder, self._encoder.signals
        self._shard, self._count = number, 0
        with warnings.catch_warnings(record=True) as caught, inference(self._model):
            warnings.simplefilter("always", DataWarning)
            try:
                reason = attempt(encoder, number, self._advance)
            except VocabulaError as error:
                return Outcome(stop=error)
            except Stopped:
                return Outcome()
        said = [str(one.message) for one in caught if issubclass(one.category, DataWarning)]
        return Outcome(
            signals=encoder.signals - before,
            known=None if reason else encoder.folder.known(number),
            reason=reason,
            warnings=tuple(dict.fromkeys(said)),
        )

    def _advance(self, count: int) -> None:
        if self._stopped:
            raise Stopped
        self._count += count

    # ------------------------------------------- asked while a shard is being encoded

    def progress(self) -> tuple[int, int]:
        """The shard that is being encoded, and how many of its signals are."""
        return self._shard, self._count

    def stop(self) -> None:
        """Drop the shard that is being encoded."""
        self._stopped = True
