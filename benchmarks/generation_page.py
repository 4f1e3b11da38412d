"""The generated part of docs/generation.md: priors, hierarchies and the VAE, in tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common import result, row

NOT_YET = "Not yet measured."


def rendered() -> str:
    """The whole block between the markers."""
    parts = [
        "## Digits", *generation("generation-digits"),
        "## CIFAR-10", *generation("generation-cifar10"),
        "## Two levels of codes beside one", *hierarchy(),
        "## A VAE beside VQ-VAE and prior", *vae(),
    ]  # fmt: skip
    return "\n\n".join(parts)


def source(found: Mapping[str, Any]) -> str:
    """Where and how it was measured."""
    machine = found["machine"]
    return f"`{found['command']}` ({machine['processor']}, torch {machine['torch']})."


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table, numbers to the right."""
    return "\n".join(
        [row(*head), row("---", *["---:"] * (len(head) - 1)), *(row(*r) for r in rows)]
    )


def number(value: float | None) -> str:
    """A number, or nothing where it was not measured."""
    return "" if value is None else f"{value:.3f}"


def percent(share: float) -> str:
    """A share as a percentage."""
    return f"{100 * share:.1f} %"


def generation(name: str) -> list[str]:
    """Nats per code of each prior, and what a classifier sees in its samples."""
    found = result(name)
    if found is None:
        return [NOT_YET]
    flat = found.get("by_class") or found["flat"]
    counted = flat["counted"]
    models = {key: value for key, value in flat.items() if key != "counted"}
    parts = [
        f"{found['steps']:,} steps of batch 64 for every prior, one seed. Nats per code of the "
        f"test pictures: uniform {counted['uniform']:.3f}, order 0 {counted['order0']:.3f}, given "
        f"the left neighbour {counted['left']:.3f}, given left and upper "
        f"{counted['left_and_above']:.3f}.",
        table(
            ("prior", "parameters", "by class", "below order 0", "below the better neighbour",
             "class withheld", "never had a class"),
            [
                (
                    key, f"{m['parameters']:,}", f"{m['nats_per_code']:.3f}",
                    percent(m["below_order0"]), percent(m["below_neighbours"]),
                    f"{m['nats_class_withheld']:.3f}", number(m["nats_never_a_class"]),
                )
                for key, m in models.items()
            ],
        ),
        f"The share of {10 * found['drawn_of_each_class']:,} samples in which a classifier sees "
        f"what was asked for; of the real test pictures it knows "
        f"{percent(found['classifier_accuracy'])}:",
        seen_table(found, models),
    ]  # fmt: skip
    if "two_levels" in found:
        parts.append(two_level_line(found["two_levels"]))
    if "sheet" in found:
        parts.append(picture(found["sheet"], "Samples, a class in each column"))
    return [*parts, source(found)]


def seen_table(found: Mapping[str, Any], models: Mapping[str, Any]) -> str:
    """Recognised samples at each guidance."""
    asked = {f"{key}, by class": m["seen_as_asked"] for key, m in models.items()}
    asked |= {f"{k}, by text": m["seen_as_asked"] for k, m in found.get("by_text", {}).items()}
    if "two_levels" in found:
        asked["two levels, by class"] = found["two_levels"]["seen_as_asked"]
    if "reconstructions_seen" in found:
        asked["test pictures, encoded and decoded"] = dict.fromkeys(
            next(iter(asked.values())), found["reconstructions_seen"]
        )
    head = ("prior", *next(iter(asked.values())))
    return table(head, [(key, *map(percent, seen.values())) for key, seen in asked.items()])


def two_level_line(two: Mapping[str, Any]) -> str:
    """Nats per code of the priors of a two-level tokenizer."""
    levels = "; ".join(
        f"level {k} {nats:.3f} (order 0 {counted['order0']:.3f})"
        for k, (nats, counted) in enumerate(
            zip(two["nats_per_code"], two["counted"], strict=True), 1
        )
    )
    return f"The two-level tokenizer's priors ({two['model']}), nats per code: {levels}."


def hierarchy() -> list[str]:
    """PSNR at equal bits, and what each level holds."""
    found = result("hierarchy")
    if found is None:
        return [NOT_YET]
    head = (
        "run",
        "parameters",
        "bits an image",
        "test PSNR",
        "SSIM",
        "without level 1",
        "without level 2",
    )
    rows = [
        (
            f"{name} (`{run['preset']}`)",
            f"{run['parameters']:,}", f"{run['bits_per_image']:.0f}", f"{run['psnr']:.2f} dB",
            f"{run['ssim']:.3f}", *(without(run, level) for level in (1, 2)),
        )
        for name, run in found["runs"].items()
    ]  # fmt: skip
    return [
        f"CIFAR-10, {found['steps']:,} steps of the same batches, one seed, each preset with its "
        "own learning rate (3e-4 and 6e-4). The last columns give the PSNR when the values of a "
        "level are replaced by their mean.",
        table(head, rows),
        picture(found["sheet"], "Test pictures above what each tokenizer keeps of them"),
        source(found),
    ]


def without(run: Mapping[str, Any], level: int) -> str:
    """PSNR without a level, where there are several."""
    psnr = run.get(f"psnr_without_level {level}")
    return "" if psnr is None else f"{psnr:.2f} dB"


def vae() -> list[str]:
    """Samples of both, and posterior collapse."""
    found = result("vae-baseline")
    if found is None:
        return [NOT_YET]
    samples = found["samples"]
    drawn = [
        (
            name, f"{p['sharpness']:.4f}", percent(p["sure"]),
            percent(p["accuracy"]) if "accuracy" in p else "",
        )
        for name, p in samples["pictures"].items()
    ]  # fmt: skip
    collapse = [
        (
            name, f"{p['nats']:.1f}", f"{p['information']:.2f}", f"{p['listening']:.2f}",
            f"{p['kl']:.2f}" if "kl" in p else "",
            f"{p['perplexity']:.1f}" if "perplexity" in p else "",
        )
        for name, p in found["collapse"].items()
    ]  # fmt: skip
    return [
        "The same networks, data and steps on the digits: the bottleneck is a codebook or a "
        "Gaussian of the same width. Sharpness is the mean gradient magnitude; `sure` the share of "
        "pictures for which the classifier gives a class more than 0.9.",
        table(("pictures", "sharpness", "sure", "seen as asked"), drawn),
        picture(samples["sheet"], "Samples, two rows each in the order of the table"),
        "Posterior collapse: the same encoder below a decoder that sees only the latent, and below "
        "a PixelCNN that sees the pixels before as well. `information` is how much the latent "
        f"tells about which of {found['test_pictures']} test pictures it came from, in nats, at "
        f"most {found['most_information']:.2f}; `listening` is the extra cost of a picture with "
        "another picture's latent.",
        table(
            ("bottleneck, decoder", "nats a picture", "information", "listening", "KL",
             "perplexity"),
            collapse,
        ),
        source(found),
    ]  # fmt: skip


def picture(path: str, caption: str) -> str:
    """A figure of docs/figures."""
    return f"![{caption}]({path.removeprefix('docs/')})"
