"""The one place where picture files are opened: formats, limits, warnings and damaged metadata.

::

    file --plain file? known format? not too large?--> Pillow's picture --function--> result
                                                            |
                         PNG or JPEG that fails: again, without all but its pixels
"""

from __future__ import annotations

import io
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image, UnidentifiedImageError

from vocabula.data.bare_pictures import STRIPPED, info_behind_pixels, pixels_alone
from vocabula.data.image_problems import BrokenImageError, RefusedImageError
from vocabula.data.picture_formats import (
    LONGEST_BEGINNING,
    PLUGINS,
    begins_like_picture,
    camera_raw,
    openable,
    register_for,
    unopened,
)
from vocabula.errors import VocabulaError
from vocabula.files import one_line, special_kind

Result = TypeVar("Result")

MAX_PIXELS = 2**29
"""Most pixels of a picture that is read: 537 megapixels, 1.6 GB as RGB. Pillow's own limit, which
stays for all else in the process, is a third of it."""

_here = threading.local()
_raising = threading.Lock()
_raised: list[int | None] = []  # Pillow's previous limit, once for each thread that has raised it


def with_picture(
    file: Path | bytes, function: Callable[[Image.Image], Result], notes: list[str] | None = None
) -> Result:
    """The result of a function that is called with an opened picture.

    Opening reads the header; the pixels are decoded when the function asks for them. If something
    other than the pixels of a PNG or JPEG file is damaged or too large, only the pixels are used.

    Args:
        file: a path, or the bytes of a file.
        function: takes Pillow's picture, in this thread; it may be called twice.
        notes: receives Pillow's warnings, which appear nowhere else.

    Raises:
        RefusedImageError: it is not a regular file or may not be read, its format is known but not
            opened, or it has more than `MAX_PIXELS`.
        BrokenImageError: it is damaged or not a picture.
    """
    with _listening([] if notes is None else notes):
        try:
            _check_file(file)
            return _with_limit(file, function)
        except (BrokenImageError, MemoryError, VocabulaError):
            raise
        except Exception as error:  # Pillow's decoders raise nearly every type on damaged input
            return _again(file, function, error)


def add_note(text: str) -> None:
    """Add a note about the picture that this thread has opened; see `with_picture`."""
    _here.notes.append(text)


def _check_file(file: Path | bytes) -> None:
    if isinstance(file, bytes):
        return
    kind = special_kind(file)
    if kind:
        remedy = "name the files in it" if kind == "folder" else "copy it to a file first"
        raise RefusedImageError(f"a {kind}", remedy)


def _with_limit(
    file: Path | bytes,
    function: Callable[[Image.Image], Result],
    info: dict[Any, Any] | None = None,
) -> Result:
    """Open with Pillow's limit, checked before decoding, and with ours if that is exceeded."""
    try:
        return _use(file, function, info)
    except Image.DecompressionBombError:
        with _limit_raised():
            return _use(file, function, info)


def _use(
    file: Path | bytes, function: Callable[[Image.Image], Result], info: dict[Any, Any] | None
) -> Result:
    source = io.BytesIO(file) if isinstance(file, bytes) else file
    with Image.open(source, formats=openable(file)) as picture:
        pixels = picture.size[0] * picture.size[1]
        if pixels > MAX_PIXELS:
            raise Image.DecompressionBombError(f"{pixels} pixels")
        raw = picture.format == "TIFF" and camera_raw(file, getattr(picture, "tag_v2", ()))
        if raw:
            raise RefusedImageError(*raw)
        if picture.format == "PNG" and picture.fp is not None and info is None:
            info = info_behind_pixels(picture.fp)
        for key, value in (info or {}).items():
            picture.info.setdefault(key, value)
        return function(picture)


def _again(
    file: Path | bytes, function: Callable[[Image.Image], Result], error: Exception
) -> Result:
    """A second try if it may help; otherwise the error, in words."""
    if isinstance(error, Image.DecompressionBombError) or getattr(error, "errno", None):
        raise _in_words(error, file, b"") from error
    content = file if isinstance(file, bytes) else _start(file)
    start, failure = content[:LONGEST_BEGINNING], error
    try:
        if register_for(start):
            return _with_limit(file, function)
        if start.startswith(STRIPPED):
            bare = pixels_alone(file if isinstance(file, bytes) else file.read_bytes())
            if bare is not None:
                return _with_limit(bare[0], function, bare[1])
    except (BrokenImageError, MemoryError, VocabulaError):
        raise
    except Exception as second:
        failure = second
    raise _in_words(failure, file, start) from error


def _start(file: Path) -> bytes:
    with open(file, "rb") as opened:
        return opened.read(LONGEST_BEGINNING)


def _in_words(error: Exception, file: Path | bytes, start: bytes) -> BrokenImageError:
    if isinstance(error, Image.DecompressionBombError):
        found = re.search(r"([\d,]+) pixels", str(error))
        count = f"{int(found[1].replace(',', '')):,} pixels" if found else "a picture"
        most = f"more than the {MAX_PIXELS:,} that are read"
        return RefusedImageError(f"{count}, {most}", "cut it into parts or scale it down")
    if isinstance(error, PermissionError):
        return RefusedImageError("no permission", "check its rights")
    if isinstance(error, OSError) and error.strerror:
        return BrokenImageError(error.strerror)
    if isinstance(error, UnidentifiedImageError):
        known = unopened(file, start)
        if known is not None:
            return RefusedImageError(*known)
        damaged = "damaged at its start, or of a kind that Pillow does not read"
        return BrokenImageError(damaged if begins_like_picture(start) else "not a picture")
    if "libjxl" in str(error):  # it advises to build a library
        return BrokenImageError("JPEG XL, damaged")
    return BrokenImageError(one_line(str(error)) or type(error).__name__)


@contextmanager
def _limit_raised() -> Iterator[None]:
    """Use our limit in place of Pillow's, a module variable, while any thread needs it."""
    with _raising:
        _raised.append(Image.MAX_IMAGE_PIXELS)
        Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # Pillow refuses more than twice this
    try:
        yield
    finally:
        with _raising:
            before = _raised[0]
            _raised.pop()
            if not _raised:
                Image.MAX_IMAGE_PIXELS = before


@contextmanager
def _listening(notes: list[str]) -> Iterator[None]:
    """Send this thread's Pillow warnings to a list."""
    before = getattr(_here, "notes", None)
    _here.notes = notes
    try:
        yield
    finally:
        _here.notes = before


class _Warnings:
    """The module `warnings`, for Pillow's modules: warnings about our pictures become notes.

    Python's own filters belong to the whole process: changing them while other threads decode would
    lose their warnings.
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(warnings, name)

    def warn(
        self,
        message: Warning | str,
        category: type[Warning] | None = None,
        stacklevel: int = 1,
        source: Any = None,
    ) -> None:
        """See `warnings.warn`."""
        notes: list[str] | None = getattr(_here, "notes", None)
        if notes is None:
            warnings.warn(message, category, stacklevel + 1, source)
        elif category is None or not issubclass(category, Image.DecompressionBombWarning):
            notes.append(one_line(str(message)).rstrip("."))


for _module in (Image, *PLUGINS):
    if vars(_module).get("warnings") is warnings:
        vars(_module)["warnings"] = _Warnings()
