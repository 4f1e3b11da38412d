"""Files that may not be read are said to be so; none of them is called damaged."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from processes import Program

SCRIPT = """
import ctypes, json, os, sys
from pathlib import Path
import numpy as np
import torch
import vocabula
from priors.generators import make_generator, save_generator
from vocabula import codec
from vocabula.files.run_files import read_log, read_manifest
from vocabula.pipelines.sample_series import Series
from vocabula.priors import load_generator
from vocabula.tokenizers import load
from vocabula.training.checkpoint import Checkpoint, newest_checkpoint, save_checkpoint
from vocabula.training.config import load_config

generator = make_generator("pixelcnn", channels=3, classes=3, text=True)
save_generator(Path("prior"), generator)
run = Path("prior/tokenizer")
counts = tuple(np.arange(k) for k in generator.tokenizer.levels[0].codebook_sizes)
orders = tuple(np.arange(len(c), dtype=np.uint32) for c in counts)
name = generator.tokenizer.fingerprint()
codec.CodeStatistics(name, counts, orders).save(run)
(run / "run.json").write_text("{}")
(run / "log.jsonl").write_text('{"step": 1}')
for step in (1, 2):
    tensors = {"model": {"weight": torch.zeros(2)}}
    save_checkpoint(Path("checkpoints"), Checkpoint(step, tensors, {}), keep=2)
Path("mine.toml").write_text("")
codec.write_codes("small.vcb", [np.zeros((2, 2), int)], [4])
Series(Path("."), {"seed": 1}).save(1)
newest = "checkpoints/step-00000002"
told = []
calls = {
    "prior/tokenizer/config.json": lambda: load(run),
    "prior/tokenizer/model.safetensors": lambda: load(run),
    "prior/tokenizer/entropy.safetensors": lambda: codec.load_statistics(run, name),
    "prior/tokenizer/run.json": lambda: read_manifest(run),
    "prior/tokenizer/log.jsonl": lambda: read_log(run / "log.jsonl"),
    "prior/config.json": lambda: load_generator("prior"),
    "prior/model.safetensors": lambda: load_generator("prior"),
    "prior/tokenizer.json": lambda: load_generator("prior"),
    f"{newest}/state.json": lambda: newest_checkpoint(Path("checkpoints"), told.append),
    f"{newest}/model.safetensors": lambda: newest_checkpoint(Path("checkpoints"), told.append),
    "small.vcb": lambda: codec.inspect("small.vcb"),
    "mine.toml": lambda: load_config("./mine.toml", []),
    "samples.json": lambda: Series.open(Path("."), {"seed": 1}, resume=True, overwrite=False),
}
if sys.platform.startswith("linux"):  # root's way around rights: every capability is given up
    header, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert ctypes.CDLL(None).capset(header, none) == 0
found = {}
for path, call in calls.items():
    os.chmod(path, 0)
    try:
        call()
        found[path] = "nothing"
    except vocabula.VocabulaError as error:
        found[path] = f"{type(error).__name__}: {error}"
    os.chmod(path, 0o644)
print(json.dumps([found, told]))
"""


@pytest.mark.slow
@pytest.mark.skipif(
    os.geteuid() == 0 and not sys.platform.startswith("linux"), reason="root may read everything"
)
def test_missing_permission_is_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = Program(SCRIPT).wait()
    assert done.code == 0, done.errors
    found, told = json.loads(done.output)
    assert told == []  # no checkpoint is passed over
    assert len(found) == 13
    for name, text in found.items():
        kind, _, message = text.partition(": ")
        assert kind.endswith("Error"), (name, text)
        end = f"{name}: expected a readable file, got no permission; check its rights"
        assert message.removeprefix("./") == end, text
