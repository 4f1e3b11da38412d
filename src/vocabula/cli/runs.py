"""What the commands share: opening a RUN and its DATA."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vocabula.errors import CheckpointError, OptionError

if TYPE_CHECKING:
    from vocabula.data import ImageSource
    from vocabula.tokenizers import Tokenizer

Run = Annotated[str, typer.Argument(metavar="RUN", help="A run's folder or a saved tokenizer.")]
Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="Folder of images, .parquet, .npy, .npz or a sample such as sample:photos.",
    ),
]
Device = Annotated[
    str, typer.Option(help="auto (a GPU if there is one), cpu, cuda, cuda:1, mps, ...")
]
BatchSize = Annotated[int, typer.Option(min=1, help="Most images of a batch.")]
Limit = Annotated[int | None, typer.Option(min=1, metavar="N", help="Use the first N images only.")]
Strict = Annotated[bool, typer.Option("--strict", help="Refuse files that are no readable images.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")]


def open_run(run: str, device: str = "auto") -> Tokenizer:
    """The tokenizer of a run, on a device, in evaluation mode.

    Raises:
        CheckpointError: there is none, or it is damaged.
        OptionError: the device does not exist.
    """
    import torch

    from vocabula.tokenizers import load

    folder = Path(run).expanduser()
    if (folder / "run.json").is_file() and not (folder / "config.json").is_file():
        raise CheckpointError(
            f"{run}: expected a finished tokenizer, got a run that has not saved one yet; "
            "let it go on with vocabula train ... --resume"
        )
    tokenizer = load(folder)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return tokenizer.to(device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise OptionError(
            f"device: expected one that this machine has, got {device!r} ({reason}); use cpu"
        ) from None


def open_data(data: str, tokenizer: Tokenizer, *, strict: bool = False) -> ImageSource:
    """The images of DATA with the tokenizer's number of channels.

    Raises:
        DataError: missing, damaged, or of channels that do not convert.
    """
    from vocabula.data import open_source

    return open_source(data, strict=strict, channels=tokenizer.channels)


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Print what data readers warn about as one line each, without the place in the code."""
    from vocabula.cli.console import warn
    from vocabula.data import DataWarning

    before = warnings.showwarning

    def show(message: Any, category: type[Warning], *place: Any, **more: Any) -> None:
        if issubclass(category, DataWarning):
            warn(str(message))
        else:
            before(message, category, *place, **more)

    with warnings.catch_warnings():
        warnings.simplefilter("always", DataWarning)
        warnings.showwarning = show
        yield
