"""What a command holds of a large photograph: nothing that grows with its pixels beside them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vocabula.tokenizers import build_tokenizer, save

MOST = 600
"""MiB at the peak, of which torch takes 220."""


COMMANDS = """
import json, os, sys
import vocabula.pipelines.compress, vocabula.pipelines.decompress
from vocabula.cli.main import main
from vocabula.tokenizers import load
for words in json.loads(sys.argv[1]):
    child = os.fork()
    if not child:
        sys.argv = ["vocabula", *words]
        try:
            main()
        finally:
            status = open("/proc/self/status").read()
            print(status.split("VmHWM:")[1].split()[0], file=sys.stderr)
    assert os.waitpid(child, 0)[1] == 0
"""


def _peaks(*commands: list[object]) -> list[int]:
    """MiB that each command takes at most, in a process of its own that shares imports."""
    words = json.dumps([[str(word) for word in command] for command in commands])
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS, words], capture_output=True, text=True, check=True
    )
    return [int(line) // 1024 for line in done.stderr.splitlines() if line.isdigit()]


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux says how much")
def test_a_photograph_of_twelve_megapixels_fits(tmp_path: Path) -> None:
    net = {"name": "vqvae", "hidden": 32, "residual_layers": 0}
    book = {"name": "vector", "dim": 32, "codebook_size": 32}
    stages = {"name": "residual", "stages": [book, book]}
    save(
        build_tokenizer({"encoder": net, "quantizer": stages, "decoder": net}, 3), tmp_path / "run"
    )
    tile = np.random.default_rng(0).integers(0, 256, (125, 125, 3), np.uint8)
    Image.fromarray(tile).resize((4000, 3000)).save(tmp_path / "photo.jpg")
    run, photo, small = (tmp_path / name for name in ("run", "photo.jpg", "photo.vcb"))
    (tmp_path / "again.jpg").symlink_to(photo)
    single, several, back = _peaks(
        ["compress", run, photo, "-o", small],
        ["compress", run, photo, tmp_path / "again.jpg", "-o", tmp_path / "each"],
        ["decompress", run, small, "-o", tmp_path / "back.png"],
    )
    assert single < MOST
    assert several < MOST + 100  # beside the network, the next one is decoded: 36 MB twice
    assert back < MOST
    with Image.open(tmp_path / "back.png") as picture:
        assert picture.size == (4000, 3000)
