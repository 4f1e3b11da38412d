"""Priors over codes and what they draw, judged by a classifier of real pictures.

    python benchmarks/generation.py digits
    python benchmarks/generation.py cifar10 DATA --flat RUN --levels RUN --judge FILE

For each of PixelCNN, PixelSNAIL and Transformer, of equal parameters and steps: nats per code of
the test pictures, beside what counting reaches (uniform, order 0, neighbours), with the class,
without, and of a prior that never had one; then the share of drawn pictures in which the
classifier sees the class, or the digit of the caption, that was asked for, at several guidances.

The tokenizer, the weights that are kept (best on a share held out of the training codes) and the
classifier know nothing of the test split. RUN and FILE are what ``hierarchy.py --keep`` and
``classifiers.py --out`` wrote.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from classifiers import accuracy, cifar_classifier, digit_classifier
from pictures import CIFAR_CLASSES, DIGITS, load_pictures, rounded, save_sheet, write_figures
from torch import nn

from vocabula import load, open_source
from vocabula.data import read_tokens
from vocabula.data.code_arrays import read_codes
from vocabula.evaluation.code_nats import count_nats, measure_codes
from vocabula.pipelines import encode_dataset
from vocabula.priors import Drawing, Generator, load_generator
from vocabula.priors.conditioned import ConditionedCodes
from vocabula.training import load_config, train, train_prior

MODELS = {
    "digits": {
        "pixelcnn": ["prior.hidden=48", "prior.layers=4", "prior.dropout=0.5"],
        "pixelsnail": [
            "prior.hidden=64",
            "prior.blocks=2",
            "prior.residuals=1",
            "prior.dropout=0.5",
        ],
        "transformer": [
            "prior.hidden=76",
            "prior.layers=3",
            "prior.heads=2",
            "prior.dropout=0.3",
            "optimizer.learning_rate=2e-3",
        ],
    },
    "cifar10": {
        "pixelcnn": ["prior.hidden=64", "prior.layers=8"],
        "pixelsnail": ["prior.hidden=80", "prior.blocks=3", "prior.residuals=2"],
        "transformer": ["prior.hidden=120", "prior.layers=4", "prior.heads=4"],
    },
}
"""Overrides of each model that make their parameters about equal."""
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
GUIDANCES = (1.0, 1.5, 2.0, 3.0)


def captions(digit: int) -> list[str]:
    """What a digit is called in the training data."""
    number = NUMBERS[digit]
    return [f"a handwritten {number}", f"the digit {number}", f"{number}, written by hand"]


class Experiment:
    """Codes of the training and test pictures, and a judge of drawn ones.

    Args:
        folder: where runs and token files lie.
        name: ``digits`` or ``cifar10``.
        tokenizer: folder of the tokenizer.
        data: sources of the training and test pictures.
        judge: the classifier.
        options: steps and numbers of pictures.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        tokenizer: Path,
        data: tuple[str, str],
        judge: nn.Module,
        options: argparse.Namespace,
    ) -> None:
        self.folder, self.name, self.judge, self.options = folder, name, judge, options
        self.tokenizer = load(tokenizer)
        self.files = [folder / f"{tokenizer.name}-{part}.parquet" for part in ("train", "test")]
        for source, file in zip(data, self.files, strict=True):
            encode_dataset(self.tokenizer, open_source(source), file, overwrite=True)
        self.arrays = [read_codes(read_tokens(file)) for file in self.files]

    def train(self, model: str, out: str, overrides: list[str], **extra: Any) -> Path:
        """Train a prior of the training codes; gives its folder."""
        settings = [f"training.steps={self.options.steps}", "held_out.share=0.1", *overrides]
        config = load_config(model, settings)
        path = self.folder / out
        train_prior(
            config, self.tokenizer, self.files[0], path, resume=True, progress=False, **extra
        )
        return path

    def nats(self, folder: Path, *, classes: bool, withheld: bool = False) -> list[float]:
        """Nats per test code of the prior of each level."""
        priors = load_generator(folder).priors
        return [
            measure_codes(
                prior, self.test(level, classes=classes), withheld=withheld
            ).nats_per_token
            for level, prior in enumerate(priors)
        ]

    def test(self, level: int, *, classes: bool) -> ConditionedCodes:
        """The codes of the test pictures."""
        return ConditionedCodes(self.arrays[1], level, ("class",) if classes else ())

    def counted(self) -> list[dict[str, float]]:
        """Nats per test code of uniform codes, frequencies and neighbours, of each level."""
        rows = []
        for level in range(len(self.tokenizer.levels)):
            fitted = ConditionedCodes(self.arrays[0], level)
            found = count_nats(fitted, self.test(level, classes=False))
            rows.append({
                "uniform": found.uniform, "order0": found.order0, "left": found.left,
                "left_and_above": found.left_and_above or found.left,
            })  # fmt: skip
        return rows

    def seen(self, generator: Generator, *, text: bool = False) -> dict[str, float]:
        """The share of pictures seen as what was asked for, at each guidance."""
        asked = torch.arange(10).repeat(self.options.each)
        shares = {}
        for guidance in GUIDANCES:
            wanted: dict[str, Any] = {"attributes": {"class": asked.tolist()}}
            if text:
                wanted = {"text": [captions(digit)[0] for digit in asked.tolist()]}
            drawing = Drawing(guidance=guidance)
            drawn = generator.sample(len(asked), **wanted, drawing=drawing, seed=0)
            shares[f"guidance {guidance:g}"] = accuracy(self.judge, drawn.images, asked)
        return shares

    def reconstructions_seen(self, data: str) -> float:
        """The share of pictures that are still seen as what they are when encoded and decoded."""
        images, labels = load_pictures(data)
        parts = [self.tokenizer.reconstruct(part) for part in images.split(500)]
        return accuracy(self.judge, torch.cat(parts), labels)

    def never(self, model: str, overrides: list[str]) -> float | None:
        """Nats per test code of a prior that was trained without classes."""
        if model not in self.options.never:
            return None
        path = self.train(model, f"{model}-no-class", overrides, classes=False)
        return self.nats(path, classes=False)[0]

    def models(self) -> dict[str, Any]:
        """Nats and recognised samples of each of the three models."""
        counted = self.counted()[0]
        rows: dict[str, Any] = {"counted": counted}
        neighbours = min(counted["left"], counted["left_and_above"])
        for model, overrides in MODELS[self.name].items():
            given = self.train(model, model, overrides)
            generator = load_generator(given)
            nats = self.nats(given, classes=True)[0]
            rows[model] = {
                "overrides": overrides,
                "parameters": sum(p.numel() for p in generator.priors[0].parameters()),
                "nats_per_code": nats,
                "below_order0": 1 - nats / counted["order0"],
                "below_neighbours": 1 - nats / neighbours,
                "nats_class_withheld": self.nats(given, classes=True, withheld=True)[0],
                "nats_never_a_class": self.never(model, overrides),
                "seen_as_asked": self.seen(generator),
            }
            print(model, rows[model], flush=True)
        return rows


def by_text(experiment: Experiment) -> dict[str, Any]:
    """The same samples asked for by captions instead of classes."""
    labels = experiment.arrays[0].attributes["class"].tolist()
    file = experiment.folder / "captions.parquet"
    pq.write_table(pa.table({"caption": [captions(digit) for digit in labels]}), file)
    rows = {}
    for model, overrides in MODELS[experiment.name].items():
        path = experiment.train(
            model, f"{model}-text", overrides, captions=str(file), classes=False
        )
        rows[model] = {"seen_as_asked": experiment.seen(load_generator(path), text=True)}
        print(model, "by text", rows[model], flush=True)
    return rows


def digits(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The whole experiment on the bundled digits."""
    judge, judged = digit_classifier(options.judge)
    config = load_config("digits", options.tokenizer_override)
    train(config, DIGITS, folder / "digits", resume=True, progress=False)
    experiment = Experiment(
        folder, "digits", folder / "digits", (DIGITS, f"{DIGITS}/test"), judge, options
    )
    figures: dict[str, Any] = {
        "classifier_accuracy": judged,
        "tokenizer": ["digits", *options.tokenizer_override],
        "reconstructions_seen": experiment.reconstructions_seen(f"{DIGITS}/test"),
        "by_class": experiment.models(),
        "by_text": by_text(experiment),
    }
    shown = list(range(10)) * 4
    drawn = [
        load_generator(folder / model).sample(
            40, attributes={"class": shown}, drawing=Drawing(guidance=2.0), seed=1
        ).images
        for model in MODELS["digits"]
    ]  # fmt: skip
    figures["sheet"] = save_sheet("digits-by-class", torch.cat(drawn), 20, scale=3)
    return figures


def cifar10(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Priors over the codes of a flat and of a two-level tokenizer of CIFAR-10."""
    judge, judged = cifar_classifier(options.data, options.judge)
    data = tuple(str(options.data / f"{part}.parquet") for part in ("train", "test"))
    figures: dict[str, Any] = {"classifier_accuracy": judged}
    if options.flat is not None:
        flat = Experiment(folder, "cifar10", options.flat, data, judge, options)
        figures["reconstructions_seen"] = flat.reconstructions_seen(data[1])
        figures["flat"] = flat.models()
    if options.levels is not None:
        two = Experiment(folder, "cifar10", options.levels, data, judge, options)
        path = two.train("pixelsnail", "two-levels", MODELS["cifar10"]["pixelsnail"])
        generator = load_generator(path)
        figures["two_levels"] = {
            "model": "pixelsnail",
            "counted": two.counted(),
            "nats_per_code": two.nats(path, classes=True),
            "seen_as_asked": two.seen(generator),
        }
        shown = {"class": list(range(10)) * 8}
        drawn = generator.sample(80, attributes=shown, drawing=Drawing(guidance=2.0), seed=1).images
        figures["classes_by_column"] = list(CIFAR_CLASSES)
        figures["sheet"] = save_sheet("cifar10-two-levels", drawn, 10, scale=2)
    return figures


def main() -> None:
    """Run one of the experiments and write its result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("which", choices=("digits", "cifar10"))
    parser.add_argument("data", nargs="?", type=Path, help="for cifar10: the folder")
    parser.add_argument("--steps", type=int, default=1500, help="of every prior")
    parser.add_argument("--each", type=int, default=50, help="pictures drawn of each class")
    parser.add_argument(
        "--never",
        nargs="*",
        default=list(MODELS["digits"]),
        metavar="MODEL",
        help="models trained a second time, without classes; default: all",
    )
    parser.add_argument("--judge", type=Path, help="weights of the classifier; default: train it")
    parser.add_argument("--tokenizer-override", action="append", default=[])
    parser.add_argument("--flat", type=Path, help="run of a flat tokenizer of CIFAR-10")
    parser.add_argument("--levels", type=Path, help="run of a two-level tokenizer of CIFAR-10")
    parser.add_argument("--keep", type=Path, help="keep the runs in this folder; goes on there")
    options = parser.parse_args()
    if options.which == "cifar10" and options.data is None:
        parser.error("cifar10 needs DATA")
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        found = (digits if options.which == "digits" else cifar10)(folder, options)
    found |= {"steps": options.steps, "drawn_of_each_class": options.each}
    found["seconds"] = time.perf_counter() - started
    words = ["generation.py", options.which]
    words += ["DATA", "--flat RUN", "--levels RUN"] if options.which == "cifar10" else []
    words += [f"--tokenizer-override {o}" for o in options.tokenizer_override]
    words += ["--steps", str(options.steps), "--each", str(options.each)]
    words += [] if len(options.never) == len(MODELS["digits"]) else ["--never", *options.never]
    write_figures(f"generation-{options.which}", words, rounded(found))


if __name__ == "__main__":
    main()
