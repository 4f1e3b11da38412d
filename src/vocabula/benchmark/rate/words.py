"""The results of a rate-distortion measurement, in tables and in one sentence."""

from __future__ import annotations

from collections.abc import Sequence

from vocabula.benchmark.rate.study import Comparison, RatePoint, RateStudy
from vocabula.benchmark.tables import Table

ONE_EACH, ONE_FOR_ALL = "a file for each picture", "all pictures in one .vcb file"


def rate_tables(study: RateStudy) -> list[Table]:
    """The tables: one file per picture and, for several pictures, one file for all."""
    found = [_table(ONE_EACH, study.points, study.comparisons, study.images)]
    if study.one_file:
        title = f"{ONE_FOR_ALL}, beside the sum of the others' files"
        found.append(_table(title, study.one_file, study.one_file_comparisons, study.images))
    if study.speeds:
        found.append(_speeds(study))
    return found


def _speeds(study: RateStudy) -> Table:
    """Times of a picture, and bits at equal PSNR."""
    rows = []
    for name, speed in study.speeds.items():
        rate = study.bd_rates.get(name)
        times = (f"{1000 * t:.1f} ms" for t in (speed.encode_seconds, speed.decode_seconds))
        rows.append((name, *times, "-" if rate is None else f"{rate:+.1%}"))
    columns = ("codec", "encode", "decode", "our bits at equal PSNR (BD-rate)")
    return Table("a picture, at about our bytes", columns, rows)


def code_bits_sentence(study: RateStudy) -> str:
    """What held-out codes cost, in words; empty without counts of training codes."""
    bits = study.code_bits
    if bits is None:
        return ""
    return (
        f"Bits of a code under the counts of training: {bits.held_out:.3f} here, "
        f"{bits.training:.3f} in training, {bits.fixed:.3f} at a fixed length."
    )


def _table(
    title: str, points: Sequence[RatePoint], comparisons: Sequence[Comparison], images: int
) -> Table:
    names = list(dict.fromkeys(one.codec for one in comparisons))
    columns = ("stages", "bytes", "bits/pixel", "PSNR", "SSIM")
    rows = []
    for point in points:
        beside = [one for one in comparisons if one.stages == point.setting]
        rows.append(
            (
                f"{point.setting}",
                f"{point.bytes:,}",
                f"{point.bits_per_pixel:.4f}",
                f"{point.psnr_db:.2f} dB",
                f"{point.ssim:.4f}",
                *(_cell(one, images) for one in beside),
            )
        )
    return Table(title, (*columns, *(f"{name} of this size" for name in names)), rows)


def _cell(one: Comparison, images: int) -> str:
    """A rival's PSNR and our gain over it, or a note that it has no files this small."""
    if one.psnr_db is None or one.gain_db is None:
        return f"cannot reach this rate (smallest {one.smallest_bits_per_pixel:.4g})"
    some = "" if one.images == images else f", {one.images} of {images} pictures"
    return f"{one.psnr_db:.2f} dB (ours {one.gain_db:+.2f} dB{some})"


def verdict(study: RateStudy) -> str:
    """One sentence that says where the tokenizer wins and where it loses, by PSNR."""
    parts = [f"with {ONE_EACH} it {_judged(study.points, study.comparisons, study.images)}"]
    if study.one_file:
        judged = _judged(study.one_file, study.one_file_comparisons, study.images)
        parts.append(f"with {ONE_FOR_ALL} beside the sum of the others' files it {judged}")
    return "vocabula at equal bytes: " + "; ".join(parts) + "."


def _judged(points: Sequence[RatePoint], comparisons: Sequence[Comparison], images: int) -> str:
    rates = {point.setting: point.bits_per_pixel for point in points}
    wins, losses, absent = [], [], []
    for name in dict.fromkeys(one.codec for one in comparisons):
        of_name = [one for one in comparisons if one.codec == name]
        better = [one for one in of_name if one.gain_db is not None and one.gain_db > 0]
        worse = [one for one in of_name if one.gain_db is not None and one.gain_db <= 0]
        beyond = [one for one in of_name if one.gain_db is None]
        if better:
            wins.append(f"{name} {_where(better, rates, images)}")
        if worse:
            losses.append(f"{name} {_where(worse, rates, images)}")
        if beyond:
            absent.append(f"{name} {_below(beyond, rates)}")
    found = []
    if wins or losses:
        found.append(f"wins over {listed(wins)}" if wins else "wins nowhere")
        found.append(f"loses to {listed(losses)}" if losses else "loses nowhere")
    if absent:
        found.append(f"is below the smallest files of {listed(absent)}")
    return listed(found)


def _below(found: Sequence[Comparison], rates: dict[int, float]) -> str:
    """The rates of some comparisons that the rival cannot reach, with its lowest rate."""
    at = listed([f"{rates[one.stages]:.3g}" for one in found])
    least = found[0]
    return (
        f"at {at} bits per pixel (theirs take {least.smallest_bits_per_pixel:.3g} "
        f"with {least.smallest_psnr_db:.2f} dB)"
    )


def _where(found: Sequence[Comparison], rates: dict[int, float], images: int) -> str:
    """The rates of some comparisons, with the gain and the number of pictures."""
    gains = sorted(abs(one.gain_db or 0) for one in found)
    spread = f"{gains[0]:.2f}" if len(gains) == 1 else f"{gains[0]:.2f} to {gains[-1]:.2f}"
    at = listed(
        [
            f"{rates[one.stages]:.3g}"
            + ("" if one.images == images else f" ({one.images} of {images} pictures)")
            for one in found
        ]
    )
    return f"at {at} bits per pixel (by {spread} dB)"


def listed(words: Sequence[str]) -> str:
    """Words as "a, b and c"."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
