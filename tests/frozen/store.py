"""How frozen files are written: each once."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frozen.cases import FILES


def new(path: Path) -> bool:
    """Whether a file or folder is missing, so that it is written now."""
    if not path.exists():
        print(f"writing {path.relative_to(FILES)}")
        path.parent.mkdir(parents=True, exist_ok=True)
    return not path.exists()


def put_json(path: Path, content: Any) -> None:
    """Write a JSON file."""
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def put_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write an .npz file."""
    np.savez_compressed(path, **arrays)


@contextmanager
def workplace() -> Iterator[Path]:
    """A folder with a copy of the frozen files, which is the current one meanwhile."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        shutil.copytree(FILES, name, dirs_exist_ok=True)
        os.chdir(name)
        try:
            yield Path(name)
        finally:
            os.chdir(before)
