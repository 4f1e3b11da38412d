"""Writes the measured blocks of docs/vcb.md from the results of three benchmarks.

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


def portable(found: dict) -> Iterator[str]:
    """Bytes with the portable prior beside the other models."""
    machine, names = found["machine"], list(found["files"][0]["bytes"])
    yield (
        f"Test images of CIFAR-10, 64 codes of 512 codewords each; `{found['command']}` with the "
        f"tokenizer and the prior of {found['parameters']:,} parameters in "
        "`benchmarks/models/cifar10`, whose commands it names. Bytes of whole files:"
    )
    yield ""
    yield row("images in a file", *names, "portable over adaptive")
    yield row("---:", *["---:"] * (len(names) + 1))
    each = found["a_file_each"]
    rows = [(f"{one['images']:,}", one["bytes"]) for one in found["files"]]
    for label, sizes in [*rows, (f"{each['images']} files of 1", each["bytes"])]:
        ratio = sizes["portable"] / sizes["adaptive"] - 1
        yield row(label, *(f"{sizes[name]:,}" for name in names), f"{100 * ratio:+.1f} %")
    bits, rates = found["bits_per_code"], found["speed"]
    yield ""
    yield (
        f"Bits a code: {bits['integers']:.4f} by the integers, {bits['float']:.4f} by the same "
        "weights in floating point, not rounded. Thousand codes a second, one file of all: "
        f"{rates['write_thousand_per_second']:.0f} written, "
        f"{rates['read_thousand_per_second']:.0f} read ({machine['processor']})."
    )


def orders(found: dict) -> Iterator[str]:
    """Both orders of the portable prior on photographs, with and without coarser codes."""
    machine, counting = found["machine"], found["counting_bits_per_code"]
    yield (
        "The finest level of `photos-2level`, two books of 16, on "
        f"{found['photographs'][1]} held-out photographs of two orientations; priors of "
        f"{found['steps']} steps on crops; `{found['command']}`. Seconds of one core for the "
        f"finest level of a picture of 768 x 512, 49,152 codes ({machine['processor']})."
    )
    yield ""
    yield row("order", "coarser codes", "parameters", "bits a code", "write", "read")
    yield row("---", "---", *["---:"] * 4)
    for one in found["priors"]:
        picture = one["picture"]
        yield row(
            one["order"],
            "seen" if one["coarser_levels"] else "not seen",
            f"{one['parameters']:,}",
            f"{one['held_out_bits_per_code']:.3f}",
            f"{picture['write_seconds']:.2f} s",
            f"{picture['read_seconds']:.2f} s",
        )
    yield ""
    yield (
        f"By frequency a code takes {counting['order0']:.3f} bits, given its left neighbour "
        f"{counting['left']:.3f}, by the adaptive model with a file for each photograph "
        f"{found['adaptive_bits_per_code']:.3f}."
    )


def main() -> None:
    """Rewrite the measured blocks of the page."""
    found, network, both = (result(n) for n in ("codec-speed", "portable", "portable-orders"))
    if found is None or network is None or both is None:
        raise SystemExit("run benchmarks/{codec_speed,portable,portable_orders}.py first")
    text = PAGE.read_text(encoding="utf-8")
    blocks = {
        "coders": coders(found),
        "portable": portable(network),
        "orders": orders(both),
        "speed": speed(found),
    }
    for name, lines in blocks.items():
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        before, rest = text.split(begin)
        text = before + begin + "\n\n" + "\n".join(lines) + "\n\n" + end + rest.split(end)[1]
    PAGE.write_text(text, encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
