from __future__ import annotations

import json
from pathlib import Path

from vocabula.files.run_files import read_log
from vocabula.training.log import RunLog
from vocabula.training.phases import clock
from vocabula.training.progress import describe


def test_lines_after_the_checkpoint_and_half_lines_are_dropped(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "log.jsonl")
    for step in (10, 20, 30):
        log.write({"step": step, "loss": 1.0})
    with open(log.path, "a") as file:
        file.write('{"step": 40, "lo')
    assert [r["step"] for r in read_log(log.path)] == [10, 20, 30]
    log.truncate(20)
    assert log.path.read_text() == '{"step": 10, "loss": 1.0}\n{"step": 20, "loss": 1.0}\n'


def test_infinities_become_null_so_that_any_reader_takes_the_line(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "log.jsonl")
    log.write({"step": 1, "psnr": float("inf"), "losses": {"kl": float("nan")}})
    line = json.loads(log.path.read_text(), parse_constant=lambda _: 1 / 0)
    assert line == {"step": 1, "psnr": None, "losses": {"kl": None}}


def test_figures_and_times_in_words() -> None:
    record = {"loss": 0.123456, "psnr": 28.456, "perplexity": 330.4, "usage": 0.917}
    assert describe(record) == ["loss 0.1235", "PSNR 28.5 dB", "perplexity 330", "usage 92%"]
    assert clock(59.6) == "1:00"
    assert clock(3723) == "1:02:03"
