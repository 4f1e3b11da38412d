"""Exceptions that a user can cause and fix: one line each, with the remedy in it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class VocabulaError(Exception):
    """Base of every error that vocabula raises on purpose.

    The message is one line, ``object: expected X, got Y; likely fix``. The command line prints it
    without a traceback and ends with `exit_code`.
    """

    exit_code = 2


class OptionError(VocabulaError, ValueError):
    """An option, a preset or a component name is unknown or out of range."""


class UnknownOptionError(OptionError, TypeError):
    """A constructor has no option of that name; also a `TypeError`, as in Python itself."""


class UnknownNameError(OptionError):
    """No component of that kind and name is known; a custom one may need its module imported."""


class ShapeError(VocabulaError, ValueError):
    """A tensor has the wrong shape, dtype or device."""


class CodeError(VocabulaError, ValueError):
    """Codes lie outside the codebook."""


class DataError(VocabulaError, ValueError):
    """Input data is missing, unreadable, not finite or does not fit the model."""


class TokensError(VocabulaError, ValueError):
    """A token file is damaged, foreign or made by another tokenizer."""


class CodecError(VocabulaError, ValueError):
    """A compressed file is damaged, foreign, of another model, or larger than the limits allow."""


class OptionWarning(UserWarning):
    """Options work together, but hardly as they are meant."""


class CodecWarning(UserWarning):
    """Signals are coded differently than requested; nothing is lost."""


class CheckpointError(VocabulaError):
    """A saved model or checkpoint is missing, damaged, foreign or has another shape."""


class OutputError(VocabulaError):
    """An output cannot be written: it exists, the folder is not writable or the disk is full."""


class EngineError(VocabulaError):
    """A cluster is missing or does not answer, or its processes keep ending."""


class TrainingError(VocabulaError):
    """Training cannot go on: the loss or a gradient is not finite."""


class Interrupted(VocabulaError):  # noqa: N818 - what happened is no error
    """Work was stopped from outside (Ctrl-C) after everything that was finished had been saved."""

    exit_code = 130


def first_line(error: Exception) -> str:
    """The first line of an error's message, or the error's type if it has none."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def plural(count: object, thing: str, things: str = "") -> str:
    """A number of things in words.

    Args:
        count: the number.
        thing: what one is called.
        things: what several are called; `thing` with an s unless given.

    Example:
        >>> plural(1, "image"), plural(2, "image"), plural(0, "class", "classes")
        ('1 image', '2 images', '0 classes')
    """
    return f"{count} {thing}" if count in (1, "1") else f"{count} {things or f'{thing}s'}"


def picture_size(*sides: int) -> str:
    """Sides as people read them, width first; arrays have them as (height, width).

    Example:
        >>> picture_size(480, 640)
        '640 x 480'
    """
    return " x ".join(map(str, reversed(sides)))


def suggest(word: str, choices: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` for the choice nearest to `word`, or an empty string."""
    close = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""
