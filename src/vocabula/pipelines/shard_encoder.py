"""Encodes single shards of a plan, each to a part."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vocabula.data import Source
from vocabula.data.pieces import ChangedInputError
from vocabula.data.shard_plan import Shard, ShardPlan
from vocabula.data.token_tables import FORMATS
from vocabula.data.token_writer import TokenWriter
from vocabula.errors import DataError, OutputError, VocabulaError
from vocabula.evaluation.batches import read_bounded
from vocabula.files import new_file, one_line, output_errors
from vocabula.pipelines.encode import encode_batches
from vocabula.pipelines.rate_search import spending, weighing
from vocabula.pipelines.shard_folder import ShardFolder
from vocabula.pipelines.shard_planning import ShardInputs
from vocabula.tokenizers import SignalTokenizer
from vocabula.tokenizers.inference import device_of
from vocabula.tokenizers.passing import takes_parts


class ShardEncoder:
    """Encodes single shards of a plan; for loops and schedulers of one's own.

    Args:
        tokenizer: the plan's tokenizer, in inference.
        inputs: the plan's data.
        folder: the parts.
        workers: threads that decode ahead; None takes one for each core.

    Attributes:
        signals: codes of how many signals it has written.
    """

    def __init__(
        self,
        tokenizer: SignalTokenizer,
        inputs: ShardInputs,
        folder: ShardFolder,
        *,
        workers: int | None = None,
    ) -> None:
        self._tokenizer, self._inputs, self.folder = tokenizer, inputs, folder
        self._workers, self.signals = workers, 0

    def encode(self, number: int, advance: Callable[[int], None] = lambda count: None) -> None:
        """Write the part of a shard, and the table of its broken signals if it has any.

        Raises:
            DataError: more signals are broken than the plan allows, or an input has changed.
            OutputError: the disk is full.
        """
        plan, folder = self.folder.plan, self.folder
        shard = plan.shard(number)
        source = self._inputs.of(shard, plan.facts.root)
        writer, done = self._writer(plan, number), np.empty(0, np.int64)
        try:
            with writer:
                done = self._write(shard, source, writer, advance)
                self._write_broken(shard, source, done)
        except OutputError:
            if not folder.part(number).exists():
                raise
            # another process has finished the same shard, and has cleared hidden files away
        folder.add(number)
        folder.failed(number).unlink(missing_ok=True)
        self.signals += len(done)

    def _writer(self, plan: ShardPlan, number: int) -> TokenWriter:
        facts, tokenizer = plan.facts, self._tokenizer
        return FORMATS[facts.format].writer(
            self.folder.part(number),
            fingerprint=facts.fingerprint,
            levels=[level.spec for level in tokenizer.levels],
            signal=facts.signal,
            source=facts.source,
            label_names=facts.label_names,
            attributes=facts.attributes,
            crops=facts.crops,
            part={"plan": plan.id, "shard": number},
            overwrite=True,
        )

    def _write(
        self, shard: Shard, source: Source, writer: TokenWriter, advance: Callable[[int], None]
    ) -> NDArray[np.int64]:
        """Encode the signals; returns the indices of those that could be read."""
        facts = self.folder.plan.facts
        batches = read_bounded(
            source,
            batch_size=facts.batch_size,
            workers=self._workers,
            device=device_of(self._tokenizer),
            parts=takes_parts(self._tokenizer, decodes=False),
        )
        values, crops, found = shard.values, facts.crops, [np.empty(0, np.int64)]

        def known(indices: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
            return {name: own[indices // crops] for name, own in (values or {}).items()}

        chosen = None if values is None else known
        coded = encode_batches(self._tokenizer, source, batches, writer, chosen)
        scale = spending(self._tokenizer, facts.quality, None).scale
        try:
            with closing(coded) as parts, weighing(self._tokenizer, scale):
                for indices in parts:
                    found.append(indices)
                    advance(len(indices))
        except DataError:
            if len(found) > 1 or facts.most_broken < 1:
                raise  # else all may be broken, and are
        return np.concatenate(found)

    def _write_broken(self, shard: Shard, source: Source, done: NDArray[np.int64]) -> None:
        facts, place = self.folder.plan.facts, self.folder.broken(shard.number)
        lost = np.setdiff1d(np.arange(len(source)), done)
        broken = [source.left_out(index) for index in lost.tolist()]
        share = facts.most_broken
        if len(lost) > max(share * len(source), float(share > 0)):
            raise DataError(
                f"shard {shard.number}: expected at most {share:.3g} of {len(source)} signals to "
                f"be broken, got {len(lost)} (such as {': '.join(broken[0])}); repair them or "
                "raise --max-broken"
            )
        if shard.number == 0:
            broken = [*map(tuple, facts.unreadable), *broken]  # type: ignore[list-item]
        if not broken:
            place.unlink(missing_ok=True)
            return
        columns = dict(zip(("path", "reason"), zip(*broken, strict=True), strict=True))
        table = pa.table({name: pa.array(map(_text, own)) for name, own in columns.items()})
        with output_errors(place), new_file(place, overwrite=True) as hidden:
            pq.write_table(table, hidden, compression="zstd")


def _text(value: str) -> str:
    return value.encode(errors="replace").decode()


def attempt(
    encoder: ShardEncoder, number: int, advance: Callable[[int], None] = lambda count: None
) -> str:
    """Write the part of a shard; why that failed, or an empty string.

    Raises:
        ChangedInputError: an input is not as the plan says, which no further try mends.
        OutputError: the disk is full, or the folder cannot be written.
    """
    try:
        encoder.encode(number, advance)
    except (ChangedInputError, OutputError):
        raise
    except (VocabulaError, OSError, RuntimeError, MemoryError) as error:
        return one_line(str(error) or type(error).__name__)
    return ""
