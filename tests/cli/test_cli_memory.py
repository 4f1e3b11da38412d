"""What a command holds of a large photograph: nothing that grows with its pixels beside them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vocabula.tokenizers import build_tokenizer, save

MOST = 600
"""MiB at the peak, of which torch takes 220."""


def _peak(*arguments: object) -> int:
    """MiB that a command takes at most."""
    code = (
        "import sys\n"
        "from vocabula.cli.main import main\n"
        "try:\n    main()\n"
        "finally:\n"
        "    status = open('/proc/self/status').read()\n"
        "    print(status.split('VmHWM:')[1].split()[0], file=sys.stderr)\n"
    )
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stderr.split()[-1]) // 1024


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
    assert _peak("compress", run, photo, "-o", small) < MOST
    (tmp_path / "again.jpg").symlink_to(photo)
    several = _peak("compress", run, photo, tmp_path / "again.jpg", "-o", tmp_path / "each")
    assert several < MOST + 100  # beside the network, the next one is decoded: 36 MB twice
    assert _peak("decompress", run, small, "-o", tmp_path / "back.png") < MOST
    with Image.open(tmp_path / "back.png") as back:
        assert back.size == (4000, 3000)
