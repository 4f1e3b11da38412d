"""Recordings in files of a folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from vocabula.data.audio_clips import Clip, Clips
from vocabula.data.audio_file import opened
from vocabula.data.audio_formats import BEGINNING, begins_like_audio, named_like_audio
from vocabula.data.audio_names import folder_classes
from vocabula.data.content import content_of_files
from vocabula.data.image_files import Wanted, find_files
from vocabula.data.labels import Labels
from vocabula.data.pieces import Piece, folders_above
from vocabula.files import input_errors


class FileClips(Clips):
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
        return self._files[index].relative_to(self._root).as_posix()

    def open(self, index: int) -> AbstractContextManager[Clip]:
        """See `Clips.open`."""
        return opened(self._files[index])

    @property
    def root(self) -> Path:
        """See `Source.root`."""
        return self._root.absolute()

    def pieces(self) -> Iterator[Piece]:
        """Each file is a piece."""
        return (Piece.of(file.absolute(), 0, 1) for file in self._files)

    def folders(self) -> set[Path]:
        """See `Source.folders`."""
        return folders_above(self._root, self._files) if self._searched else set()

    def labels(self) -> dict[str, Labels]:
        """The first sub-folders as classes; see `folder_classes`."""
        return folder_classes([self.path(index) for index in range(len(self))])

    def content(self) -> str:
        """Hash of the files' sizes and of a sample of their bytes; see `content_of_files`."""
        with input_errors(self._root):
            return content_of_files(self._files)


def find_recordings(root: Path) -> tuple[list[Path], list[str]]:
    """The recordings below a folder, and all other files with the reason; see `find_files`.

    Raises:
        DataError: the folder itself cannot be opened.
    """
    return find_files(root, RECORDINGS)


RECORDINGS = Wanted("recording", named_like_audio, begins_like_audio, BEGINNING)
"""Files that are tried as recordings."""
