"""Run the suites of ``vocabula benchmark`` for the record, and render what they found.

    python benchmarks/suite.py
    python benchmarks/suite.py --only search kmeans --threads 2
    python benchmarks/suite.py --device cuda

Writes ``results/{search,training-step,kmeans,growth}.json``, each when its suite has ended, with
``-cuda`` behind the name for figures of a GPU.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from common import write

from vocabula.benchmark import SUITES, Settings, missing_rivals, record, run_suite, wrong_cases
from vocabula.benchmark.record import usable_threads


def main() -> None:
    """Run the suites and render what they found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=SUITES, default=list(SUITES))
    parser.add_argument("--threads", type=int, default=usable_threads())
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if missing_rivals():
        parser.error(f"missing {', '.join(missing_rivals())}: pip install -e '.[bench]'")
    settings = Settings(options.threads, options.device, options.seed)
    names = [name for name in options.only if options.device in SUITES[name].devices]
    wrong = []
    for name in names:
        found = run_suite(name, settings, progress=print)
        file = {"training": "training-step"}.get(name, name)
        file += "-cuda" if options.device == "cuda" else ""
        command = (
            f"python benchmarks/suite.py --only {name} --threads {settings.threads} "
            f"--device {settings.device} --seed {settings.seed}"
        )
        write(record(file, command, settings.threads, found))
        wrong += wrong_cases(found)
    subprocess.run([sys.executable, Path(__file__).with_name("render.py")], check=True)
    if wrong:
        raise SystemExit("cases in which we failed or returned wrong codes:\n" + "\n".join(wrong))


if __name__ == "__main__":
    main()
