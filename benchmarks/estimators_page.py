"""The block of docs/quantizers.md that holds figures, from the result of estimators.py."""

from __future__ import annotations

from typing import Any

from common import result, row

LABELS = {
    "default": "default: `EMA()`, straight-through",
    "rotation": '`estimator="rotation"`',
    "gradient": "`Gradient()`, straight-through",
    "diveq": "`DiVeQ()` with `Gradient()`, no losses of its own",
    "ibq": "`IndexBackpropagation()` with `Gradient()`",
    "simvq": "`LinearReparametrization()` (SimVQ)",
    "mlp": "`NetworkReparametrization(MLPTransform(64))`",
    "fvq": "`NetworkReparametrization(AttentionTransform(64, patch=8), frozen=False)` (FVQ)",
}


def table(found: dict[str, Any]) -> str:
    """One line for every quantizer that was measured."""
    runs, times = found["runs"], found.get("step", {})
    head = ("quantizer", "test MSE / variance", "test perplexity", "test usage", "time of a step")
    lines = [row(*head), row("---", *["---:"] * (len(head) - 1))]
    for name, label in LABELS.items():
        if name not in runs:
            continue
        test, time = runs[name]["test"], times.get(name)
        lines.append(
            row(
                label,
                f"{test['mse_over_variance']:.4f}",
                f"{test['perplexity']:.0f} of {found['codebook_size']}",
                f"{100 * test['usage']:.1f} %",
                f"{time['over_default']:.2f} of the default's" if time else "not measured",
            )
        )
    return "\n".join(lines)


def rendered() -> str:
    """The block as it should be."""
    found = result("estimators")
    if found is None:
        return "Not yet measured."
    first = next(iter(found["runs"].values()))
    setting = (
        f"The networks of `cifar10`, {first['steps']:,} steps of batch {found['batch']}, seed "
        f"{found['seed']}, equal initial weights and batches; the first {first['images']:,} test "
        f"images. {found['machine']['processor']}."
    )
    words = f"python benchmarks/estimators.py DATA --steps {first['steps']}"
    closing = (
        f"Measured by `{words}`, the times by `--timing`, in `benchmarks/results/estimators.json`."
    )
    return "\n\n".join([setting, table(found), closing])
