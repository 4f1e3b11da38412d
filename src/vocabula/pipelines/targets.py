"""Which files are decompressed, and where their signals go."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from vocabula.errors import CodecError, OutputError
from vocabula.pipelines.picture_targets import SUFFIX


def list_files(files: Sequence[str | os.PathLike[str]]) -> list[tuple[Path, Path]]:
    """Compressed files, given directly or found below folders, with their paths in the folders.

    Raises:
        CodecError: a folder holds none.
    """
    listed: list[tuple[Path, Path]] = []
    for path in map(Path, files):
        if not path.is_dir():
            listed.append((path, Path()))
            continue
        inner = sorted(file for file in path.rglob(f"*{SUFFIX}") if file.is_file())
        if not inner:
            raise CodecError(
                f"{path}: expected a folder of {SUFFIX} files, got none in it; name the files"
            )
        listed += [(file, file.parent.relative_to(path)) for file in inner]
    return listed


def different_targets(
    wanted: Sequence[tuple[Path, Path]],
    *,
    beside: bool,
    check: Callable[[int, Path], None],
) -> list[Path]:
    """Outputs, all new and all different.

    Args:
        wanted: each compressed file and its output.
        beside: whether outputs lie beside the files, where the originals may be.
        check: refuses the output with a number that exists.

    Raises:
        OutputError: an output exists, or two files share one.
    """
    targets: dict[Path, Path] = {}
    for number, (path, target) in enumerate(wanted):
        if target in targets or target == path:
            raise OutputError(
                f"{target}: expected one file for each output, got {path} and "
                f"{targets.get(target, path)}; decompress them into different folders with -o"
            )
        targets[target] = path
        try:
            check(number, target)
        except OutputError:
            if not beside or not target.exists():
                raise
            raise OutputError(  # so as not to tempt anyone into replacing originals
                f"{target}: expected a new output, got an existing one, perhaps the original; name "
                "another place with -o"
            ) from None
    return list(targets)
