"""Recordings in tar files laid out as WebDataset does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path, PurePath

from vocabula.data.audio_clips import BrokenAudioError, Clip, Clips
from vocabula.data.audio_file import opened
from vocabula.data.audio_formats import AUDIO_SUFFIXES, COMMON_AUDIO
from vocabula.data.audio_parquet import MOST_VALUES, can_describe
from vocabula.data.labels import Labels
from vocabula.data.picture_formats import IMAGE_SUFFIXES
from vocabula.data.pieces import Piece
from vocabula.data.tar_fields import TarFields
from vocabula.data.tar_index import MemberError
from vocabula.data.tar_samples import TarItems, several_folders

_OTHERS = {"caption", "captions", "texts", "url", "sha256", "md5"}
_OF_IMAGES = "pictures are for a tokenizer of images, such as --preset photos trains"


class TarClips(Clips):
    """Recordings in one or several tars (shards).

    Attributes are the member ``cls`` and fields of the member ``json`` that are texts or whole
    numbers, have no more values than half the recordings, and `MOST_VALUES` at most; without a
    class it is the first folder, if every name has one and there are several.

    Args:
        files: the shards, in order.
        searched: whether they are all that a folder or a pattern tells.

    Raises:
        DataError: a tar is damaged, or holds no recordings.
    """

    def __init__(self, files: Sequence[Path], *, searched: bool = False) -> None:
        self._searched, name = searched, str(files[0])
        fields = TarFields(_can_describe, MOST_VALUES)
        self._items = TarItems(files, _is_recording, "recording", fields.add)
        if not len(self._items):
            pictures = any(f".{ending}" in IMAGE_SUFFIXES for ending in self._items.endings)
            advice = _OF_IMAGES if pictures else "give tars with members such as 0001.flac"
            raise self._items.nothing(name, f"recordings ({', '.join(COMMON_AUDIO)})", advice)
        fields.report(name)
        self._labels = several_folders(self._items.paths()) | fields.labels()
        self.passed_over = self._items.passed_over

    def __len__(self) -> int:
        """The number of recordings in all tars."""
        return len(self._items)

    def path(self, index: int) -> str:
        """The member's name."""
        return self._items.path(index)

    def open(self, index: int) -> AbstractContextManager[Clip]:
        """See `Clips.open`."""
        try:
            return opened(self._items.read(index))
        except MemberError as error:
            raise BrokenAudioError(str(error)) from None

    def content(self) -> str:
        """See `TarItems.content`."""
        return self._items.content()

    def pieces(self) -> Iterator[Piece]:
        """Each tar is a piece."""
        return self._items.pieces()

    def folders(self) -> set[Path]:
        """See `Source.folders`."""
        return self._items.folders() if self._searched else set()

    def labels(self) -> dict[str, Labels]:
        """What the members beside the recordings tell."""
        return self._labels


def _can_describe(field: str) -> bool:
    return can_describe(field) and field.lower() not in _OTHERS


def _is_recording(path: PurePath) -> bool:
    return path.suffix.lower() in AUDIO_SUFFIXES
