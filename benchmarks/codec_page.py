"""Writes the measured tables of docs/vcb.md from results/codec-speed.json.

python benchmarks/codec_page.py
"""

from __future__ import annotations

from collections.abc import Iterator

from common import ROOT, result, row

PAGE = ROOT / "docs/vcb.md"


def coders(found: dict) -> Iterator[str]:
    """Both range coders, on one core."""
    rate = found["adaptive_with_constriction_million_per_processor_second"]
    yield f"Adaptive, 1024 codewords, decoded with constriction: {rate:.4f} million codes a second."
    yield ""
    yield row(
        "million codes a second of one core", "ours, write", "read", "constriction, write", "read"
    )
    yield row("---", *["---:"] * 4)
    names = ("ours_encode", "ours_decode", "constriction_encode", "constriction_decode")
    for one in found["coders_million_per_processor_second"]:
        rates = (f"{one[name]:.0f}" for name in names)
        yield row(f"one table, {one['codewords']:,} codewords", *rates)


def speed(found: dict) -> Iterator[str]:
    """Whole files, and compress beside encode."""
    machine = found["machine"]
    yield f"{machine['processor']}; `{found['command']}`."
    yield "Whole files in memory, million codes a second:"
    yield ""
    yield row("model", "codewords", "write", "read", "write, a core", "read, a core")
    yield row("---", *["---:"] * 5)
    for one in found["files"]:
        whole = (one[f"{verb}_million_per_second"] for verb in ("write", "read"))
        core = (one[f"{verb}_million_per_processor_second"] for verb in ("write", "read"))
        rates = (f"{rate:.3g}" for rate in (*whole, *core))
        yield row(one["entropy"], f"{one['codewords']:,}", *rates)
    yield ""
    yield (
        "By the clock with two threads, and to a second of processor time, which a busy machine "
        "does not change. `compress` beside `encode`, the same pictures and threads in turns:"
    )
    yield ""
    yield row("preset", "pictures", "to one file / encode", "a file each / encode")
    yield row("---", *["---:"] * 3)
    for preset, one in found["compress_beside_encode"].items():
        side = one["side"] if one["side"] == "whole" else f"{one['side']} x {one['side']}"
        ratios = (one[f"compress_{how}_over_encode"] for how in ("together", "each"))
        yield row(f"`{preset}`", f"{one['pictures']:,}, {side}", *(f"{r:.2f}" for r in ratios))


def main() -> None:
    """Rewrite both tables of the page."""
    found = result("codec-speed")
    if found is None:
        raise SystemExit("run benchmarks/codec_speed.py first")
    text = PAGE.read_text(encoding="utf-8")
    for name, lines in (("coders", coders(found)), ("speed", speed(found))):
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        before, rest = text.split(begin)
        text = before + begin + "\n\n" + "\n".join(lines) + "\n\n" + end + rest.split(end)[1]
    PAGE.write_text(text, encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
