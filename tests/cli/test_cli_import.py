"""Modules of one's own on the command line: ``vocabula --import MODULE COMMAND``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vocabula import registry
from vocabula.signatures import imported

MODULE = """
from torch import nn
from vocabula.registry import component

@component("network", "my_down")
class MyDown(nn.Sequential):
    def __init__(self, width: int = 4) -> None:
        super().__init__(nn.Conv2d(1, width, 2, stride=2), nn.ReLU(), nn.Conv2d(width, 8, 1))

@component("network", "my_up")
class MyUp(nn.ConvTranspose2d):
    def __init__(self) -> None:
        super().__init__(8, 1, 2, stride=2)
"""
NETWORKS = [
    "encoder=wrapped",
    "encoder.network.name=my_down",
    "encoder.network.width=6",
    "encoder.stride=2",
    "decoder=wrapped",
    "decoder.network=my_up",
    "decoder.stride=2",
    "quantizer.dim=8",
]
STEPS = ["training.steps=4", "training.batch_size=8", "schedule.warmup=0"]


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test imports and registers is forgotten after it."""
    known = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(imported, "_asked", [])
    monkeypatch.setitem(registry._COMPONENTS, "network", {})
    monkeypatch.delenv("VOCABULA_IMPORT", raising=False)
    yield
    for name in set(sys.modules) - known:
        if name.endswith(".py") or name in {"mine", "broken", "nets", "nets.mine"}:
            del sys.modules[name]


def _forget() -> None:
    """Be as a new process that has imported nothing of the user's."""
    registry._COMPONENTS["network"].clear()
    for name in [name for name in sys.modules if name == "mine" or name.endswith("mine.py")]:
        del sys.modules[name]


@pytest.mark.slow
def test_every_command_works_with_networks_of_ones_own(vocabula: Callable, tmp_path: Path) -> None:
    Path("mine.py").write_text(MODULE)
    pixels = np.random.default_rng(0).integers(0, 256, (9, 12), dtype=np.uint8)
    Image.fromarray(pixels).save("picture.png")
    train = ["train", "sample:digits", "--preset", "digits", "-o", "run", *NETWORKS, *STEPS]
    assert vocabula("--import", "mine", *train).code == 0
    settings = json.loads(Path("run/config.json").read_text())["tokenizer"]["encoder"]
    assert settings["network"] == {"name": "my_down", "width": 6}
    command = json.loads(Path("run/run.json").read_text())["command"]
    assert command.startswith("vocabula --import mine train sample:digits ")
    for words in (
        "info run",
        "evaluate run sample:digits/test --limit 8",
        "encode run sample:digits/test --limit 8 -o codes.parquet",
        "decode run codes.parquet -o decoded",
        "compress run picture.png",
        "decompress run picture.vcb -o again.png",
        "report run sample:digits/test --limit 8 -o report.html",
    ):
        _forget()
        done = vocabula("--import", tmp_path / "mine.py", *words.split())
        assert (done.code, words) == (0, words), done.err
    with Image.open("again.png") as image:
        assert image.size == (12, 9)


@pytest.mark.slow
def test_a_run_without_its_module_says_what_to_import(vocabula: Callable) -> None:
    Path("mine.py").write_text(MODULE)
    train = ["train", "sample:digits", "--preset", "digits", "-o", "run", *NETWORKS, *STEPS]
    assert vocabula("--import", "mine", *train).code == 0
    _forget()
    for words in (["info", "run"], ["evaluate", "run", "sample:digits/test"]):
        done = vocabula(*words)
        assert done.code == 2
        assert "'my_down'" in done.err
        assert "vocabula --import MODULE" in done.err
        assert done.err.count("\n") == 1
    done = vocabula(*train, "--resume")
    assert done.code == 2
    assert "encoder.network: expected a network, got 'my_down'; if it is your own" in done.err


def test_a_preset_may_name_them_and_the_environment_import(
    vocabula: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("nets").mkdir()
    Path("nets/mine.py").write_text(MODULE)
    Path("mine.toml").write_text(
        'extends = "digits"\n[encoder]\nname = "wrapped"\nstride = 2\nnetwork = "my_down"\n'
    )
    monkeypatch.setenv("VOCABULA_IMPORT", "nets.mine")
    done = vocabula("config", "mine.toml", "--explain")
    assert done.code == 0, done.err
    assert "encoder.network.width = 4" in done.out


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("nowhere", "", "got 'nowhere'; check the spelling"),
        ("nowhere.py", "", "got 'nowhere.py'; check the spelling"),
        (".broken", "", "got '.broken'; check the spelling"),
        ("broken", "import nothing_of_that_name\n", "No module named 'nothing_of_that_name'"),
        ("broken", "\n\n1 / 0\n", "ZeroDivisionError: division by zero ({file}, line 3)"),
        ("broken.py", "import json\njson.loads('{')\n", "({file}, line 2)"),
        ("broken.py", "def f(:\n", "SyntaxError: invalid syntax ({file}, line 1)"),
        ("broken", "raise SystemExit(3)\n", "SystemExit: 3 ({file}, line 1)"),
    ],
)
def test_a_module_that_fails_is_one_line(
    vocabula: Callable, tmp_path: Path, name: str, content: str, said: str
) -> None:
    Path("broken.py").write_text(content)
    done = vocabula("--import", name, "config", "digits")
    assert (done.code, done.out) == (2, "")
    assert said.replace("{file}", str(tmp_path / "broken.py")) in done.err
    assert done.err.count("\n") == 1


def test_a_file_may_have_the_name_of_another_module(vocabula: Callable) -> None:
    Path("json.py").write_text("seen = True\n")
    assert vocabula("--import", "json.py", "config", "digits").code == 0
    assert sys.modules["json"] is json
