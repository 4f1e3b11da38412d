"""Pictures in tar files laid out as WebDataset does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vocabula.data.audio_formats import AUDIO_SUFFIXES, OF_AUDIO
from vocabula.data.image_problems import BrokenImageError
from vocabula.data.picture_formats import COMMON_SUFFIXES, named_like_picture
from vocabula.data.pieces import Piece
from vocabula.data.pixels import FILE_CHANNELS, channel_error, decode, read_header
from vocabula.data.source import ImageSource, Sample
from vocabula.data.tar_fields import TarFields
from vocabula.data.tar_index import MemberError
from vocabula.data.tar_samples import TarItems, several_folders
from vocabula.signals.attributes import CLASS

_LOOKED_AT = 256  # pictures whose headers decide between grey and colour


class TarSource(ImageSource):
    """Pictures in one or several tars (shards), decoded when they are read, to uint8.

    A picture's class is its member ``cls``, or the first field of its member ``json`` that is named
    as in `LABEL_NAMES`, or, if every name in the tars has a folder and there are several, the first
    folder.

    Args:
        files: the shards, in order.
        name: what messages call the data.
        strict: refuse pictures that are broken, instead of skipping them.
        channels: 1, 3 or 4; None takes 1 if the first 256 pictures are grey and 3 otherwise.

    Raises:
        DataError: a tar is damaged, or holds no pictures.
    """

    def __init__(
        self,
        files: Sequence[Path],
        *,
        name: str = "",
        strict: bool = False,
        channels: int | None = None,
    ) -> None:
        name = name or str(files[0])
        if channels is not None and channels not in FILE_CHANNELS:
            raise channel_error(name, channels, 3)
        fields = TarFields(lambda field: False, 0)
        self._items = TarItems(files, named_like_picture, "picture", fields.add)
        if not len(self._items):
            recordings = any(f".{e}" in AUDIO_SUFFIXES for e in self._items.endings)
            advice = OF_AUDIO if recordings else "give tars with members such as 0001.jpg"
            expected = f"pictures ({', '.join(COMMON_SUFFIXES)} and others)"
            raise self._items.nothing(name, expected, advice)
        fields.report(name)
        labels = fields.labels().get(CLASS) or several_folders(self._items.paths()).get(CLASS)
        super().__init__(name, 3, label_names=labels.names if labels else None, strict=strict)
        self._labels = None if labels is None else labels.values
        self.passed_over = self._items.passed_over
        self.channels = channels or self._natural_channels()

    def __len__(self) -> int:
        """The number of pictures in all tars."""
        return len(self._items)

    def describe(self, index: int) -> str:
        """The tar's name and the member's."""
        return self._items.describe(index)

    def path(self, index: int) -> str:
        """The member's name."""
        return self._items.path(index)

    def pieces(self) -> Iterator[Piece]:
        """Each tar is a piece."""
        return self._items.pieces()

    def folders(self) -> set[Path]:
        """The folders of the tars, if the data are a folder or a pattern."""
        return set() if Path(self.name).expanduser().is_file() else self._items.folders()

    def stored_attributes(self) -> dict[str, NDArray[np.int64]]:
        """See `Source.stored_attributes`."""
        none = np.full(len(self) if self._labels is None else 0, -1, np.int64)
        return {CLASS: none if self._labels is None else self._labels}

    def pixels(self, index: int) -> int:
        """Height times width of one picture, from its header; 0 if the header is broken."""
        try:
            header = read_header(self._encoded(index))
        except BrokenImageError:
            return 0
        return header.height * header.width

    def content(self) -> str:
        """See `TarItems.content`."""
        return self._items.content()

    def _read(self, index: int) -> Sample:
        label = -1 if self._labels is None else int(self._labels[index])
        image = decode(self._encoded(index), self.channels)
        return Sample(image, None if label < 0 else label, self.path(index), index)

    def _encoded(self, index: int) -> bytes:
        try:
            return self._items.read(index)
        except MemberError as error:
            raise BrokenImageError(str(error)) from None

    def _natural_channels(self) -> int:
        for index in range(min(_LOOKED_AT, len(self))):
            try:
                if read_header(self._encoded(index)).channels == 3:
                    return 3
            except BrokenImageError:
                continue
        return 1
