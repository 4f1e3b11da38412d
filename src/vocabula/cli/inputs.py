"""Arguments that name what is read: nothing is imported to read what is not there."""

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
    """The callback of an argument, one path or several, of which each is checked.

    Of several processes the main one checks; completion of the shell, which may have half a word,
    goes without.
    """

    def callback(context: typer.Context, value: V) -> V:
        if is_main_process() and not context.resilient_parsing:
            for path in _each(value):
                check(path)
        return value

    return callback


def existing(expected: str, got: str = "nothing there", fix: str = "check the path") -> Any:
    """The callback of an argument that refuses paths where nothing is, in these words."""

    def check(path: str) -> None:
        try:
            os.stat(Path(path).expanduser())
        except (FileNotFoundError, NotADirectoryError):
            raise DataError(f"{path}: expected {expected}, got {got}; {fix}") from None
        except (OSError, ValueError):
            pass  # what opens it says more

    return checked(check)


def check_run(run: str) -> None:
    """Refuse a folder that is no saved tokenizer, no prior and no run that has only begun.

    Raises:
        CheckpointError: see `read_tokenizer_config`.
    """
    from vocabula.files.run_files import is_prior, is_unfinished
    from vocabula.tokenizers.saved_folder import read_tokenizer_config

    folder = Path(run).expanduser()
    if not is_prior(folder) and not is_unfinished(folder):
        read_tokenizer_config(folder)


def check_data(data: str) -> None:
    """Refuse data where nothing is, and unknown samples.

    Raises:
        DataError: see `check_place`.
    """
    from vocabula.data.places import check_place

    check_place(data)


def seed_in_range(seed: int) -> int:
    """The callback of a seed: what generators take.

    Raises:
        OptionError: it is larger.
    """
    if seed >= 2**63:
        raise OptionError(f"--seed: expected 0 or more, below 2^63, got {seed}; choose another")
    return seed


def _each(value: str | list[str] | None) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    else:
        yield from value or ()
