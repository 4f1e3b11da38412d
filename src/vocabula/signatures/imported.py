"""Imports modules from outside the package that register components."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from vocabula.errors import OptionError

_OURS = Path(__file__).parents[1]
_asked: list[str] = []


def import_modules(names: Sequence[str]) -> None:
    """Import modules, each named by its dotted name or by the path of its .py file.

    Dotted names are searched in the current folder first; a file can import its neighbours.

    Raises:
        OptionError: there is no such module, or it fails.
    """
    _asked[:] = dict.fromkeys(names)
    for name in _asked:
        _import(name)


def import_words() -> list[str]:
    """The command-line words that import the same modules: ``--import NAME ...``."""
    return [word for name in _asked for word in ("--import", name)]


def _import(name: str) -> None:
    file = Path(name).expanduser().absolute() if name.endswith(".py") else None
    dotted = all(part.isidentifier() for part in name.split("."))
    if not (dotted if file is None else file.is_file()):
        raise _unknown(name)
    folder = Path.cwd() if file is None else file.parent
    try:
        with _first_on_path(str(folder)):
            if file is None:
                importlib.import_module(name)
            else:
                _run(file)
    except (Exception, SystemExit) as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if file is None and missing and f"{name}.".startswith(f"{missing}."):
            raise _unknown(name) from None
        text = str(error.msg if isinstance(error, SyntaxError) else error).partition("\n")[0]
        raise OptionError(
            f"--import {name}: expected a module that can be imported, got "
            f"{type(error).__name__}: {text} ({_place(error, folder)}); mend it there"
        ) from None


def _unknown(name: str) -> OptionError:
    return OptionError(
        f"--import: expected a module in the current folder, an installed one or the path of a "
        f".py file, got {name!r}; check the spelling"
    )


@contextmanager
def _first_on_path(folder: str) -> Iterator[None]:
    """Search a folder for modules: before all others within the block, after them from then on."""
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(folder)
        if folder not in sys.path:
            sys.path.append(folder)


def _run(file: Path) -> None:
    """Import a file under its path, as another module may have its name."""
    name = str(file)
    if name in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError("not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise


def _place(error: BaseException, folder: Path) -> str:
    """The user's file and line that an error comes from."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if _is_own(Path(frame.filename), folder)]
    frame = (own or list(frames))[-1]
    return f"{frame.filename}, line {frame.lineno}"


def _is_own(file: Path, folder: Path) -> bool:
    inside = file.is_relative_to(folder) and not file.is_relative_to(_OURS)
    return inside and "site-packages" not in file.parts
