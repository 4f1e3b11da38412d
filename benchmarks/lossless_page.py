"""The block of docs/lossless.md that holds figures, from the result of lossless.py."""

from __future__ import annotations

import statistics
from typing import Any

from common import result, row


def table(photographs: dict[str, dict[str, Any]]) -> str:
    """Bits per pixel of whole files as a Markdown table."""
    names = ("vocabula", "webp", "png")
    lines = [row("photograph", "`--lossless`", "WebP, lossless", "PNG"), row("---", *["---:"] * 3)]
    rates = {
        place: [8 * one[name] / one["pixels"] for name in names]
        for place, one in photographs.items()
    }
    rates["mean"] = [statistics.mean(column) for column in zip(*rates.values(), strict=True)]
    lines += [row(place, *(f"{rate:.3f}" for rate in found)) for place, found in rates.items()]
    return "\n".join(lines)


def small_table(found: dict[str, float]) -> str:
    """Bytes of small pictures as a Markdown table."""
    head = row("", "`--lossless`", "all in one file", "WebP, lossless", "PNG")
    names = ("vocabula", "vocabula_in_one_file", "webp", "png")
    cells = row("bytes a picture", *(f"{found[name]:,.0f}" for name in names))
    return "\n".join([head, row("---", *["---:"] * 4), cells])


def block_table(photographs: dict[str, dict[str, Any]]) -> str:
    """Means over the photographs of blocks and of JPEG at their size."""
    head = ("bytes", "of them codebook", "PSNR", "JPEG of that size")
    lines = [row("blocks", *head), row("---", *["---:"] * len(head))]
    for size in next(iter(photographs.values()))["blocks"]:
        each = [one["blocks"][size] for one in photographs.values()]
        mean = {name: statistics.mean(one[name] for one in each) for name in each[0]}
        cells = (
            f"{mean['bytes']:,.0f}",
            f"{mean['bytes'] - mean['code_bytes']:,.0f}",
            f"{mean['psnr']:.2f} dB",
            f"{mean['jpeg_psnr']:.2f} dB",
        )
        lines.append(row(size, *cells))
    return "\n".join(lines)


def rendered() -> str:
    """The block as it should be; empty before anything has been measured."""
    found = result("lossless")
    if found is None:
        return ""
    photographs, speed = found["photographs"], found["million_values_per_second"]
    small = found["cifar10"]
    codes = statistics.mean(8 * one["codes"] / one["pixels"] for one in photographs.values())
    parts = [
        f"Bits per pixel of whole files, {len(photographs)} photographs of Kodak. The codes, which "
        f"are a picture by themselves, are {codes:.3f} of ours. WebP with quality 100 and method "
        f"6, PNG with optimize, both by Pillow {found['pillow']}:",
        table(photographs),
        f"{small['pictures']} pictures of CIFAR-10, 32 x 32, each in a file of its own:",
        small_table(small),
        f"The coder takes {speed['write']:.1f} million values a second of one core, reading "
        f"{speed['read']:.1f}; the network that makes the reconstruction, in float64, comes on "
        f"top. {found['machine']['processor']}.",
        "Blocks of 4 x 4 pixels, means over the same photographs, each with its own codebook; JPEG "
        "with the highest quality whose file is no larger. Blocks are ahead at low rates; at a "
        "thousand codewords the codebook is most of the file, and JPEG is ahead:",
        block_table(photographs),
        f"Measured by `{found['command']}`, in `benchmarks/results/lossless.json`, with the preset "
        "`cifar10`.",
    ]
    return "\n\n".join(parts)
