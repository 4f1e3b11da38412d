"""What the commands share: opening a RUN and its DATA."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from vocabula.cli.inputs import check_data, check_run, checked, existing
from vocabula.errors import CheckpointError, Interrupted, OptionError

if TYPE_CHECKING:
    from vocabula.codec import EntropyModel, Limits
    from vocabula.priors import Generator
    from vocabula.tokenizers import SignalTokenizer

M = TypeVar("M", "SignalTokenizer", "Generator")
Run = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A run's folder, a saved tokenizer, or default.",
        callback=checked(check_run),
    ),
]
Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="Folder of images, .parquet, .tar, .npy, .npz, hf:NAME:SPLIT, sample:NAME; vectors in "
        ".npy, .npz, .parquet or .csv; of data with several splits the training split.",
        callback=checked(check_data),
    ),
]
HeldOut = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="Folder of images, .parquet, .tar, .npy, .npz, hf:NAME:SPLIT, sample:NAME; vectors in "
        ".npy, .npz, .parquet or .csv; of data with several splits the test split (else the "
        "validation split).",
        callback=checked(check_data),
    ),
]
Device = Annotated[
    str, typer.Option(help="auto (a GPU if there is one), cpu, cuda, cuda:1, mps, ...")
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="Most signals of a batch; default: 64, of vectors 16384."
    ),
]
Limit = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Use the first N signals only.")
]
ValueRange = Annotated[
    tuple[float, float] | None,
    typer.Option(
        metavar="LOW HIGH", help="Values in .npy and .npz files; default: as in training, or 0 1."
    ),
]
Strict = Annotated[
    bool,
    typer.Option(
        "--strict", help="Refuse files that are no readable images, and broken rows of vectors."
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=0, max=256, metavar="N", help="Threads that read ahead; default: one for each core."
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        min=1, max=256, metavar="N", help="Threads that code; default: one for each core."
    ),
]
Pictures = Annotated[
    list[str],
    typer.Argument(metavar="FILES...", help="Picture files.", callback=existing("a picture file")),
]
Stages = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="Use the first N stages of a residual quantizer; default: all."
    ),
]
Entropy = Annotated[
    str | None,
    typer.Option(
        help="adaptive (the usual one; learns as it goes), static (counts of training codes; see "
        "vocabula counts), portable (a portable prior, --prior; opens on every machine), prior "
        "(any prior, --prior; opens on the same build of torch only) or uniform (fixed length); "
        "with the package's own tokenizer by default portable, with its own prior."
    ),
]
Prior = Annotated[
    str | None,
    typer.Option(
        metavar="PRIOR",
        help="The folder that vocabula train-prior wrote, for --entropy portable and prior.",
    ),
]
MaxMemory = Annotated[
    int | None,
    typer.Option(
        "--max-memory",
        min=1,
        metavar="MIB",
        help="Most memory for what a file holds; default: 1024.",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")]


def open_run(run: str, device: str = "auto") -> SignalTokenizer:
    """The tokenizer of a run, on a device, in evaluation mode.

    Raises:
        CheckpointError: there is none, or it is damaged.
        OptionError: the device does not exist.
    """
    from vocabula.files.packaged import run_folder
    from vocabula.files.run_files import is_unfinished, read_manifest
    from vocabula.tokenizers import load

    folder = run_folder(run)
    if is_unfinished(folder):
        command = read_manifest(folder).get("command", "vocabula train ...")
        raise CheckpointError(
            f"{run}: expected a saved tokenizer, got a run that has not saved one yet; "
            f"let it go on with: {command} --resume"
        )
    return move_to(load(folder), device)


def move_to(model: M, device: str) -> M:
    """A tokenizer or generator on a device, "auto" for a GPU if there is one.

    Raises:
        OptionError: the device does not exist.
    """
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return model.to(device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise OptionError(
            f"device: expected one that this machine has, got {device!r} ({reason}); use cpu"
        ) from None


def open_entropy(
    tokenizer: SignalTokenizer, entropy: str | None, prior: str | None, run: str
) -> EntropyModel:
    """The entropy model that the options name.

    Args:
        tokenizer: the tokenizer of the codes.
        entropy: the model's name; None for the usual one: adaptive, or with a tokenizer of the
            package its portable prior.
        prior: the folder of a prior.
        run: the RUN that names the tokenizer.

    Raises:
        OptionError: there is no such model, or it does not use the prior that is given.
        CheckpointError: the prior is damaged or is not a prior.
    """
    from vocabula.codec import ENTROPIES, NETWORKS, choose_model, offered_models
    from vocabula.codec.known_models import statistics_of
    from vocabula.errors import OptionError
    from vocabula.files.packaged import packaged_as

    own = packaged_as(run)
    if entropy is None:
        entropy = "adaptive" if own is None or prior is not None else "portable"
    if own is not None and prior is None and entropy in NETWORKS:
        prior = str(own.prior)
    if prior is not None and entropy in ENTROPIES:
        raise OptionError(
            f"--prior: expected --entropy {' or '.join(NETWORKS)} with it, got {entropy}; add one, "
            "or leave out --prior"
        )
    offered = offered_models(tokenizer, prior=prior)
    return choose_model(entropy, statistics_of(tokenizer), offered)


def folder_beside(run: str, name: str) -> Path:
    """The place of an output inside a run's folder.

    Raises:
        OptionError: the RUN is a tokenizer of the package, which nothing is written into.
    """
    from vocabula.files.packaged import packaged_as

    if packaged_as(run) is not None:
        raise OptionError(
            f"{run}: expected a place for {name}, got none, and nothing is written into the "
            "package; name one (-o), or use a RUN of your own"
        )
    return Path(run).expanduser() / name


def limits_of(max_memory: int | None) -> Limits | None:
    """The caps on a compressed file that an option gives; None for the usual ones."""
    from vocabula.codec import Limits

    if max_memory is None:
        return None
    memory = max_memory * 2**20
    return Limits(memory=memory, signal_size=memory // 4)


def default_jobs(jobs: int | None) -> int:
    """Threads that code: as asked for, or one for each core."""
    from vocabula.data.ahead import cores

    return cores() if jobs is None else jobs


@contextmanager
def keeping_finished() -> Iterator[None]:
    """Ctrl-C ends a command that writes many files, with a line that says what is kept."""
    try:
        yield
    except KeyboardInterrupt:
        failure = Interrupted(
            "interrupted: finished outputs are kept, nothing half-written was left behind; run the "
            "command again for what is missing"
        )
        failure.exit_code = OptionError.exit_code
        raise failure from None


def counted(description: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
    """A progress bar on a terminal; gives a function that adds to the count."""
    from vocabula.evaluation.counting import counted as bar

    return bar(description, total, show=True)
