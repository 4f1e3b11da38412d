"""The command line starts fast, helps, and works as a module and under its own name."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import vocabula as package
from vocabula.pipelines import compress_files
from vocabula.tokenizers import load

COMMANDS = ("train", "evaluate", "encode", "decode", "report", "config", "info", "benchmark")


def _environment(**variables: str) -> dict[str, str]:
    source = Path(package.__file__).parents[1]
    path = os.pathsep.join(filter(None, [str(source), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, "COLUMNS": "200", **variables}
    environment.pop("RANK", None)
    return environment


def _python(*words: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = _environment(**variables)
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


HEAVY = {"torch", "matplotlib", "sklearn", "skimage", "transformers", "pyarrow", "accelerate"}
STARTS = """
import sys
from vocabula.cli.main import main
sys.argv[0] = "vocabula"
try:
    main()
except SystemExit as end:
    print("heavy", sorted({heavy} & set(sys.modules)), "code", end.code)
"""
FORKS = """
import contextlib, io, json, os, sys
from vocabula.cli.main import main

def run(*words):
    sys.argv = ["vocabula", *words]
    code, out, err = None, io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            code = end.code
    return [code, out.getvalue() + err.getvalue(), sorted({heavy} & set(sys.modules))]

run("config", "cifar10", "--explain")
run("evaluate", "missing", "sample:digits")
for line in sys.stdin:
    if os.fork():
        os.wait()
        continue
    print(json.dumps(run(*json.loads(line))), flush=True)
    os._exit(0)
"""
"""Runs each command, a line of its words, in a fork of itself.

What two commands import is imported once, before. Anything heavy among it would show in each fork.
"""


@pytest.fixture(scope="module")
def finished(saved: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run, a prior's folder and a compressed file."""
    from vocabula.codec import write
    from vocabula.tokenizers import load

    folder = tmp_path_factory.mktemp("finished")
    shutil.copytree(saved / "run", folder / "run")
    write(folder / "file.vcb", torch.rand(2, 3, 9, 12), load(folder / "run"))
    return folder


@pytest.fixture(scope="module")
def started(finished: Path) -> Iterator[subprocess.Popen[str]]:
    """`FORKS`, in the folder `finished`."""
    start = FORKS.replace("{heavy}", repr(HEAVY))
    with subprocess.Popen(
        [sys.executable, "-c", start],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=_environment(),
        cwd=finished,
    ) as process:
        yield process


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("--help", 0, "Examples"),
        ("config", 0, "cifar10"),
        ("config cifar10", 0, "codebook_size = 512"),
        ("config cifar10 --explain", 0, "codewords"),
        ("config cifar10 quantizer=residual quantizer.stages=[{name='vector',dim=2}]", 2, "stages"),
        ("config transformer prior.layers=2", 0, "layers = 2"),
        ("config cifar11", 2, "did you mean 'cifar10'"),
        ("config cifar10 quantizer.codebok_size=2", 2, "did you mean 'codebook_size'"),
        ("config cifar10 training.steps=-1", 2, "training.steps: expected"),
        ("info run", 0, "VectorQuantizer"),
        ("inspect file.vcb", 0, "adaptive"),
        ("inspect file.vcb --max-memory 1", 0, "adaptive"),
        ("inspect missing.vcb", 2, "missing.vcb: expected"),
        ("info missing", 2, "missing: expected a saved tokenizer"),
        ("evaluate missing sample:digits", 2, "missing: expected a saved tokenizer"),
        ("evaluate run missing", 2, "missing: expected a folder of pictures"),
        ("evaluate run sample:digit", 2, "did you mean 'sample:digits'"),
        ("evaluate run", 2, "Missing argument 'DATA'"),
        ("encode run missing -o codes.parquet", 2, "missing: expected a folder"),
        ("decode run missing.parquet -o out", 2, "missing.parquet: expected a file of tokens"),
        ("compress run missing.png", 2, "missing.png: expected a picture file"),
        ("decompress run missing.vcb", 2, "missing.vcb: expected a compressed file"),
        ("counts run missing", 2, "missing: expected a folder"),
        ("rate run missing", 2, "missing: expected a folder"),
        ("report run missing", 2, "missing: expected a folder"),
        ("compare run missing sample:digits", 2, "missing: expected a saved tokenizer"),
        ("compare run run missing", 2, "missing: expected a folder"),
        ("export missing out", 2, "missing: expected a saved tokenizer"),
        ("export run out --data missing", 2, "missing: expected a folder"),
        ("train missing -o out", 2, "missing: expected a folder"),
        ("train sample:digits -o out --preset phots", 2, "did you mean 'photos'"),
        ("train-prior run missing.parquet --model pixelcnn -o out", 2, "expected a file of tokens"),
        ("sample missing -o out", 2, "missing: expected a trained prior"),
        ("complete missing x.png -o out", 2, "missing: expected a trained prior"),
        ("palette missing.png -o out", 2, "missing.png: expected a picture"),
        ("blocks missing.png", 2, "missing.png: expected a picture file"),
        ("trian", 2, "Did you mean"),
        ("train --steps 3", 2, "No such option"),
    ],
)
def test_what_computes_nothing_imports_nothing_that_computes(
    started: subprocess.Popen[str], words: str, code: int, said: str
) -> None:
    assert started.stdin and started.stdout
    print(json.dumps(words.split()), file=started.stdin, flush=True)
    ended, text, heavy = json.loads(started.stdout.readline())
    assert said in text
    assert (ended, heavy) == (code, []), text


NEEDLESS = {
    *("matplotlib", "sklearn", "skimage", "scipy", "pyarrow", "transformers", "accelerate"),
    *("huggingface_hub", "httpx", "jinja2", "soundfile", "sympy", "torch._dynamo", "triton"),
    *("vocabula.training", "vocabula.reports", "vocabula.benchmark"),
}
"""What a picture is compressed and opened without: each takes 0.05 to 2 s to import."""


@pytest.mark.slow
@pytest.mark.parametrize("words", ["compress picture.png", "decompress picture.vcb -o again.png"])
def test_pictures_are_compressed_and_opened_without_what_is_not_needed(
    words: str, tmp_path: Path
) -> None:
    Image.fromarray(np.zeros((24, 40, 3), np.uint8)).save(tmp_path / "picture.png")
    if words.startswith("decompress"):
        compress_files(load("default"), [tmp_path / "picture.png"])
    done = _python("-c", STARTS.replace("{heavy}", repr(NEEDLESS)), *words.split(), cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "heavy [] code 0", done.stdout + done.stderr


def test_completion_of_the_shell_checks_no_argument(tmp_path: Path) -> None:
    words = {
        "_VOCABULA_COMPLETE": "complete_bash",
        "COMP_WORDS": "vocabula info no",
        "COMP_CWORD": "2",
    }
    start = STARTS.replace("{heavy}", repr(HEAVY))
    done = _python("-c", start, cwd=tmp_path, **words)
    assert done.stderr == ""
    assert "heavy []" in done.stdout


def test_module_prints_its_version(tmp_path: Path) -> None:
    done = _python("-m", "vocabula", "--version", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"vocabula {package.__version__}\n")


def test_module_ends_with_two_on_a_user_error(tmp_path: Path) -> None:
    done = _python("-m", "vocabula", "evaluate", "nowhere", "sample:digits", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: nowhere: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
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
