"""``vocabula encode --shards``: one worker's share of a sharded encoding."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vocabula.errors import OptionError, plural

if TYPE_CHECKING:
    from vocabula.pipelines.shard_engines import Engine, Packed
    from vocabula.pipelines.shard_running import Sharded
    from vocabula.tokenizers import SignalTokenizer


def encode_shards(
    run: str, data: str, out: str, device: str, worker: str | None, **options: Any
) -> None:
    """Encode this worker's shards and say what there is.

    Args:
        run: the tokenizer's folder.
        data: as the user names them.
        out: the folder of tokens.
        device: as the user names it.
        worker: ``I/N``; None: as the launcher says.
        **options: those of `vocabula.pipelines.encode_shards`.
    """
    from vocabula.cli.closing import close
    from vocabula.cli.console import note
    from vocabula.cli.reading import reading_data

    engine = options.pop("engine")
    place, said = ((0, 1), "") if engine else worker_place(worker, os.environ)
    if engine is not None:
        engine.check()
    with reading_data():
        if said:
            note(f"worker {place[0]}/{place[1]}, as {said} says")
        if engine is None:
            found, words = _here(run, data, out, device, worker=place, **options)
        else:
            found, words = _by_engine(engine, run, data, out, **options)
    made = (
        f"encoded {words.counted(found.signals)}; {found.finished} of "
        f"{plural(found.shards, 'part')} finished: {out}"
    )
    if not found.complete:
        close(f"{made}; the rest is that of other workers")
        return
    close(made, "see what the codes hold", "decode", run, out, "-o", words.decoded)


@dataclass(frozen=True)
class Words:
    """What a command says of its tokenizer's signals.

    Attributes:
        plural: what several are called.
        decoded: where they are decoded to.
    """

    plural: str
    decoded: str

    @classmethod
    def of(cls, tokenizer: SignalTokenizer) -> Words:
        """Those of a tokenizer."""
        from vocabula.data.media import MEDIA

        signal = tokenizer.signal
        return cls(signal.plural, MEDIA.of(signal.kind).decoded)

    def counted(self, count: int) -> str:
        """See `Signal.counted`; the signal itself would load torch."""
        return plural(count, self.plural[:-1])


def _split(data: str) -> str:
    """The split of the data to encode, which is said."""
    from vocabula.cli.reading import chosen_split, say_split

    split = chosen_split(data, held_out=False)
    say_split(data, held_out=False)
    return split


def _here(run: str, data: str, out: str, device: str, **options: Any) -> tuple[Sharded, Words]:
    """Encode in this process."""
    from vocabula.cli.reading import data_options
    from vocabula.cli.runs import open_run
    from vocabula.pipelines.sharded_encoding import encode_shards

    split = _split(data)
    tokenizer = open_run(run, device)
    own = data_options(data, tokenizer, run, **options.pop("options"))
    found = encode_shards(tokenizer, split, out, options=own, progress=True, **options)
    return found, Words.of(tokenizer)


def _by_engine(
    engine: Engine,
    run: str,
    data: str,
    out: str,
    *,
    workers: int | None,
    **options: Any,
) -> tuple[Sharded, Words]:
    """Let an engine encode. Another process makes the plan, so that this one loads no torch.

    A driver may stay for days on a machine that encodes nothing.
    """
    import pyarrow as pa

    from vocabula.pipelines.shard_running import run_shards

    pa.set_memory_pool(pa.system_memory_pool())  # its own pool keeps 10 MB that it has freed
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        what, words, said = pool.submit(_planned, run, data, out, options).result()
    for text, category in said:
        warnings.warn(text, category, stacklevel=2)
    found = run_shards(Path(out), what, engine, workers=workers, progress=True)
    return found, words


def _planned(
    run: str, data: str, out: str, options: dict[str, Any]
) -> tuple[Packed, Words, list[tuple[str, type[Warning]]]]:
    """Make the plan; the packed tokenizer and data, and what the readers of the data had to say."""
    from vocabula.cli.reading import data_options
    from vocabula.cli.runs import open_run
    from vocabula.pipelines.shard_engines import Opened
    from vocabula.pipelines.sharded_encoding import plan_shards

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        split = _split(data)
        tokenizer = open_run(run, "cpu")
        own = data_options(data, tokenizer, run, **options.pop("options"))
        inputs = plan_shards(tokenizer, split, out, options=own, **options)
    said = [(str(one.message), one.category) for one in caught]
    return Opened(tokenizer, inputs).packed(), Words.of(tokenizer), said


def worker_place(given: str | None, variables: Mapping[str, str]) -> tuple[tuple[int, int], str]:
    """This worker's number and how many there are, and what says so; empty if the user does.

    Slurm's tasks within the elements of an array are counted through.

    Args:
        given: ``I/N``, or None.
        variables: of the environment.

    Raises:
        OptionError: `given` is no such pair, or an array's numbers do not follow one another.

    Example:
        >>> worker_place("1/4", {})
        ((1, 4), '')
        >>> worker_place(None, {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "8"})
        ((3, 8), 'the Slurm array')
    """
    if given is not None:
        found = re.fullmatch(r"(\d+)/(\d+)", given.strip())
        if found is None or int(found[1]) >= int(found[2]):
            raise OptionError(
                f"--worker: expected I/N with I from 0 to N - 1, got {given}; the workers of 2 are "
                "0/2 and 1/2"
            )
        return (int(found[1]), int(found[2])), ""
    if (place := _pair(variables, "RANK", "WORLD_SIZE")) is not None:
        return place, "torchrun"
    tasks = _pair(variables, "SLURM_PROCID", "SLURM_NTASKS")
    array = _array(variables)
    if array is None:
        return (tasks, "Slurm") if tasks is not None else ((0, 1), "")
    inner = tasks or (0, 1)
    number = array[0] * inner[1] + inner[0]
    return (number, array[1] * inner[1]), "the Slurm array"


def _array(variables: Mapping[str, str]) -> tuple[int, int] | None:
    """The place of an element of a Slurm array."""
    names = ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT")
    if not all(variables.get(name, "").isdigit() for name in names):
        return None
    number, count = (int(variables[name]) for name in names)
    first = int(variables.get("SLURM_ARRAY_TASK_MIN", "0"))
    last = int(variables.get("SLURM_ARRAY_TASK_MAX", str(first + count - 1)))
    step, rest = divmod(last - first, max(1, count - 1))
    place, between = divmod(number - first, max(1, step))
    if rest or between or not 0 <= place < count:
        raise OptionError(
            f"--worker: expected a Slurm array of equally spaced numbers, got {number} of {count} "
            f"from {first} to {last}; use --array 0-{count - 1}, or say --worker I/N"
        )
    return place, count


def _pair(variables: Mapping[str, str], number: str, count: str) -> tuple[int, int] | None:
    """A number below its count, from two variables that a launcher sets."""
    words = variables.get(number, ""), variables.get(count, "")
    if not all(word.isdigit() for word in words) or int(words[0]) >= int(words[1]):
        return None
    return int(words[0]), int(words[1])
