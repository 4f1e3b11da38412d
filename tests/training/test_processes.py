from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from training.two_processes import launch
from vocabula.training.config import config_from_sections
from vocabula.training.run import train

SCRIPT = """
import hashlib, json, os, sys
import torch
from vocabula.training import run
from vocabula.training.config import config_from_sections
from vocabula.training.trainer import Trainer

torch.set_num_threads(1)
trainers = []
original = Trainer.__init__
def init(self, *args, **kwargs):
    original(self, *args, **kwargs)
    trainers.append(self)
Trainer.__init__ = init
config = config_from_sections(json.loads(sys.argv[1]))
run.train(config, "sample:digits", sys.argv[2], progress=False)
digest = hashlib.sha256()
for name, value in trainers[-1].tokenizer.state_dict().items():
    if "usage_tracker" not in name:  # each process counts its own share
        digest.update(name.encode() + value.contiguous().numpy().tobytes())
with open(f"{sys.argv[2]}.{os.environ['RANK']}", "w") as file:
    file.write(digest.hexdigest())
torch.distributed.destroy_process_group()
"""


def test_two_processes_hold_equal_weights_and_learn_what_one_learns(
    tmp_path: Path, sections: dict[str, Any]
) -> None:
    sections["training"] |= {
        "steps": 6,
        "log_every": 2,
        "memory_check": True,  # by one of the two, which the other waits for
        "stages": [{"train": ["encoder", "quantizer"], "steps": 2}],
    }
    sections["optimizer"] = {"name": "sgd", "learning_rate": 0.05, "momentum": 0.9}
    # drawn from the data, the first codebook would depend on the order of the vectors
    sections["quantizer"] |= {"initialization": "normal", "revival": "none"}
    processes = launch(SCRIPT, [json.dumps(sections), str(tmp_path / "two")])
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    digests = {(tmp_path / f"two.{rank}").read_text() for rank in (0, 1)}
    assert len(digests) == 1
    train(config_from_sections(sections), "sample:digits", tmp_path / "one", progress=False)
    one = load_file(tmp_path / "one" / "model.safetensors")
    two = load_file(tmp_path / "two" / "model.safetensors")
    for name, value in one.items():
        if "usage_tracker" not in name and "noise" not in name:
            assert torch.allclose(value.float(), two[name].float(), atol=1e-4), name
