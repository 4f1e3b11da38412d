"""What sources of files below a folder have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from vocabula.data.content import content_of_files
from vocabula.data.pieces import Piece, folders_above
from vocabula.files import input_errors


class FilesBelow:
    """The part of a source whose signals are files below a folder, one each.

    A class that inherits it sets the folder, `_root`, the files in order, `_files`, and whether
    they are all that the folder holds, `_searched`.
    """

    _root: Path
    _files: Sequence[Path]
    _searched: bool

    @property
    def root(self) -> Path:
        """The folder that paths are relative to."""
        return self._root.absolute()

    def below(self, index: int) -> str:
        """The path of a file, relative to the folder."""
        return self._files[index].relative_to(self._root).as_posix()

    def pieces(self) -> Iterator[Piece]:
        """Each file is a piece."""
        return (Piece.of(file.absolute(), 0, 1) for file in self._files)

    def folders(self) -> set[Path]:
        """Those of the files, up to the root; none if the files were named."""
        return folders_above(self._root, self._files) if self._searched else set()

    def content(self) -> str:
        """Hash of the files' sizes and of a sample of their bytes; see `content_of_files`."""
        with input_errors(self._root):
            return content_of_files(self._files)
