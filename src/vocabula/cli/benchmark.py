"""``vocabula benchmark``: measure the library against its rivals on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vocabula.cli.runs import Overwrite

if TYPE_CHECKING:
    from vocabula.benchmark import Settings

EXAMPLES = """[bold]Examples[/bold]

  vocabula benchmark --quick

  vocabula benchmark --suite search --threads 4 -o search.json

  vocabula benchmark --device cuda
"""

SuiteName = Literal["search", "training", "kmeans", "growth", "all"]


def benchmark(
    suite: Annotated[SuiteName, typer.Option(help="What to measure.")] = "all",
    quick: Annotated[
        bool, typer.Option("--quick", help="Few and small cases: under a minute on two cores.")
    ] = False,
    threads: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Threads; default: one a processor.")
    ] = None,
    device: Annotated[
        Literal["cpu", "cuda"], typer.Option(help="Where tensors are; cuda: search and training.")
    ] = "cpu",
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="Write figures as JSON.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all inputs.")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Time search, training steps and k-means beside faiss, torch and vector-quantize-pytorch."""
    from pathlib import Path

    from vocabula.benchmark import (
        Settings,
        missing_rivals,
        run_suite,
        suite_tables,
        target_table,
        wrong_cases,
    )
    from vocabula.benchmark.record import usable_threads
    from vocabula.cli.closing import close
    from vocabula.cli.console import note
    from vocabula.cli.facts import print_table
    from vocabula.errors import VocabulaError
    from vocabula.files import check_new_file

    if output is not None:
        check_new_file(Path(output), overwrite=overwrite)
    names = _suites(suite, device)
    settings = Settings(threads or usable_threads(), device, seed, quick)
    if missing_rivals():
        note(f"left out: {', '.join(missing_rivals())}; pip install 'vocabula[bench]'")
    results = {}
    for name in names:
        results[name] = run_suite(name, settings, progress=note)
        for table in [*suite_tables(results[name]), target_table(results[name])]:
            print_table(table)
    if output is not None:
        _write(Path(output), overwrite, _command(suite, settings), settings, results)
        close(f"figures: {output}")
    else:
        again = _command(suite, settings).split()[1:]
        close("", "keep the figures", *again, "-o", "figures.json")
    wrong = [line for result in results.values() for line in wrong_cases(result)]
    if wrong:
        raise VocabulaError(
            f"benchmark: expected right codes in every case, got a failure in {wrong[0]}"
            f"{f' and {len(wrong) - 1} more' if wrong[1:] else ''}; please report this defect"
        )


def _suites(suite: str, device: str) -> list[str]:
    """The suites to run, all of which can run on the device."""
    import torch

    from vocabula.benchmark import SUITES
    from vocabula.errors import OptionError

    if device == "cuda" and not torch.cuda.is_available():
        raise OptionError("--device: expected one that this machine has, got 'cuda'; use cpu")
    able = [name for name, found in SUITES.items() if device in found.devices]
    if suite == "all":
        return able
    if suite not in able:
        raise OptionError(
            f"--suite: expected {' or '.join(able)} on {device}, got {suite!r}; use --device cpu"
        )
    return [suite]


def _command(suite: str, settings: Settings) -> str:
    """The command line that repeats the figures."""
    quick = " --quick" if settings.quick else ""
    return (
        f"vocabula benchmark --suite {suite}{quick} --threads {settings.threads} "
        f"--device {settings.device} --seed {settings.seed}"
    )


def _write(
    path: Any, overwrite: bool, command: str, settings: Settings, results: dict[str, Any]
) -> None:
    from vocabula.benchmark import record
    from vocabula.files import dump_json, new_file

    content = record("benchmark", command, settings.threads, {"suites": results})
    with new_file(path, overwrite=overwrite) as draft:
        draft.write_bytes(dump_json(content))
