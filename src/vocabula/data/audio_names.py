"""Attributes of recordings from their paths: a pattern of the file name, or the sub-folder."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vocabula.data.image_problems import DataWarning, summarize
from vocabula.data.labels import Labels, labels_of
from vocabula.errors import DataError, OptionError, plural
from vocabula.signals.attributes import CLASS, is_further

INDEX = "index"
"""The field of a pattern that tells recordings of equal attributes apart; no attribute."""
FEW = 64
"""Recordings up to which a field may have another value for every one and still describe them."""


@dataclass(frozen=True)
class NamedAttributes:
    """The attributes that names tell.

    Attributes:
        labels: by attribute, -1 for a name that does not fit.
        misfits: the names that do not fit.
        left_out: fields that identify recordings and are no attributes.
        pattern: what the names were compared with.
    """

    labels: dict[str, Labels]
    misfits: list[str]
    left_out: list[str]
    pattern: str

    def report(self, name: str, total: int, *, strict: bool) -> None:
        """Refuse (strict) or announce names that do not fit, and fields that are left out.

        Args:
            name: what messages call the data.
            total: number of all names.
            strict: refuse.

        Raises:
            DataError: some names do not fit and `strict` is set.
        """
        if self.misfits:
            count = f"{len(self.misfits)} of {plural(total, 'name')}"
            got = f"names like {self.pattern}, got {count} that do not fit: "
            got += summarize(self.misfits)
            if strict:
                raise DataError(f"{name}: expected {got}; rename them or leave out strict")
            text = f"{name}: attributes are unknown: expected {got}"
            warnings.warn(text, DataWarning, stacklevel=3)
        if self.left_out:
            what = ", ".join(self.left_out)
            text = f"{name}: {what} differs in every recording, so it is no attribute"
            warnings.warn(text, DataWarning, stacklevel=3)


class NamePattern:
    """Attributes in names such as ``7_george_0.wav``.

    ``{name}`` stands for one or more characters other than those between the fields, so a name with
    more separators than the pattern does not fit. A pattern with ``/`` reads the last folders too.
    The field ``index`` is no attribute, nor is one that has another value for every one of more
    than 64 recordings: it identifies them.

    Args:
        pattern: such as ``{digit}_{speaker}_{index}``.

    Raises:
        OptionError: it has no field, a name that no attribute can have, or two equal ones.

    Example:
        >>> NamePattern("{digit}_{speaker}_{index}").fields("fsdd/7_george_0.wav")
        {'digit': '7', 'speaker': 'george'}
    """

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        parts = re.split(r"\{(.*?)\}", pattern)  # texts and fields by turns
        between, names = parts[::2], parts[1::2]
        own = [name for name in names if name != INDEX]
        wrong = [name for name in own if name != CLASS and not is_further(name)]
        wrong += [name for name in own if own.count(name) > 1]
        if not own or wrong or not all(between[1:-1]) or re.search(r"[{}]", "".join(between)):
            raise OptionError(
                f"data.labels: expected different attributes in braces with characters between "
                f"them, got {pattern!r}; write it like {{digit}}_{{speaker}}_{{{INDEX}}}"
            )
        self._depth = pattern.count("/") + 1
        no = re.escape("".join(sorted({"/", *"".join(between)})))
        fields = [f"(?P<{n}>[^{no}]+)" if n != INDEX else f"[^{no}]+" for n in names]
        texts = map(re.escape, between)
        self._expression = re.compile(
            "".join(t + f for t, f in zip(texts, [*fields, ""], strict=True))
        )

    def fields(self, path: str) -> dict[str, str] | None:
        """The attributes that a path tells; None if it does not fit the pattern."""
        parts = PurePosixPath(path).with_suffix("").parts if path else ()
        found = self._expression.fullmatch("/".join(parts[-self._depth :]))
        return None if found is None else found.groupdict()

    def read(self, paths: Sequence[str]) -> NamedAttributes:
        """The attributes of many paths."""
        found = [self.fields(path) for path in paths]
        misfits = [path for path, own in zip(paths, found, strict=True) if own is None]
        labels, left_out = {}, []
        for name in self._expression.groupindex:
            texts = [None if own is None else own[name] for own in found]
            labels[name] = labels_of(pa.array(texts, pa.string()))
            if FEW < len(texts) == len(labels[name].names or ()):
                left_out.append(name)
                del labels[name]
        return NamedAttributes(labels, misfits, left_out, self.pattern)


def folder_classes(paths: Sequence[str]) -> dict[str, Labels]:
    """The first sub-folders as classes, if every path has one; see `FolderSource`."""
    folders = [path.partition("/")[0] if "/" in path else None for path in paths]
    if not folders or not all(folders):
        return {}
    names = sorted({folder for folder in folders if folder})
    where = {name: place for place, name in enumerate(names)}
    values: NDArray[np.int64] = np.array([where[str(folder)] for folder in folders], np.int64)
    return {CLASS: Labels(values, names)}
