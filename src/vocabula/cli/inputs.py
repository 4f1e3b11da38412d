"""Arguments that name inputs: nothing is imported to read inputs that do not exist."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import typer

from vocabula.cli.process import is_main_process
from vocabula.errors import DataError, OptionError

V = TypeVar("V", bound="str | list[str] | None")


def checked(check: Callable[[str], None]) -> Callable[[typer.Context, Any], Any]:
    """The callback of an argument of one or several paths, each of which is checked.

    Only the main process checks; shell completion, which may have half a word, does not.
    """

    def callback(context: typer.Context, value: V) -> V:
        if is_main_process() and not context.resilient_parsing:
            for path in _each(value):
                check(path)
        return value

    return callback


def existing(expected: str, got: str = "nothing there", fix: str = "check the path") -> Any:
    """The callback of an argument that refuses missing paths with this message."""
    return checked(lambda path: check_there(path, expected, got, fix))


def check_there(
    path: str, expected: str, got: str = "nothing there", fix: str = "check the path"
) -> None:
    """Refuse a missing path with this message.

    Raises:
        DataError: nothing is there.
    """
    try:
        os.stat(Path(path).expanduser())
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{path}: expected {expected}, got {got}; {fix}") from None
    except (OSError, ValueError):
        pass  # the function that opens it says more


def check_run(run: str) -> None:
    """Refuse a folder that is neither a saved tokenizer, a prior nor an unfinished run.

    Raises:
        CheckpointError: see `read_tokenizer_config`.
    """
    from vocabula.files.packaged import run_folder
    from vocabula.files.run_files import is_prior, is_unfinished
    from vocabula.tokenizers.saved_folder import read_tokenizer_config

    folder = run_folder(run)
    if not is_prior(folder) and not is_unfinished(folder):
        read_tokenizer_config(folder)


def check_data(data: str) -> None:
    """Refuse missing data and unknown samples.

    Raises:
        DataError: see `check_place`.
    """
    from vocabula.data.places import check_place

    check_place(data)


def check_tokens(tokens: str) -> None:
    """Refuse missing tokens: a file, a folder of parts or a pattern.

    Raises:
        DataError: nothing is there.
    """
    import glob

    place = Path(tokens).expanduser()
    if not any(character in tokens for character in "*?[") or not glob.glob(str(place)):
        check_there(tokens, "a file of tokens, a folder of parts or a pattern")


def seed_in_range(seed: int) -> int:
    """The callback of a seed: checks that generators accept it.

    Raises:
        OptionError: it is too large.
    """
    if seed >= 2**63:
        raise OptionError(f"--seed: expected 0 or more, below 2^63, got {seed}; choose another")
    return seed


def _each(value: str | list[str] | None) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    else:
        yield from value or ()
