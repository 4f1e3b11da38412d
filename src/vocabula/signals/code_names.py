"""Whose codes they are: the names under which files know the codes of a tokenizer.

Files name codes by the fingerprint of the tokenizer that made them. A decoder that was trained
further gives a tokenizer another fingerprint and the same codes: its files name the codes as those
of the tokenizer before do, so that each of the two opens what either wrote.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CodeNames:
    """The fingerprints of the tokenizers that have the codes of one tokenizer.

    Attributes:
        own: the tokenizer's fingerprint.
        others: those of the tokenizers that it is a look of, the first of them first.
    """

    own: str
    others: tuple[str, ...] = ()

    @property
    def written(self) -> str:
        """The name that its files get, the same for all tokenizers with these codes."""
        return self.others[0] if self.others else self.own

    def know(self, fingerprint: str) -> bool:
        """Whether the codes of a file with this name are codes of the tokenizer."""
        return fingerprint == self.own or fingerprint in self.others

    def in_words(self, digits: int | None = None) -> str:
        """The tokenizer for messages, by so many digits of its fingerprint; None: all."""
        look = f", a look of {self.written[:digits]}" if self.others else ""
        return f"{self.own[:digits]}{look}"


def as_names(names: CodeNames | str) -> CodeNames:
    """The names of a tokenizer's codes; a text is the fingerprint of one without others."""
    return CodeNames(names) if isinstance(names, str) else names
