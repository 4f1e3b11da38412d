"""The block of docs/training.md that holds figures, from looks.py."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

from common import result, row

ROWS = {
    "plain": "squared error",
    "adversarial": "`photos-gan`",
    "guard": "`photos-gan`, adversary.weight=100",
}
MEANS = ("psnr", "stlpips", "gradient_energy", "grid_db", "training_drop_db")


def figures_table(found: dict[str, Any]) -> str:
    """The figures of each decoder: the mean over seeds."""
    head = ("decoder", "seeds", "PSNR", "ST-LPIPS", "gradients", "grid", "loss in training")
    lines = [row(*head), row("---", *["---:"] * (len(head) - 1))]
    for name, label in ROWS.items():
        runs = found.get(name)
        if not runs:
            continue
        mean = {key: statistics.fmean(r[key] for r in runs.values()) for key in MEANS}
        lines.append(
            row(
                label,
                len(runs),
                f"{mean['psnr']:.2f} dB",
                f"{mean['stlpips']:.4f}",
                f"{100 * mean['gradient_energy']:.0f} %",
                f"{mean['grid_db']:+.1f} dB",
                f"{mean['training_drop_db']:.2f} dB",
            )
        )
    return "\n".join(lines)


def seeds(found: dict[str, Any]) -> Iterator[str]:
    """What each seed of the adversary changes."""
    for seed, run in found["adversarial"].items():
        yield (
            f"Seed {seed}: ST-LPIPS {100 * run['stlpips_change']:+.1f} %, PSNR "
            f"{-run['psnr_loss_db']:+.2f} dB, energy of gradients "
            f"{100 * run['gradient_energy']:.0f} % of the originals', "
            f"grid {run['grid_db']:+.1f} dB."
        )


def finite(many: dict[str, Any] | None) -> Iterator[str]:
    """Whether short trainings of many seeds stay finite."""
    if many is None:
        return
    runs = many["adversarial"].values()
    good = sum(run["finite"] for run in runs)
    yield (
        f"Of {len(runs)} seeds, {many['steps']} steps each, {good} have finite figures throughout; "
        f"the command is `{many['command']}`."
    )


def measured(name: str, row: str) -> dict[str, Any] | None:
    """A result with a row, unless an earlier script measured it, which had another decoder."""
    found = result(name)
    if found is None or any(key not in run for run in found[row].values() for key in MEANS):
        return None
    return found


def rendered() -> str:
    """The block as it should be."""
    found = result("looks")
    if found is None:
        return ""
    found |= {"guard": (measured("looks-guard", "guard") or {}).get("guard")}
    parts = [
        f"Decoders of the same codes (preset `photos`, `decoder.resize=true`, "
        f"{found['steps_before']:,} steps), each trained {found['steps']:,} steps further on "
        f"`bsds500/train`, on {found['pictures']} Kodak pictures. Gradients of the originals have "
        "an energy of 100 %. The grid is how far frequencies of the codes' stride stand out, above "
        "the originals'. The last column is how far the training error stands above its value "
        "when the adversary began to count.",
        figures_table(found),
        "\n".join(f"- {line}" for line in seeds(found)),
        f"A step of the look alone takes {found['step_over_plain']:.2f} times the CPU time of one "
        "without adversary.",
        *finite(measured("looks-seeds", "adversarial")),
        f"![Originals, decoded after training by squared error, and with the adversary]"
        f"({found['sheet'].removeprefix('docs/')})",
        "From left to right: original, squared error, `photos-gan`. Even surfaces stay even; "
        "in coarse textures the adversary draws dots of one or two pixels.",
        f"Measured by `{found['command']}`.",
    ]
    return "\n\n".join(parts)
