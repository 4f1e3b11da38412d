"""Sharded encoding: the same bytes whatever happens, its overhead, and a large plan.

    python benchmarks/shards.py               all of it, some ten minutes
    python benchmarks/shards.py --only plan   one section; --help names them

Times by the clock count on a quiet machine only.

Workers are processes forked off this one. Killed means SIGKILL at a random moment.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from common import RESULTS, write_result
from shard_cases import content, exit_code, forked, pictures, tokenizer
from shard_workers import long_shards, two_workers, with_ray

from vocabula.data import TokenRecord, open_source, read_tokens, write_tokens
from vocabula.data.code_arrays import read_codes
from vocabula.data.code_batches import train_code_batches
from vocabula.data.pieces import Piece, shared_out
from vocabula.data.shard_plan import PlanFacts, write_plan
from vocabula.pipelines import encode_dataset, encode_shards
from vocabula.signals import CodeSpec

SHARDS, PICTURES, KILLS = 16, 480, 20


class Faults:
    """Encodings that are disturbed, beside one that is not."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.tokenizer = folder, tokenizer()
        self.data = pictures(folder / "pictures", PICTURES)
        self.encode("first")
        start = time.perf_counter()
        self.encode("whole")
        self.seconds = time.perf_counter() - start
        self.whole, self.drawn = content(folder / "whole"), random.Random(0)
        tables = [*(folder / "whole").glob("part-*"), *(folder / "whole").glob("broken-*")]
        self.paths = [p for t in tables for p in pq.read_table(t)["path"].to_pylist()]

    def encode(self, name: str, worker: tuple[int, int] = (0, 1)) -> None:
        warnings.simplefilter("ignore")
        out = self.folder / name
        encode_shards(self.tokenizer, self.data, out, shards=SHARDS, worker=worker, workers=0)

    def same(self, name: str) -> bool:
        """Whether a folder holds the same, byte for byte, and nothing hidden."""
        return content(self.folder / name) == self.whole

    def killed(self) -> dict[str, Any]:
        """Two workers; one of them is killed 20 times and started again each time."""
        steady = forked(lambda: self.encode("killed", (0, 2)))
        place, kills, hidden, removed = self.folder / "killed", 0, 0, 0
        while kills < KILLS:
            worker = forked(lambda: self.encode("killed", (1, 2)))
            time.sleep(self.drawn.uniform(0, 1.5) * self.seconds / SHARDS)
            os.kill(worker, signal.SIGKILL)
            if exit_code(worker) == -signal.SIGKILL:
                kills, hidden = kills + 1, max(hidden, len(list(place.glob(".*"))))
            else:  # it was done: it gets its work again
                own = list(place.glob("part-*[13579].parquet"))
                removed += len(own)
                for part in own:
                    part.unlink()
        codes = [exit_code(steady), exit_code(forked(lambda: self.encode("killed", (1, 2))))]
        return {
            "kills": kills,
            "hidden_meanwhile": hidden,
            "parts_given_again": removed,
            "codes": codes,
            "same": self.same("killed"),
        }

    def together(self) -> dict[str, Any]:
        """Two workers on every shard at once, five times."""
        found = []
        for turn in range(5):
            workers = [forked(lambda turn=turn: self.encode(f"both{turn}")) for _ in range(2)]
            found.append(([exit_code(w) for w in workers], self.same(f"both{turn}")))
        return {"codes": [codes for codes, _ in found], "same": all(same for _, same in found)}

    def full_disk(self) -> dict[str, Any]:
        """A small disk, which then grows; a limit on files where none can be made."""
        place = self.folder / "full"
        place.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", str(place)]
        disk = subprocess.run(mount, capture_output=True, check=False).returncode == 0
        try:
            first = exit_code(forked(self._into_full(disk)))
            kept = sorted(p.name for p in place.iterdir())
            if disk:
                subprocess.run(["mount", "-o", "remount,size=4m", str(place)], check=True)
            last = exit_code(forked(lambda: self.encode("full")))
            same = self.same("full")
        finally:
            if disk:
                subprocess.run(["umount", str(place)], check=True)
        hidden = [name for name in kept if name.startswith(".")]
        how = "tmpfs of 96 KB" if disk else "limit of 2 KB on a file"
        parts = sum(name.startswith("part-") for name in kept)
        return {"how": how, "codes": [first, last], "kept": parts, "hidden": hidden, "same": same}

    def _into_full(self, disk: bool) -> Callable[[], None]:
        def run() -> None:
            if not disk:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))
            self.encode("full")

        return run

    def truncated(self) -> dict[str, Any]:
        """Each part in turn is cut at a random byte of a finished encoding."""
        shutil.copytree(self.folder / "whole", self.folder / "cut")
        for part in sorted((self.folder / "cut").glob("part-*")):
            os.truncate(part, self.drawn.randrange(part.stat().st_size))
            self.encode("cut")
        return {"parts": SHARDS, "same": self.same("cut")}

    def figures(self) -> dict[str, Any]:
        return {
            "pictures": PICTURES + 1,
            "shards": SHARDS,
            "seconds_of_one_process": round(self.seconds, 2),
            "every_path_once": len(self.paths) == len(set(self.paths)) == PICTURES + 1,
            "one_of_two_killed": self.killed(),
            "two_on_the_same_shards": self.together(),
            "full_disk": self.full_disk(),
            "truncated_parts": self.truncated(),
        }


def overhead(folder: Path) -> dict[str, Any]:
    """CPU seconds of shards beside those of plain encoding."""
    warnings.simplefilter("ignore")
    made, count, shards = tokenizer(), 1200, 12
    data = pictures(folder / "many", count)

    def plain(turn: int) -> None:
        source = open_source(data, channels=3)
        encode_dataset(made, source, folder / f"plain{turn}.parquet", workers=0)

    def sharded(turn: int) -> None:
        encode_shards(made, data, folder / f"shards{turn}", shards=shards, workers=0)

    def seconds(work: Callable[[int], None], turn: int) -> float:
        start = time.process_time()
        work(turn)
        return time.process_time() - start

    pairs = [(seconds(plain, turn), seconds(sharded, turn)) for turn in range(6)][1:]
    more = statistics.median(b - a for a, b in pairs) / shards
    each = statistics.median(a for a, _ in pairs)
    return {
        "pictures": count,
        "shards": shards,
        "plain_cpu_seconds": round(each, 3),
        "ratio": round(statistics.median(b / a for a, b in pairs), 3),
        "cpu_seconds_more_per_shard": round(more, 4),
        "share_at_10_seconds_a_shard": round(more / 10, 4),
    }


PROGRAM = """
import sys, time
from pathlib import Path
from vocabula.data.shard_plan import ShardPlan
from vocabula.pipelines.shard_folder import ShardFolder
def waited():
    "Seconds in which this process could run but other programs had the processors."
    return int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9
start, used, late = time.perf_counter(), time.process_time(), waited()
folder = ShardFolder(Path(sys.argv[1]), ShardPlan(Path(sys.argv[1])))
folder.look()
looked, used = time.perf_counter() - start, time.process_time() - used
late = waited() - late
done = folder.close()
closed = time.perf_counter() - start - looked
words = Path("/proc/self/status").read_text().split()
peak = int(words[words.index("VmHWM:") + 1]) / 1024
print(int(folder.finished.sum()), done, looked, used, late, closed, peak, "torch" in sys.modules)
"""


def large_plan(folder: Path, shards: int = 100_000) -> dict[str, Any]:
    """A plan of 100,000 shards whose parts are finished, by receipts and then by the manifest."""
    out = folder / "large"
    (out / "receipts").mkdir(parents=True)
    said = {"data": "rows.npy", "signal": "vector", "fingerprint": "f", "source": "rows.npy"}
    none = dict.fromkeys(("limit", "batch_size", "cut", "root", "label_names"))
    count = shards * 1000
    facts = PlanFacts(
        **said, **none, shards=shards, signals=count, options={}, most_broken=0.1, attributes={}
    )
    pieces = shared_out(iter([Piece("rows.npy", 0, count)]), count, shards)
    start = time.perf_counter()
    write_plan(out, facts, pieces, None)
    planned = time.perf_counter() - start
    plan = hashlib.sha256((out / "plan.parquet").read_bytes()).hexdigest()[:16]
    digest = hashlib.sha256(b"part").hexdigest()
    with open(out / "receipts/one.jsonl", "w") as receipts:
        receipts.write(f"{json.dumps(plan)}\n")
        for shard in range(shards):
            place = out / f"part-{shard:05}.parquet"
            place.write_bytes(b"part")
            date = place.stat().st_mtime_ns
            receipts.write(f"{json.dumps([shard, 1000, 0, 4, date, digest])}\n")
    found = {}
    for name in ("receipts", "manifest"):
        start = time.perf_counter()
        run = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(out)], capture_output=True, text=True, check=True
        )
        whole = time.perf_counter() - start
        done, complete, looked, used, late, closed, peak, torch_is_there = run.stdout.split()
        assert (done, complete) == (str(shards), "True"), run
        found[name] = {
            "seconds_to_look": round(float(looked), 2),
            "of_them_waiting_for_a_processor": round(float(late), 2),
            "cpu_seconds_to_look": round(float(used), 2),
            "seconds_to_close": round(float(closed), 2),
            "seconds_of_the_process": round(whole, 2),
            "peak_memory_mb": round(float(peak)),
            "with_torch": torch_is_there == "True",
        }
    return {"shards": shards, "seconds_to_write_the_plan": round(planned, 2), **found}


def reading(folder: Path, parts: int = 1000, signals: int = 391) -> dict[str, Any]:
    """Batches of 10^8 codes in 1,000 parts that are read when they are needed."""
    from vocabula.data import code_arrays

    out, rng = folder / "tokens", np.random.default_rng(0)
    out.mkdir()
    spec = [CodeSpec((2**14,))]
    block = rng.integers(0, 2**14, (signals, 16, 16))
    records = [TokenRecord(codes, f"{n}", n % 10, 128, 128) for n, codes in enumerate(block)]
    write_tokens(out / "00000.parquet", records, fingerprint="f", levels=spec)
    for part in range(1, parts):
        shutil.copy(out / "00000.parquet", out / f"{part:05}.parquet")
    code_arrays.WHOLE = 0
    base = _resident()
    start = time.process_time()
    arrays = read_codes(read_tokens(out))
    first = time.process_time() - start
    count = 200
    batches = train_code_batches(arrays, batch_size=64, seed=0)
    start = time.process_time()
    peak = 0.0
    for number in range(count):
        next(batches)
        if number % 20 == 0:
            peak = max(peak, _resident() - base)
    return {
        "codes": parts * signals * 256,
        "parts": parts,
        "cpu_seconds_of_the_first_pass": round(first, 2),
        "cpu_milliseconds_a_batch_of_64": round((time.process_time() - start) / count * 1000, 2),
        "memory_mb": round(peak),
    }


def _resident() -> float:
    """Megabytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


SECTIONS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "faults": lambda folder: Faults(folder).figures(),
    "workers": two_workers,
    "long_shards": long_shards,
    "ray": with_ray,
    "overhead": overhead,
    "plan": large_plan,
    "reading": reading,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=SECTIONS, action="append", help="these sections alone")
    chosen = parser.parse_args().only or list(SECTIONS)
    torch.set_num_threads(1)
    place = RESULTS / "shards.json"
    told = json.loads(place.read_text()) if place.exists() else {}
    before = {name: told[name] for name in SECTIONS if name in told}
    with tempfile.TemporaryDirectory() as folder:
        for name in chosen:
            (Path(folder) / name).mkdir()
            before[name] = SECTIONS[name](Path(folder) / name)
            print(name, json.dumps(before[name]), flush=True)
    write_result("shards", before, "python benchmarks/shards.py")


if __name__ == "__main__":
    main()
