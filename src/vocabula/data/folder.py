"""A folder of picture files, or one picture file."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vocabula.data.files_below import FilesBelow
from vocabula.data.image_files import find_images, no_images, readable_images
from vocabula.data.image_problems import DataWarning, report_problems, summarize
from vocabula.data.pixels import FILE_CHANNELS, channel_error, decode
from vocabula.data.source import ImageSource, Sample
from vocabula.signals.attributes import CLASS


class FolderSource(FilesBelow, ImageSource):
    """Picture files, decoded when they are read, to uint8.

    Every header is read at the start, which finds files that are no pictures; damage behind the
    header is found when the picture is read.

    Args:
        root: the folder that paths are relative to.
        files: the picture files, in order; None finds them below `root`.
        name: what messages call the data; the root when empty.
        strict: refuse files that are broken or no pictures, instead of skipping them.
        channels: 1, 3 or 4; None takes 1 if every picture is grey and 3 otherwise.

    Labels: if every picture lies in a sub-folder, the sub-folders directly below `root`, sorted by
    name, are the classes; otherwise there are none.

    Raises:
        DataError: the folder is missing, unreadable or without pictures; or strict and problems.
    """

    def __init__(
        self,
        root: Path,
        files: Sequence[Path] | None = None,
        *,
        name: str = "",
        strict: bool = False,
        channels: int | None = None,
    ) -> None:
        name = name or str(root)
        if channels is not None and channels not in FILE_CHANNELS:
            raise channel_error(name, channels, 3)
        problems: list[str] = []
        self._searched = files is None
        if files is None:
            files, problems = find_images(root)
        found = len(files) + len(problems)
        kept, headers, broken, notes = readable_images(root, files)
        problems = broken + problems
        if not kept:
            raise no_images(name, problems)
        report_problems(name, problems, found, strict=strict)
        if notes:
            text = f"{name}: read in spite of damaged metadata: {summarize(notes)}"
            warnings.warn(text, DataWarning, stacklevel=3)
        self._root = root
        have = max(header.channels for header in headers)
        if channels == 1 and have > 1:
            text = f"{name}: reading colour pictures as grey, for a model of 1 channel"
            warnings.warn(text, DataWarning, stacklevel=3)
        channels = channels or have
        self._files = kept
        self._pixels = [header.height * header.width for header in headers]
        self._smallest = (min(h.height for h in headers), min(h.width for h in headers))
        classes = [path.relative_to(root).parts[:-1][:1] for path in kept]
        names = sorted({c[0] for c in classes if c}) if all(classes) else None
        super().__init__(name, channels, label_names=names, strict=strict)
        self._labels = [names.index(c[0]) for c in classes] if names else None
        self.problems.extend(problems)
        self.unreadable = [text.partition(": ")[::2] for text in broken]

    def __len__(self) -> int:
        """The number of pictures whose header is readable."""
        return len(self._files)

    def describe(self, index: int) -> str:
        """The path of one picture, relative to the folder."""
        return self.below(index)

    def pixels(self, index: int) -> int:
        """Height times width of one picture, from its header."""
        return self._pixels[index]

    def smallest(self) -> tuple[int, int]:
        """The smallest height and the smallest width, from the headers."""
        return self._smallest

    def stored_attributes(self) -> dict[str, NDArray[np.int64]]:
        """See `Source.stored_attributes`."""
        values = self._labels or [-1] * len(self)
        return {CLASS: np.array(values, np.int64)}

    def _read(self, index: int) -> Sample:
        image = decode(self._files[index], self.channels)
        label = None if self._labels is None else self._labels[index]
        return Sample(image, label, self.describe(index), index)
