"""The block of docs/palette.md that holds figures, from the result of palette.py."""

from __future__ import annotations

from typing import Any

from common import result, row


def table(colors: str, means: dict[str, dict[str, float]]) -> str:
    """The means over the images as a Markdown table."""
    head = ("PSNR", "above median cut", "least of an image", "seconds", "bytes")
    lines = [row(f"{colors} colours", *head), row("---", *["---:"] * len(head))]
    for name, one in means.items():
        cells = (
            f"{one['psnr']:.2f} dB",
            f"{one['above_median_cut']:+.2f} dB",
            f"{one['least_above_median_cut']:+.2f} dB",
            f"{one['processor_seconds']:.2f}",
            f"{one['bytes']:,.0f}",
        )
        lines.append(row(name, *cells))
    return "\n".join(lines)


def machine_line(found: dict[str, Any]) -> str:
    """What the figures were measured on, and with."""
    machine, images = found["machine"], len(next(iter(found["colors"].values()))["images"])
    return (
        f"Means over {images} photographs; seconds are processor time, all threads together, of "
        f"palette and codes of one image; {machine['processor']}, Pillow {found['pillow']}, "
        f"scikit-learn {found['scikit_learn']}."
    )


def rendered() -> str:
    """The block as it should be; empty before anything has been measured."""
    found = result("palette")
    if found is None:
        return ""
    tables = [table(colors, size["mean"]) for colors, size in found["colors"].items()]
    command = f"`{found['command']}`, in `benchmarks/results/palette.json`"
    return "\n\n".join([machine_line(found), *tables, f"Measured by {command}."])
