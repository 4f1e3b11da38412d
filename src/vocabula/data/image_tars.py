"""Pictures in tar files laid out as WebDataset does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vocabula.data.audio_formats import AUDIO_SUFFIXES, OF_AUDIO
from vocabula.data.image_problems import BrokenImageError
from vocabula.data.image_shards import ShardedSource, check_channels
from vocabula.data.picture_formats import COMMON_SUFFIXES, named_like_picture
from vocabula.data.pixels import decode
from vocabula.data.source import Sample
from vocabula.data.tar_fields import TarFields
from vocabula.data.tar_index import MemberError
from vocabula.data.tar_samples import TarItems, several_folders
from vocabula.signals.attributes import CLASS


class TarSource(ShardedSource):
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
        check_channels(name, channels)
        fields = TarFields(lambda field: False, 0)
        self._items = TarItems(files, named_like_picture, "picture", fields.add)
        if not len(self._items):
            recordings = any(f".{e}" in AUDIO_SUFFIXES for e in self._items.endings)
            advice = OF_AUDIO if recordings else "give tars with members such as 0001.jpg"
            expected = f"pictures ({', '.join(COMMON_SUFFIXES)} and others)"
            raise self._items.nothing(name, expected, advice)
        fields.report(name)
        labels = fields.labels().get(CLASS) or several_folders(self._items.paths()).get(CLASS)
        super().__init__(name, self._items, labels, strict=strict)
        self.passed_over = self._items.passed_over
        self.channels = channels or self._natural_channels(len(self))

    def path(self, index: int) -> str:
        """The member's name."""
        return self._items.path(index)

    def _read(self, index: int) -> Sample:
        image = decode(self._encoded(index), self.channels)
        return Sample(image, self._label(index), self.path(index), index)

    def _encoded(self, index: int) -> bytes:
        try:
            return self._items.read(index)
        except MemberError as error:
            raise BrokenImageError(str(error)) from None
