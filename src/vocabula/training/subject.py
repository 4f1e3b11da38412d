"""What a run learns from."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vocabula.signatures.imported import import_words


@dataclass(frozen=True, slots=True)
class Subject:
    """The data that a run learns from, for its manifest.

    Attributes:
        data: name of the data.
        count: how many signals they have.
        unit: what the signals are called.
        format: what the manifest's field ``format`` says.
        command: the words of the command that makes the run.
        identity: further fields of the manifest, such as a hash of the data's content; a resumed
            run must have the same, where its manifest says what they were.
        more: further fields of the manifest that may change.
        files: further files that the run writes into its folder.
    """

    data: str
    count: int
    command: tuple[str, ...]
    unit: str = "images"
    format: str = "vocabula-run"
    identity: Mapping[str, str] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[str, ...] = ()

    def command_line(self, *extra: str) -> str:
        """The command with further words, quoted for a shell."""
        program, *words = self.command
        return shlex.join([program, *import_words(), *words, *extra])
