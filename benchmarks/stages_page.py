"""The block of docs/stages.md that holds figures, from stages.py and finite_scalar.py."""

from __future__ import annotations

from typing import Any

from common import result, row


def stages_table(stacks: dict[str, Any]) -> str:
    """The error after each number of stages, a line for each kind of stage."""
    count = len(next(iter(stacks.values()))["errors"])
    head = ("stages", "bits a stage", *range(1, count + 1))
    lines = [row(*head), row("---", *["---:"] * (count + 1))]
    for kind, found in stacks.items():
        lines.append(row(kind, f"{found['bits']:.1f}", *(f"{e:.2g}" for e in found["errors"])))
    return "\n".join(lines)


def forms_table(runs: list[dict[str, Any]]) -> str:
    """Both forms of finite scalar quantization, for each table of levels."""
    head = ("levels", "form", "test MSE", "test PSNR", "test perplexity", "test usage")
    lines = [row(*head), row("---", "---", *["---:"] * (len(head) - 2))]
    lines += [
        row(
            run["levels"],
            run["form"],
            f"{run['mse']:.5f}",
            f"{run['psnr']:.2f} dB",
            f"{run['perplexity']:,.0f}",
            f"{100 * run['usage']:.1f} %",
        )
        for run in runs
    ]
    return "\n".join(lines)


def rendered() -> str:
    """The block as it should be, with what has been measured."""
    parts = []
    stages, forms = result("stages"), result("finite-scalar")
    names = {"normal": "standard normal vectors", "uniform": "vectors uniform in [-1, 1]"}
    if stages is not None:
        for name, stacks in stages["stacks"].items():
            parts += [
                f"Mean squared error of residual stacks on {names[name]} of width "
                f"{stages['dim']}, by the number of stages decoded:",
                stages_table(stacks),
            ]
        parts.append(f"`{stages['command']}`")
    if forms is not None:
        parts += [
            f"Finite scalar quantization on CIFAR-10, {forms['steps']:,} steps of the preset "
            f"`cifar10-fsq` with networks of width {forms['hidden']}, seed {forms['seed']}, the "
            f"first {forms['test_pictures']:,} test pictures:",
            forms_table(forms["runs"]),
            f"`{forms['command']}`",
        ]
    return "\n\n".join(parts)
