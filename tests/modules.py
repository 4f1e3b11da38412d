"""A plugin of pytest: which modules of the package no test has run a function of, if any.

    python -m pytest -n 2 -m "not slow" -p tests.modules

Functions count, not what a module does when it is imported; work in other processes is not seen.
"""

from __future__ import annotations

import ast
import inspect
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

SOURCE = Path(__file__).parents[1] / "src"
ran: set[CodeType] = set()
told: set[str] = set()


def _note(frame: FrameType, event: str, argument: Any) -> None:
    ran.add(frame.f_code)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Note every call while a test and its fixtures run."""
    threading.settrace(_note)
    sys.settrace(_note)
    try:
        return (yield)
    finally:
        sys.settrace(None)
        threading.settrace(None)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Keep the files of what ran; under xdist, hand them to the controller."""
    told.update(code.co_filename for code in ran if code.co_flags & inspect.CO_OPTIMIZED)
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["ran"] = sorted(told)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take what a worker hands over."""
    told.update(node.workeroutput["ran"])


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """List modules with functions, none of which ran."""
    files = {Path(name).resolve() for name in told if "vocabula" in name}
    left = [path for path in sorted(SOURCE.rglob("*.py")) if path not in files and _acts(path)]
    terminalreporter.section("modules without a function that ran")
    for path in left:
        terminalreporter.line(str(path.relative_to(SOURCE)))
    terminalreporter.line(f"{len(left)} modules")


def _acts(path: Path) -> bool:
    return any(
        isinstance(node, ast.FunctionDef) and not _declared(node)
        for node in ast.walk(ast.parse(path.read_text()))
    )


def _declared(node: ast.FunctionDef) -> bool:
    """Whether a function is declared for subclasses or protocols alone."""
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return all(isinstance(part, ast.Expr | ast.Pass) for part in body)
