"""The command line starts fast, helps, and works as a module and under its own name."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import vocabula as package

COMMANDS = ("train", "evaluate", "encode", "decode", "report", "config", "info", "benchmark")


def _python(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    source = Path(package.__file__).parents[1]
    path = os.pathsep.join(filter(None, [str(source), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, "COLUMNS": "200"}
    environment.pop("RANK", None)
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, env=environment, cwd=cwd
    )


@pytest.mark.parametrize("statement", ["import vocabula.cli.main", "import vocabula"])
def test_nothing_heavy_is_imported_before_it_is_needed(statement: str, tmp_path: Path) -> None:
    heavy = "{'torch', 'numpy', 'matplotlib', 'skimage', 'pyarrow', 'PIL', 'pydantic', 'jinja2'}"
    done = _python(
        "-c", f"{statement}; import sys; print({heavy} & set(sys.modules))", cwd=tmp_path
    )
    assert done.stdout.strip() == "set()", done.stderr


def test_help_imports_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom vocabula.cli.main import app\n"
        "try:\n    app(['train', '--help'])\nfinally:\n    assert 'torch' not in sys.modules"
    )
    done = _python("-c", code, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Examples" in done.stdout


def test_module_prints_its_version(tmp_path: Path) -> None:
    done = _python("-m", "vocabula", "--version", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"vocabula {package.__version__}\n")


def test_module_ends_with_two_on_a_user_error(tmp_path: Path) -> None:
    done = _python("-m", "vocabula", "evaluate", "nowhere", "sample:digits", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: nowhere: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(vocabula: Callable, command: str) -> None:
    done = vocabula(command, "--help")
    assert done.code == 0
    assert "Examples" in done.out
    assert f"vocabula {command}" in done.out
    assert vocabula(command, "-h").out == done.out


def test_help_names_every_command(vocabula: Callable) -> None:
    for words in (("--help",), ()):
        done = vocabula(*words)
        assert done.code == 0
        for command in COMMANDS:
            assert command in done.out


@pytest.mark.parametrize("typo", ["evalute", "Train", "reprot", "confg"])
def test_unknown_command_gets_the_nearest_name(vocabula: Callable, typo: str) -> None:
    done = vocabula(typo)
    assert done.code == 2
    assert "Did you mean" in done.err
