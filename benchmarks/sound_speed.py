"""How many times faster than real time a tokenizer of sound works on one thread, also on a stream.

    python benchmarks/sound_speed.py RUN
    python benchmarks/sound_speed.py RUN --before OTHER/src
    python benchmarks/sound_speed.py RUN --commands

RUN is a tokenizer with causal networks. The signal is 10 s of noise; streams get it hop by hop.
Every number is a median over rounds, of CPU seconds. With ``--before``, the folder of another
version's sources, both take turns in processes of their own, and ratios are medians of the pairs.
The memory of an hour-long recording, piece by piece, is what it needs more than a minute. With
``--commands`` only the peak memory of commands is measured, for one recording of 10 minutes and one
of an hour.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

SECONDS = 10
SOURCES = Path(__file__).resolve().parents[1] / "src"
MEASURED = ("encode", "decode", "stream encode", "stream decode")


def measure(run: str) -> dict[str, float]:
    """Times real time of each way, in this process."""
    import torch

    from vocabula import load

    torch.set_num_threads(1)
    tokenizer = load(run)
    rate, hop = tokenizer.signal.sample_rate or 1, tokenizer.strides[0]
    x = 0.1 * torch.randn(1, 1, SECONDS * rate // hop * hop, generator=torch.manual_seed(0))
    hops, codes = x.split(hop, -1), tokenizer.encode(x)
    stream = tokenizer.stream()
    ways: dict[str, Callable[[], Any]] = {
        "encode": lambda: tokenizer.encode(x),
        "decode": lambda: tokenizer.decode(codes),
        "stream encode": lambda: [stream.encoder.push(part) for part in hops],
        "stream decode": lambda: [stream.decoder.push(part) for part in codes.split(1, 1)],
    }
    found = {}
    with torch.inference_mode():
        for name, work in ways.items():
            work()
            start = time.process_time()
            work()
            found[name] = SECONDS / (time.process_time() - start)
    return found


def memory(run: str) -> dict[str, float]:
    """MiB that a minute and an hour need in all, encoded piece by piece."""
    import torch

    from vocabula import load
    from vocabula.tokenizers.pieces import encode_pieces

    torch.set_num_threads(1)
    tokenizer = load(run)
    rate = tokenizer.signal.sample_rate or 1

    def recording(seconds: int) -> Iterator[torch.Tensor]:
        for _ in range(seconds):
            yield 0.1 * torch.randn(1, 1, rate)

    found = {}
    for name, seconds in (("minute", 60), ("hour", 3600)):
        for _ in encode_pieces(tokenizer, recording(seconds)):
            pass
        found[name] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found


def commands(run: str) -> dict[str, dict[str, float]]:
    """MiB that commands need at their peak, each in a process of its own, by minutes."""
    from vocabula import load

    rate = load(run).signal.sample_rate or 1
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for minutes in (10, 60):
            wave, codes, file = (f"{folder}/{minutes}.{end}" for end in ("wav", "parquet", "vcb"))
            generator = np.random.default_rng(0)
            with soundfile.SoundFile(wave, "w", rate, 1) as sound:
                for _ in range(minutes):
                    sound.write(0.1 * generator.standard_normal(60 * rate))
            found[str(minutes)] = {
                words[0]: peak([*words, "--overwrite"])
                for words in (
                    ["encode", run, wave, "-o", codes],
                    ["decode", run, codes, "-o", f"{folder}/decoded"],
                    ["compress", run, wave, "-o", file],
                    ["decompress", run, file, "-o", f"{folder}/back.wav"],
                    ["evaluate", run, wave],
                )
            }
    return found


def peak(words: list[str]) -> float:
    """MiB that a command needs."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCES), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "vocabula", *words]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"vocabula {words[0]} failed")
    return used.ru_maxrss / 1024


def apart(sources: Path, *words: str) -> dict[str, float]:
    """What another process of this program finds with some version's sources."""
    environment = {**os.environ, "PYTHONPATH": str(sources), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure in turns and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--before", type=Path, help="the sources of an earlier version")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--one", choices=("speed", "memory"), help="print one measurement")
    parser.add_argument("--commands", action="store_true", help="the memory of commands alone")
    options = parser.parse_args()
    if options.one:
        found = measure(options.run) if options.one == "speed" else memory(options.run)
        print(json.dumps(found))
        return
    from common import ROOT, write

    from vocabula.benchmark import record

    if options.commands:
        words = "python benchmarks/sound_speed.py RUN --commands"
        write(record("sound-memory", words, 1, {"peak_mib_of_minutes": commands(options.run)}))
        return
    versions = {"now": ROOT / "src"} | ({"before": options.before} if options.before else {})
    rounds = [
        {name: apart(place, options.run, "--one", "speed") for name, place in versions.items()}
        for _ in range(options.rounds)
    ]
    speed = {
        name: {way: statistics.median(each[name][way] for each in rounds) for way in MEASURED}
        for name in versions
    }
    figures: dict[str, Any] = {"times_real_time": speed, "rounds": options.rounds}
    if options.before:
        figures["now_to_before"] = {
            way: statistics.median(each["now"][way] / each["before"][way] for each in rounds)
            for way in MEASURED
        }
    figures["peak_mib"] = apart(ROOT / "src", options.run, "--one", "memory")
    words = "python benchmarks/sound_speed.py RUN" + " --before OTHER/src" * bool(options.before)
    print(json.dumps(figures, indent=2))
    write(record("sound-speed", words, 1, figures))


if __name__ == "__main__":
    main()
