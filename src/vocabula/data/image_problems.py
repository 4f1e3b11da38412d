"""What is said of images that cannot be read."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from vocabula.errors import DataError, plural


class DataWarning(UserWarning):
    """Some input was skipped; the message counts and names it."""


class BrokenImageError(Exception):
    """One image cannot be decoded; its text is the reason, without the image's name."""


class RefusedImageError(BrokenImageError):
    """One image is not read, although it may be intact.

    Args:
        got: what it is, such as a format that is not opened.
        remedy: what to do about it.
    """

    def __init__(self, got: str, remedy: str) -> None:
        super().__init__(f"{got}; {remedy}")
        self.got, self.remedy = got, remedy


def picture_error(
    path: object, reason: Exception, otherwise: str = "a broken file ({}); leave it out"
) -> DataError:
    """The error for a named picture that cannot be read.

    Args:
        path: of the picture.
        reason: what the reader raised.
        otherwise: what was got and what to do, of `BrokenImageError` in general.
    """
    got = otherwise.format(reason)
    if isinstance(reason, RefusedImageError):
        got = f"{reason.got}; {reason.remedy}"
    return DataError(f"{path}: expected a picture, got {got}")


def summarize(problems: Sequence[str], shown: int = 3) -> str:
    """The first problems in one line, with a count of the others."""
    text = ", ".join(problems[:shown])
    hidden = len(problems) - shown
    return text if hidden <= 0 else f"{text} and {hidden} more"


def report_problems(
    name: str, problems: Sequence[str], total: int, *, strict: bool, wanted: str = "images"
) -> None:
    """Refuse (strict) or announce, in one warning, the items that will be skipped.

    Args:
        name: what messages call the data.
        problems: each item and its reason.
        total: number of all items.
        strict: refuse.
        wanted: what the others are.

    Raises:
        DataError: there are problems and `strict` is set.
    """
    if not problems:
        return
    text = f"{len(problems)} of {plural(total, 'file')}"
    if strict:
        raise DataError(
            f"{name}: expected only readable {wanted}, got {text} that are not:"
            f" {summarize(problems)}; remove them or leave out strict to skip them"
        )
    warnings.warn(f"{name}: skipped {text}: {summarize(problems)}", DataWarning, stacklevel=3)
