"""The block of docs/rates.md that holds figures, from the results of rates.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from common import result, row

LARGE = 10_000
"""Codes of a file above which the entropy models are held to their order."""
SHARED = 0.9
"""One file of all pictures is shown where it takes less than this share of theirs."""
RESULTS = {"rates-kodak": "Kodak", "rates-cifar10": "CIFAR-10"}
LABELS = {"uniform": "fixed length", "static": "static", "adaptive": "adaptive"}


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table, numbers to the right."""
    return "\n".join(
        [row(*head), row("---", *["---:"] * (len(head) - 1)), *(row(*r) for r in rows)]
    )


def curve(points: list[dict[str, Any]], comparisons: list[dict[str, Any]], images: int) -> str:
    """Our points, each beside the rivals at its rate."""
    names = list(dict.fromkeys(one["codec"] for one in comparisons))
    rows = [
        (
            f"{point['setting']}",
            f"{point['bits_per_pixel']:.3f}",
            f"{point['psnr_db']:.2f} dB",
            f"{point['ssim']:.3f}",
            *(beside(one, images) for one in comparisons if one["stages"] == point["setting"]),
        )
        for point in points
    ]
    return table(
        ("stages", "bits/pixel", "PSNR", "SSIM", *(f"{n}, same bytes" for n in names)), rows
    )


def beside(one: dict[str, Any], images: int) -> str:
    """A rival at our rate, or that it has no such files."""
    if one["psnr_db"] is None:
        return f"none so small; least {one['smallest_bits_per_pixel']:.3g}"
    some = "" if one["images"] == images else f"; {one['images']} of {images} pictures"
    return f"{one['psnr_db']:.2f} dB (ours {one['gain_db']:+.2f}{some})"


def models(found: dict[str, Any]) -> Iterator[str]:
    """Bytes by entropy model."""
    figures = found["entropy_models"]
    large = [file for file in figures["files"] if file["codes"] > LARGE]
    head = ("bytes", "codes", *LABELS.values(), "static saves", "adaptive saves")
    rows = [measured(file["picture"], file) for file in large]
    total = {key: sum(file[key] for file in figures["files"]) for key in ("codes", *LABELS)}
    rows.append(measured(f"{len(figures['files']):,} files together", total))
    one = figures["one_file"]
    rows.append(measured(f"{one['pictures']:,} pictures in one file", one))
    yield table(head, rows)


def measured(name: str, file: dict[str, Any]) -> tuple[str, ...]:
    """One line of bytes."""
    saved = (f"{100 * (1 - file[e] / file['uniform']):.1f} %" for e in ("static", "adaptive"))
    return (name, f"{file['codes']:,}", *(f"{file[e]:,}" for e in LABELS), *saved)


def order(found: dict[str, Any]) -> str:
    """Whether adaptive is below static and static below fixed length, on large files."""
    figures = found["entropy_models"]
    files = [*figures["files"], figures["one_file"]]
    large = [file for file in files if file["codes"] > LARGE]
    adaptive = sum(f["adaptive"] < min(f["static"], f["uniform"]) for f in large)
    static = sum(f["static"] < f["uniform"] for f in large)
    equal = sum(f["static"] == f["uniform"] for f in large)
    return (
        f"Files of more than {LARGE:,} codes: {len(large)}. Adaptive is the smallest in "
        f"{adaptive}; static is below fixed length in {static} and equal to it in {equal}."
    )


def one_file(found: dict[str, Any], smallest: dict[str, Any]) -> str:
    """All pictures in one file beside the rivals' smallest files."""
    one = found["entropy_models"]["one_file"]
    others = "; ".join(
        f"as {name} at quality {own['quality']}, the lowest, they take {own['bytes']:,} bytes and "
        f"have {own['psnr_db']:.2f} dB"
        for name, own in smallest.items()
    )
    return (
        f"All {one['pictures']:,} pictures in one file with all stages: {one['adaptive']:,} bytes, "
        f"{one['psnr_db']:.2f} dB after reading it back; {others}."
    )


def of_result(name: str, title: str) -> Iterator[str]:
    """One data set."""
    found = result(name)
    if found is None:
        return
    yield f"### {title}"
    yield f"![PSNR over bits per pixel on {title}](figures/{name}.png)"
    for run in found["runs"]:
        yield f"**`{run['run']}`**, {run['images']:,} pictures, a file each:"
        yield curve(run["points"], run["comparisons"], run["images"])
        if run["one_file"][0]["bytes"] < SHARED * run["points"][0]["bytes"]:
            yield f"All {run['images']:,} in one file, beside the sum of the others' files:"
            yield curve(run["one_file"], run["one_file_comparisons"], run["images"])
        yield f"In words, written by the command: {run['verdict']}"
        if run["entropy_models"]["one_file"]["pictures"] > run["images"]:
            yield one_file(run, found["smallest_rival_files"])
        yield "Bytes of whole files with all stages, by entropy model:"
        yield from models(run)
        yield order(run)
    yield f"Measured by `{found['command']}`; Pillow {found['pillow']}."


def at_rates(found: dict[str, Any], named: dict[str, dict[str, Any]]) -> str:
    """PSNR of some curves at the rates of a result, and seconds of one core for a picture."""
    timed = any("cpu_seconds" in curve for curve in named.values())
    head = ("files", *(f"{rate:.2f}" for rate in found["rates"]), *("encode", "decode") * timed)
    rows = []
    for name, curve in named.items():
        psnr = ("" if db is None else f"{db:.2f}" for db in curve["at_rates"])
        seconds = curve.get("cpu_seconds", {})
        times = (f"{seconds[verb]:.2f} s" if seconds else "" for verb in ("encode", "decode"))
        rows.append((name, *psnr, *(times if timed else ())))
    return table(head, rows)


def rate_distortion() -> Iterator[str]:
    """The preset with a rate term beside JPEG and WebP, and what its parts gain."""
    found, parts = result("rate-distortion"), result("rate-ablation")
    if found is None or parts is None:
        return
    yield "### Kodak, `photos-rd`"
    yield (
        f"PSNR in dB of whole files, a file each of the {found['pictures']} pictures, at bits per "
        "pixel; empty where a codec has no such files. The adaptive model and effort 0 unless a "
        "row says otherwise."
    )
    yield at_rates(found, {**found["rivals"], **found["rows"]})
    yield f"Measured by `{found['command']}`."
    yield from other_photographs(found)
    yield from efforts()
    yield (
        "Each part left out, before any training by gradient, with codebooks fitted to "
        f"{parts['images']} photographs of `bsds500/train`. Without a rate term all files have "
        "0.8 bits per pixel."
    )
    yield at_rates(parts, {n: c for n, c in parts["rows"].items() if any(c["at_rates"])})
    yield f"Measured by `{parts['command']}`."


def other_photographs(found: dict[str, Any]) -> Iterator[str]:
    """The package's tokenizer beside the same network trained on other photographs."""
    others = result("rate-bsds")
    if others is None:
        return
    yield (
        "The package's tokenizer learned from 180 photographs under free licences. Beside it the "
        "same network, trained on the 200 of `bsds500/train` for 3,000 steps in place of 4,000:"
    )
    yield at_rates(found, {"photos-rd": found["rows"]["photos-rd"], **others["rows"]})
    yield f"Measured by `{others['command']}`."


def efforts() -> Iterator[str]:
    """What each effort of the encoder gains."""
    found = result("rate-effort")
    if found is None:
        return
    yield (
        f"Efforts of `compress`, {found['pictures']} of the pictures at three qualities; the last "
        "column is how many more bits than the first row's the files take at equal PSNR (BD-rate)."
    )
    rows = []
    for name, one in found["rows"].items():
        psnr = ("" if db is None else f"{db:.2f}" for db in one["at_rates"])
        more = one["bd_rate"]
        gain = "" if more is None else f"{100 * more:+.1f} %"
        rows.append((name, *psnr, f"{one['cpu_seconds']['encode']:.2f} s", gain))
    head = ("files", *(f"{rate:.2f}" for rate in found["rates"]), "encode", "bits")
    yield table(head, rows)
    yield f"Measured by `{found['command']}`."


def rendered() -> str:
    """The block as it should be."""
    sets = (part for item in RESULTS.items() for part in of_result(*item))
    return "\n\n".join([*rate_distortion(), *sets])
