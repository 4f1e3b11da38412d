"""Recordings in files of a folder."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from vocabula.data.audio_clips import Clip, Clips
from vocabula.data.audio_file import opened
from vocabula.data.audio_formats import BEGINNING, begins_like_audio, named_like_audio
from vocabula.data.audio_names import folder_classes
from vocabula.data.files_below import FilesBelow
from vocabula.data.image_files import Wanted, find_files
from vocabula.data.labels import Labels


class FileClips(FilesBelow, Clips):
    """Recordings in files, opened when they are read.

    Args:
        root: the folder that paths are relative to.
        files: in order.
        searched: whether they are all that the folder holds.
    """

    def __init__(self, root: Path, files: Sequence[Path], *, searched: bool = False) -> None:
        self._root, self._files, self._searched = root, list(files), searched

    def __len__(self) -> int:
        """The number of files."""
        return len(self._files)

    def path(self, index: int) -> str:
        """The path of a file, relative to the folder."""
        return self.below(index)

    def open(self, index: int) -> AbstractContextManager[Clip]:
        """See `Clips.open`."""
        return opened(self._files[index])

    def labels(self) -> dict[str, Labels]:
        """The first sub-folders as classes; see `folder_classes`."""
        return folder_classes([self.path(index) for index in range(len(self))])


def find_recordings(root: Path) -> tuple[list[Path], list[str]]:
    """The recordings below a folder, and all other files with the reason; see `find_files`.

    Raises:
        DataError: the folder itself cannot be opened.
    """
    return find_files(root, RECORDINGS)


RECORDINGS = Wanted("recording", named_like_audio, begins_like_audio, BEGINNING)
"""Files that are tried as recordings."""
