"""The block of docs/quantizers.md: quantizers beside one another on CIFAR-10."""

from __future__ import annotations

import estimators_page
from common import result, row


def multi_scale() -> str:
    """Codes of several scales beside one grid of codes."""
    found = result("multi-scale")
    if found is None:
        return ""
    head = ("codes", "bits an image", "test MSE", "test PSNR", "usage", "MSE after each scale")
    lines = [row(*head), row("---", *["---:"] * (len(head) - 1))]
    for name, run in found["runs"].items():
        usage = ", ".join(f"{100 * used:.0f} %" for _, _, used in run["books"].values())
        after = ", ".join(f"{error:.4f}" for error in run.get("mse_after_scale", []))
        lines.append(
            row(
                f"{name}, `{run['preset']}`",
                f"{run['bits_per_image']:.0f}",
                f"{run['mse']:.5f}",
                f"{run['psnr']:.2f} dB",
                usage,
                after or "",
            )
        )
    times = [run["step_seconds"] for run in found["runs"].values()]
    text = (
        f"Codes of several scales and one grid of codes at equal bits, the same networks, "
        f"{found['steps']:,} steps; the first {found['images']:,} test images. A step of several "
        f"scales takes {times[1] / times[0]:.2f} times as long."
    )
    return f"{text}\n\n" + "\n".join(lines) + f"\n\nMeasured by `{found['command']}`."


def rendered() -> str:
    """The block as it should be."""
    parts = [estimators_page.rendered(), multi_scale()]
    return "\n\n".join(part for part in parts if part)
