"""Where the codes and captions of a prior come from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vocabula.errors import OptionError


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the data of a prior come from.

    Attributes:
        tokens: a file of codes.
        captions: see `read_captions`; None for none.
        caption_column: the column of texts.
        held_out: a file of codes to measure on; None holds out a share of `tokens`.
        classes: whether labels and other attributes are conditions.

    Raises:
        OptionError: a column of captions without captions.
    """

    tokens: str | os.PathLike[str]
    captions: str | os.PathLike[str] | None = None
    caption_column: str | None = None
    held_out: str | os.PathLike[str] | None = None
    classes: bool = True

    def __post_init__(self) -> None:
        if self.caption_column is not None and self.captions is None:
            raise OptionError(
                f"captions: expected a file with the column {self.caption_column!r}, got none; "
                "name it with --captions, or leave out --caption-column"
            )

    def plain(self) -> dict[str, Any]:
        """The entries of ``run.json`` about them."""
        paths = {"captions": self.captions, "held_out": self.held_out}
        return {
            **{name: None if path is None else os.fspath(path) for name, path in paths.items()},
            "caption_column": self.caption_column,
            "classes": self.classes,
        }

    def words(self) -> Iterator[str]:
        """The command-line options that name them."""
        for option, value in (
            ("--captions", self.captions),
            ("--caption-column", self.caption_column),
            ("--held-out", self.held_out),
        ):
            if value is not None:
                yield from (option, os.fspath(value))
        if not self.classes:
            yield "--no-classes"
