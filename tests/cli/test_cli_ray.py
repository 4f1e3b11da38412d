"""``vocabula encode --engine ray``: the parts of one process, whatever dies on the way."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from vocabula.cli.engines import bounds
from vocabula.errors import OptionError
from vocabula.pipelines.ray_cluster import connected
from vocabula.pipelines.ray_engine import ActorPool

Run = Callable[..., Any]
ROOT = Path(__file__).resolve().parents[2]
SHARDS = 6


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Ray on this machine, with two processors, for all tests of this file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", "local")
        patch.setenv("RAY_AUTH_MODE", "disabled")  # it would keep a key in the home folder
        with connected(cpus=2):
            yield


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two dozen pictures of noise; one of them is broken behind its header."""
    (tmp_path / "photos").mkdir()
    for number in range(24):
        rng = np.random.default_rng(number)
        pixels = rng.integers(0, 255, (16, 12, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"photos/{number:03}.png")
    broken = tmp_path / "photos/010.png"
    broken.write_bytes(broken.read_bytes()[:300])
    return tmp_path / "photos"


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*skipped")
def test_an_actor_is_killed_twice(
    vocabula: Run, saved: Path, photos: Path, cluster: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("encode", saved / "run", "photos", "--shards", SHARDS, "-o")
    assert vocabula(*words, "whole").code == 0
    killed, pools = list[int](), list[ActorPool]()
    take = ActorPool._take

    def killing(pool: ActorPool, task: Any) -> None:
        take(pool, task)  # the actor has its next shard now
        receipts = Path("tokens/receipts").glob("*.jsonl")
        fresh = {int(place.name.split("-")[-2]) for place in receipts} - set(killed)
        if fresh and len(killed) < 2:
            pools.append(pool)
            killed.append(fresh.pop())
            os.kill(killed[-1], signal.SIGKILL)

    monkeypatch.setattr(ActorPool, "_take", killing)
    made = vocabula(*words, "tokens", "--engine", "ray", "--actors", "1")
    assert made.code == 0, made.err
    assert re.search(rf"{SHARDS} of {SHARDS} parts finished", made.out)
    assert "skipped 010.png" in made.err and len(made.err.strip().splitlines()) == 1
    assert len(killed) == 2 and pools[0]._made == 3
    assert content(Path("tokens")) == content(Path("whole"))


def recipes() -> list[str]:
    """The blocks of the documentation that need Ray."""
    text = (ROOT / "docs/scale.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [block for block in blocks if block.startswith("# needs ray")]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")
@pytest.mark.parametrize("block", recipes(), ids=["job", "map_batches"])
def test_recipes(block: str, saved: Path, photos: Path, cluster: None) -> None:
    (photos / "010.png").unlink()
    Path("runs").mkdir()
    Path("runs/first").symlink_to(saved / "run")
    exec(compile(block, "scale.md", "exec"), {"__name__": "__main__"})
    parts = [*Path().glob("tokens/part-*.parquet"), *Path().glob("codes/*.parquet")]
    assert sum(pq.read_metadata(part).num_rows for part in parts) == 23


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--engine ray --shards 2 --worker 0/2", "--worker: expected none with --engine ray"),
        ("--engine ray --shards 2 --actors 3..2", "1 <= LEAST <= MOST, got 3..2"),
        ("--engine ray --shards 2 --device cpu", "--device: expected none with --engine ray"),
        ("--engine spark --shards 2", "--engine: expected ray, got spark"),
        ("--engine ray", "--engine: expected --shards N with it"),
        ("--actor-gpus 1 --shards 2", "--actor-gpus: expected --engine ray with it, got 1.0"),
    ],
)
def test_wrong_options(vocabula: Run, saved: Path, pictures: Path, words: str, line: str) -> None:
    found = vocabula("encode", saved / "run", "pictures", "-o", "tokens", *words.split())
    assert found.code == 2 and line in found.err + found.out
    assert len((found.err + found.out).strip().splitlines()) == 1


def test_bounds_of_actors() -> None:
    with pytest.raises(OptionError, match=r"LEAST..MOST, got 1-8; try 1..8"):
        bounds("1-8")


def test_without_ray_a_line_names_the_extra(
    vocabula: Run, saved: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("encode", saved / "run", "pictures", "-o", "tokens", "--shards", 2)
    assert vocabula(*words, "--worker", "0/2").code == 0
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda n: None if n == "ray" else find(n))
    found = vocabula(*words, "--engine", "ray")
    assert found.code == 2 and "pip install 'vocabula[ray]'" in found.err
    assert len(list(Path("tokens").glob("part-*"))) == 1


@pytest.mark.parametrize(
    ("address", "got"), [("127.0.0.1:1", "refused"), ("ray://127.0.0.1:1", "refused")]
)
def test_no_cluster_at_the_address(
    vocabula: Run,
    saved: Path,
    pictures: Path,
    monkeypatch: pytest.MonkeyPatch,
    address: str,
    got: str,
) -> None:
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setenv("RAY_ADDRESS", address)
    start = time.monotonic()
    words = ("encode", saved / "run", "pictures", "-o", "tokens", "--shards", 2)
    found = vocabula(*words, "--engine", "ray")
    assert found.code == 2 and time.monotonic() - start < 20
    assert re.search(rf"RAY_ADDRESS: expected .* at {address}, got none \(.*{got}", found.err)
    assert len(found.err.strip().splitlines()) == 1 and not Path("tokens").exists()


def test_ray_is_not_imported_unless_asked_for() -> None:
    for path in (ROOT / "src").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert re.search(r"^(import|from) ray\b", text, re.MULTILINE) is None, path


DRIVER = """
import sys
from pathlib import Path
from vocabula.cli.main import main
from vocabula.pipelines.ray_engine import RayEngine
def encode(engine, work, queue, advance):
    "In place of actors: the driver has all that it hands on."
    words = Path("/proc/self/status").read_text().split()
    peak = int(words[words.index("VmHWM:") + 1]) // 1024
    print(len(queue), len(work.what.packed().content) > 1000, "torch" in sys.modules, peak)
    return 0
RayEngine.encode = encode
main()
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory as Linux tells it")
def test_the_driver_holds_no_torch(saved: Path, photos: Path) -> None:
    words = ["encode", saved / "run", "photos", "-o", "tokens", "--shards", SHARDS]
    (photos / "010.png").unlink()
    command = [sys.executable, "-c", DRIVER, *map(str, words), "--engine", "ray"]
    patient = {"RAY_ADDRESS": "local", "PYTHONWARNINGS": "ignore"}
    ran = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **patient})
    assert ran.returncode == 0, ran.stderr
    waiting, packed, has_torch, peak = ran.stdout.split()[:4]
    assert (waiting, packed, has_torch) == (str(SHARDS), "True", "False")
    assert int(peak) < 200
    assert re.search(rf"encoded 0 images; 0 of {SHARDS} parts finished", ran.stdout + ran.stderr)
