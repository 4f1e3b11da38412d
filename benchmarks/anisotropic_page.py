"""The block of docs/collapse.md that holds figures, from the result of anisotropic.py."""

from __future__ import annotations

from typing import Any

from common import result, row

LABELS = {
    "ema": "default: `EMA()`",
    "gradient": "`Gradient()`",
    "cosine": '`distance="cosine"`',
    "linear": "`LinearReparametrization()`",
    "network": "`NetworkReparametrization(MLPTransform(D))`",
    "residual": "`ResidualQuantizer`, 4 books",
    "product": "`ProductQuantizer`, 4 books",
    "gumbel": "`GumbelQuantizer`",
    "gumbel_kmeans": "`GumbelQuantizer`, `initialization=KMeans()`",
    "finite_scalar": "`FiniteScalarQuantizer`, 240 or 1,000 codes",
    "finite_scalar_principal": "the same, of principal components with deviation 1",
    "lookup_free": "`LookupFreeQuantizer`",
}
DATA = {
    "clip": "unit vectors in a cone",
    "speech": "speech-like frames",
    "items": "item vectors",
    "log_mel": "log-mel frames of digits",
}
SIZES = (256, 1024)


def cell(data: dict[str, Any], key: str) -> str:
    """The usage of the least used book of one run."""
    run = data["runs"].get(key)
    if run is None:
        return ""
    least = min(run["usage"])
    return f"{100 * least:.1f} %" + (" *" if least < 0.95 else "")


def table(found: dict[str, Any]) -> str:
    """One line for every quantizer, one column for every kind of vectors and size."""
    places = [(name, size) for name in DATA if name in found["data"] for size in SIZES]
    head = ["quantizer", *(f"{DATA[name]}, K = {size}" for name, size in places)]
    lines = [row(*head), row("---", *["---:"] * len(places))]
    for name, label in LABELS.items():
        for suffix, words in (("", label), (" standardized", f"{label}, standardized")):
            cells = [cell(found["data"][d], f"{name} {k}{suffix}") for d, k in places]
            if any(cells):
                lines.append(row(words, *cells))
    return "\n".join(lines)


def rendered() -> str:
    """The block as it should be."""
    found = result("anisotropic")
    if found is None:
        return "Not yet measured."
    shapes = "; ".join(
        f"{DATA[name]}: {one['vectors']:,} of width {one['dim']}, mean "
        f"{one['mean_ratio']:.1f} times the spread, largest scale {one['scale_ratio']:.1f} "
        "times the median"
        for name, one in found["data"].items()
    )
    setting = (
        f"{found['steps']} steps of batch {found['batch']}, seed {found['seed']}, the identity as "
        f"encoder. {shapes[0].upper()}{shapes[1:]}. {found['machine']['processor']}."
    )
    closing = (
        "Measured by `python benchmarks/anisotropic.py DATA`, DATA the digits' WAV files, in "
        "`benchmarks/results/anisotropic.json`; the vectors are made by "
        "`vocabula.benchmark.anisotropic`."
    )
    return "\n\n".join([setting, table(found), closing])
