"""Looks on the command line: one compressed file opened by two decoders, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Vocabula = Callable[..., Any]
PRESET = """
encoder = { name = "vqvae", hidden = 4, residual_layers = 0, downsample = 2 }
quantizer = { name = "vector", dim = 4, codebook_size = 16 }
decoder = { name = "vqvae", hidden = 4, residual_layers = 0, downsample = 2 }
data = { name = "images", crop = 12 }
training = { steps = 2, batch_size = 2, threads = 1, memory_check = false }
optimizer = { name = "adam", learning_rate = 1e-2 }
"""


@pytest.fixture
def preset(tmp_path: Path) -> Path:
    (tmp_path / "tiny.toml").write_text(PRESET)
    return tmp_path / "tiny.toml"


def value(out: str, name: str) -> str:
    """What ``vocabula info`` says beside a name."""
    return str(next(line.split()[-1] for line in out.splitlines() if line.startswith(name)))


def test_a_file_opens_with_both_looks(vocabula: Vocabula, preset: Path, pictures: Path) -> None:
    train = ("train", pictures, "--preset", preset)
    made = vocabula(*train, "-o", "faithful")
    assert made.code == 0, made.err
    look = 'training.stages=[{train=["look"],steps=2}]'
    made = vocabula(*train, "-o", "natural", "--from", "faithful", look)
    assert made.code == 0, made.err
    assert vocabula("compress", "faithful", pictures / "0.png", "-o", "x.vcb").code == 0
    shown = []
    for run in ("faithful", "natural"):
        opened = vocabula("decompress", run, "x.vcb", "-o", f"{run}.png")
        assert opened.code == 0, opened.err
        shown.append(Path(f"{run}.png").read_bytes())
    assert shown[0] != shown[1]
    infos = [vocabula("info", run).out for run in ("faithful", "natural")]
    assert value(infos[0], "codes ") == value(infos[1], "codes ")
    first = value(infos[0], "fingerprint")
    assert value(infos[1], "a look of") == first != value(infos[1], "fingerprint")
    assert "a look of" not in infos[0] and "--from faithful" in infos[1]
    assert first in vocabula("inspect", "x.vcb").out


@pytest.mark.parametrize(
    ("start", "said"),
    [
        ("nowhere", "error: nowhere: expected a saved tokenizer, got no such folder"),
        ("other", "error: --from: expected the networks of"),
    ],
)
def test_what_cannot_be_begun_as_is_refused(
    vocabula: Vocabula, saved: Path, preset: Path, pictures: Path, start: str, said: str
) -> None:
    run = saved / start if start == "other" else start
    got = vocabula("train", pictures, "--preset", preset, "-o", "new", "--from", run)
    assert got.code == 2 and got.err.splitlines()[-1].startswith(said), got.err
    assert not Path("new").exists()


def test_players_without_finite_values_end_a_run_in_one_line(
    vocabula: Vocabula, preset: Path
) -> None:
    looks = ("adversary.start=0", "adversary.warmup=0", "adversary.learning_rate=1e30")
    network = 'adversary.discriminator={name="patch",hidden=2,layers=1}'
    np.save("x.npy", np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8))
    got = vocabula(
        *("train", "x.npy", "--preset", preset, "-o", "x", *looks, network),
        *("training.steps=20", "data.crop=none"),
    )
    assert got.code == 2, got.err
    last = got.err.splitlines()[-1]
    assert last.startswith("error: training step 11: expected finite values of both players")
