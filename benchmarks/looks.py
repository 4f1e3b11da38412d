"""Decoders for the same codes: trained on by squared error, and with an adversary.

    python benchmarks/looks.py PHOTOS HELD_OUT [--keep DIR] [--seeds 0 1 2] [--rows plain guard] ...

PHOTOS and HELD_OUT are folders of pictures. A run of the preset `photos`, with the decoder of
`photos-gan`, is where all others begin. From there its look alone learns, without an adversary
(plain) and as `photos-gan` says (adversarial), or with an adversary of weight 100, which the guard
must catch (guard). The codes stay the same, so that the rows differ by their decoders alone; with
``--whole`` everything learns.

Measured on whole held-out pictures: PSNR, ST-LPIPS, the energy of gradients as a share of the
originals', and how far a grid of the codes' stride stands out. Of each row also whether every
figure of the log was finite, and how far the error in training rose above its value when the
adversary began to count. What a step costs is measured by itself: the rows take turns, each for a
few steps and for more of them, and the difference counts.
"""

from __future__ import annotations

import argparse
import itertools
import math
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pictures import rounded, save_sheet, write_figures
from torch import Tensor
from torch.nn.functional import pad

from vocabula import load, open_source
from vocabula.evaluation.metrics.similarity import mse, psnr
from vocabula.files.run_files import read_log
from vocabula.nn.perceptual.stlpips import ShiftTolerantLPIPS
from vocabula.tokenizers import SignalTokenizer
from vocabula.training import RunConfig, load_config, train

SAME_DECODER = ("decoder.resize=true",)
ROWS: dict[str, tuple[str, tuple[str, ...]]] = {
    "plain": ("photos", SAME_DECODER),
    "adversarial": ("photos-gan", ("adversary.start=0",)),
    "guard": ("photos-gan", ("adversary.start=0", "adversary.weight=100")),
}
BEGIN = "begin"
_STEPS = (20, 80)


def configured(
    row: str, seed: int, options: argparse.Namespace, steps: int, start: Path | None, *others: str
) -> RunConfig:
    """The configuration of a row.

    Args:
        row: one of `ROWS`, or `BEGIN`.
        seed: of the run.
        options: of the command line.
        steps: of the run.
        start: the run to begin as.
        others: further options of adversaries and perceptual terms.
    """
    preset, overrides = ROWS.get(row, ("photos", SAME_DECODER))
    given = [f"training.steps={steps}", f"training.seed={seed}", "training.memory_check=false"]
    if start is not None and not options.whole:
        given.append(f'training.stages=[{{train=["look"],steps={steps}}}]')
    of_looks = ("adversary", "perceptual")
    more = [o for o in (*options.set, *others) if preset != "photos" or not o.startswith(of_looks)]
    return load_config(preset, [*given, *overrides, *more])


def trained(row: str, seed: int, options: argparse.Namespace, start: Path | None) -> Path:
    """Train a row, or go on with what is kept; its folder."""
    steps = options.begin if start is None else options.steps
    config = configured(row, seed, options, steps, start)
    out = options.keep / f"{row}-{seed}"
    train(config, str(options.photos), out, start=start, resume=True, progress=False)
    return out


def costs(options: argparse.Namespace, start: Path) -> dict[str, float]:
    """CPU seconds of a step of each row, at its full weight: medians of rounds, in turns."""
    found: dict[str, list[float]] = {row: [] for row in options.rows}
    for _ in range(options.rounds):
        for row, seconds in found.items():
            spent = [seconds_of(row, steps, options, start) for steps in _STEPS]
            seconds.append((spent[1] - spent[0]) / (_STEPS[1] - _STEPS[0]))
    return {row: statistics.median(seconds) for row, seconds in found.items() if seconds}


def seconds_of(row: str, steps: int, options: argparse.Namespace, start: Path) -> float:
    """CPU seconds of so many steps of a row, and of what it takes to begin and end."""
    at_once = ("adversary.warmup=0", "adversary.ramp=0")
    config = configured(row, 0, options, steps, start, *at_once)
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        train(config, str(options.photos), Path(folder) / "run", start=start, progress=False)
        return time.process_time() - began


def pictures(data: Path, limit: int | None) -> list[Tensor]:
    """Whole pictures (1, 3, H, W) in [0, 1]."""
    source = open_source(str(data))
    count = min(len(source), limit or len(source))
    read = (torch.tensor(source.read(i).image) for i in range(count))
    return [image.permute(2, 0, 1)[None].float() / 255 for image in read]


def energy(x: Tensor) -> float:
    """The mean over neighbours along both axes of (x_i - x_j)^2."""
    return float((x.diff(dim=2).square().mean() + x.diff(dim=3).square().mean()).double())


def grid(x: Tensor, stride: int) -> float:
    """How far the frequencies of a grid stand out, in dB: 0 for noise.

    Blocks of 16 strides, half of them apart, under a Hann window have the power of a pattern that
    repeats every `stride` pixels in every 16th bin and those beside it. The mean there is compared
    with the mean three to five bins away, and the result is a mean over all such bins but that
    of the mean value.

    Args:
        x: (1, C, H, W).
        stride: pixels.
    """
    side = 16 * stride
    blocks = x[0].double().unfold(1, side, side // 2).unfold(2, side, side // 2)
    blocks = blocks.reshape(-1, side, side)
    blocks = blocks - blocks.mean((1, 2), keepdim=True)
    window = torch.hann_window(side, dtype=torch.float64)
    spectra = torch.fft.fft2(blocks * window * window[:, None])
    power = pad(spectra.abs().square().mean(0)[None, None], (5,) * 4, mode="circular")[0, 0]
    around = power.unfold(0, 11, 16).unfold(1, 11, 16).reshape(-1, 11, 11)[1:]
    away = torch.ones(11, 11, dtype=torch.bool)
    away[3:8, 3:8] = False
    ratio = around[:, 4:7, 4:7].mean((1, 2)) / around[:, away].mean(1)
    return float(10 * ratio.log10().mean())


@torch.no_grad()
def measured(
    tokenizer: SignalTokenizer, images: Sequence[Tensor], distance: ShiftTolerantLPIPS
) -> dict[str, float]:
    """Figures on pictures; means over them."""
    names = ("psnr", "stlpips", "gradient_energy", "grid_db")
    found: dict[str, list[float]] = {name: [] for name in names}
    stride = tokenizer.strides[-1]
    for x in images:
        y = tokenizer.reconstruct(x)
        found["psnr"].append(float(psnr(mse(y, x)).mean()))
        found["stlpips"].append(float(distance(y, x)))
        found["gradient_energy"].append(energy(y) / energy(x))
        found["grid_db"].append(grid(y, stride) - grid(x, stride))
    return {name: statistics.fmean(values) for name, values in found.items()}


def course(run: Path) -> dict[str, Any]:
    """What the log says: finite or not, what was said, and the rise of the error since the start.

    The start is the last line before the adversary counts, and the rise that of the last line.
    """
    log = read_log(run / "log.jsonl")
    values = [v for record in log for v in numbers(record)]
    silent = list(itertools.takewhile(lambda r: not r.get("adversary", {}).get("weight"), log))
    before = (silent or log)[-1]["psnr"]
    return {
        "finite": all(map(math.isfinite, values)),
        "warnings": sum(len(record.get("warnings", ())) for record in log),
        "training_drop_db": before - log[-1]["psnr"],
    }


def numbers(value: Any) -> list[float]:
    """All numbers in a line of the log."""
    if isinstance(value, Mapping):
        return [number for item in value.values() for number in numbers(item)]
    return [float(value)] if isinstance(value, (int, float)) else []


def compared(row: Mapping[str, Any], plain: Mapping[str, Any]) -> dict[str, float]:
    """A row beside the plain one: what is lost and what is gained."""
    return {
        "stlpips_change": row["stlpips"] / plain["stlpips"] - 1,
        "psnr_loss_db": plain["psnr"] - row["psnr"],
    }


def sheet(
    name: str, tokenizers: Sequence[SignalTokenizer], images: Sequence[Tensor], side: int
) -> str:
    """The middles of pictures, each beside what tokenizers make of it."""
    rows = []
    for x in images:
        top, left = (max(0, (n - side) // 2) for n in x.shape[2:])
        for whole in (x, *(tokenizer.reconstruct(x) for tokenizer in tokenizers)):
            rows.append(whole[..., top : top + side, left : left + side])
    return save_sheet(name, torch.cat(rows), 1 + len(tokenizers), scale=2)


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("photos", type=Path, help="pictures to learn from")
    parser.add_argument("held_out", type=Path, help="pictures to measure on")
    parser.add_argument("--keep", type=Path, default=Path("looks"), help="keep the runs here")
    parser.add_argument("--begin", type=int, default=1500, help="steps before")
    parser.add_argument("--steps", type=int, default=2500, help="steps of each row")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=["plain", "adversarial"])
    parser.add_argument(
        "--whole", action="store_true", help="everything learns, not the look alone"
    )
    parser.add_argument("--set", nargs="+", default=[], help="further options")
    parser.add_argument("--images", type=int, help="the first held-out pictures only")
    parser.add_argument("--shown", type=int, nargs="*", default=[0, 4, 14, 22])
    parser.add_argument("--side", type=int, default=128, help="of the squares in the figure")
    parser.add_argument("--rounds", type=int, default=3, help="of measuring what a step costs")
    parser.add_argument("--name", default="looks", help="of the result and the figure")
    parser.add_argument("--dry", action="store_true", help="write neither result nor figure")
    return parser.parse_args()


def main() -> None:
    """Train, measure, compare, and write the result and the figure."""
    options = parsed()
    images, distance = pictures(options.held_out, options.images), ShiftTolerantLPIPS()
    start = trained(BEGIN, 0, options, None)
    figures: dict[str, Any] = {BEGIN: measured(load(start), images, distance)}
    figures["cpu_seconds_of_a_step"] = seconds = costs(options, start)
    if seconds.get("plain") and seconds.get("adversarial"):
        figures["step_over_plain"] = seconds["adversarial"] / seconds["plain"]
    firsts: dict[str, SignalTokenizer] = {}
    for row in options.rows:
        figures[row] = {}
        for seed in options.seeds:
            run = trained(row, seed, options, start)
            tokenizer = load(run)
            firsts.setdefault(row, tokenizer)
            found = measured(tokenizer, images, distance) | course(run)
            found["same_codes"] = tokenizer.codes_digest() == load(start).codes_digest()
            plain = figures.get("plain", {}).get(str(seed))
            if plain is not None and row != "plain":
                found |= compared(found, plain)
            figures[row][str(seed)] = found
            print(row, seed, rounded(found), flush=True)
    settings = {"steps_before": options.begin, "steps": options.steps, "whole": options.whole}
    figures = {**settings, "set": options.set, "pictures": len(images), **figures}
    if options.dry:
        return
    shown = [images[number] for number in options.shown if number < len(images)]
    beside = [firsts[row] for row in ("plain", "adversarial") if row in firsts]
    if shown:
        figures["sheet"] = sheet(options.name, beside, shown, options.side)
    words = ["looks.py", "PHOTOS", "HELD_OUT", "--steps", str(options.steps)]
    words += ["--begin", str(options.begin), "--seeds", *map(str, options.seeds)]
    words += ["--rows", *options.rows, *(["--whole"] if options.whole else [])]
    words += ["--name", options.name] if options.name != "looks" else []
    words += ["--set", *options.set] if options.set else []
    write_figures(options.name, words, rounded(figures))


if __name__ == "__main__":
    main()
