"""Write the tables and plots of README.md and of pages in docs from the results.

python benchmarks/render.py            rewrite the tables and plots
python benchmarks/render.py --check    fail if the tables are not up to date
"""

from __future__ import annotations

import argparse

import anisotropic_page
import generation_page
import looks_page
import lossless_page
import palette_page
import quantizers_page
import rates_page
import stages_page
import suites_page
from common import ROOT, result, row

BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"


def preset_table() -> list[str]:
    """Runs of whole presets on CIFAR-10."""
    labels = {
        "cifar10": "`cifar10`",
        "cifar10-lfq": "`cifar10-lfq`, 2^9 codes",
        "cifar10-lfq-18-bits": "`cifar10-lfq`, 2^18 codes",
        "large-codebook": "`cifar10`, 8192 codes",
    }
    head = (
        "run", "steps", "MSE / variance, last 100 batches", "perplexity, last 100 batches",
        "test PSNR", "test SSIM", "test usage", "test perplexity", "code bits per pixel",
    )  # fmt: skip
    lines = [row(*head), row("---", *["---:"] * (len(head) - 1))]
    for name, label in labels.items():
        found = result(name)
        if found is None:
            continue
        last, test = found["last_100_batches"], found["test"]
        lines.append(
            row(
                label,
                f"{found['steps']:,}",
                f"{last['mse_over_variance']:.4f}",
                f"{last['perplexity']:,.0f}",
                f"{test['psnr']:.2f} dB",
                f"{test['ssim']:.3f}",
                f"{100 * test['usage']:.1f} %",
                f"{test['perplexity']:,.0f}",
                f"{test['code_bits_per_pixel']:.3f}",
            )
        )
    return lines if len(lines) > 2 else []


def rival_table() -> list[str]:
    """Our default beside vector-quantize-pytorch."""
    found = result("beside-rival")
    if found is None:
        return []
    names = {
        "vocabula": "vocabula, defaults",
        "rival_plain": "vector-quantize-pytorch, plain EMA",
        "rival_best": "vector-quantize-pytorch, k-means, revival, rotation",
    }
    head = ("quantizer", "test MSE / variance", "test perplexity", "test usage", "a step")
    lines = [row(*head), row("---", *["---:"] * (len(head) - 1))]
    for seed, run in found["runs"].items():
        for name, label in names.items():
            test = run[name]["test"]
            lines.append(
                row(
                    f"{label} ({seed})",
                    f"{test['mse_over_variance']:.4f}",
                    f"{test['perplexity']:.0f} of {found['codebook_size']}",
                    f"{100 * test['usage']:.1f} %",
                    f"{run[name]['median_step_ms']:.0f} ms",
                )
            )
    return lines


def share_line() -> str:
    """What the quantizer takes of a training step."""
    found = result("step-profile")
    if found is None:
        return ""
    return (
        f"The quantizer takes {100 * found['quantizer_share']:.1f} % of a training step of the "
        f"`cifar10` preset ({found['median_ms']['step']:.0f} ms)."
    )


def rendered() -> str:
    """The whole block between the markers."""
    machine = (result("cifar10") or {}).get("machine", {})
    parts = [
        "CIFAR-10, one seed (0), 32 x 32 images, 8 x 8 codes each"
        + (f"; {machine['processor']}, torch {machine['torch']}." if machine else "."),
        "\n".join(preset_table()),
        "The same networks, batches, seeds and optimizer, the quantizers taking turns at each of "
        f"{(result('beside-rival') or {}).get('steps', 0):,} steps of batch 32:",
        "\n".join(rival_table()),
        share_line(),
        "Every figure with its command, commit and versions: `benchmarks/results/*.json`; the "
        "tables are written by `python benchmarks/render.py`.",
    ]
    return "\n\n".join(part for part in parts if part)


def main() -> None:
    """Rewrite or check the blocks between the markers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only compare")
    check = parser.parse_args().check
    blocks = {
        "README.md": rendered(),
        "docs/benchmarks.md": suites_page.rendered(),
        "docs/collapse.md": anisotropic_page.rendered(),
        "docs/generation.md": generation_page.rendered(),
        "docs/lossless.md": lossless_page.rendered(),
        "docs/palette.md": palette_page.rendered(),
        "docs/quantizers.md": quantizers_page.rendered(),
        "docs/rates.md": rates_page.rendered(),
        "docs/stages.md": stages_page.rendered(),
        "docs/training.md": looks_page.rendered(),
    }
    for name, block in blocks.items():
        path = ROOT / name
        text = path.read_text(encoding="utf-8")
        before, rest = text.split(BEGIN)
        after = rest.split(END)[1]
        new = f"{before}{BEGIN}\n\n{block}\n\n{END}{after}"
        if check and new != text:
            raise SystemExit(f"{name}: tables are out of date; run python benchmarks/render.py")
        if not check:
            path.write_text(new, encoding="utf-8")
    if not check:
        suites_page.draw()


if __name__ == "__main__":
    main()
