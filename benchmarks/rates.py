"""Rate and distortion of tokenizers' files beside JPEG and WebP, and bytes by entropy model.

    python benchmarks/rates.py DATA --runs RUN [RUN ...] --name rates-kodak
    python benchmarks/rates.py DATA --runs RUN --name rates-cifar10 --limit 1000 --together 10000

DATA are pictures that the runs were not trained on. Every run has counts of training codes, see
`vocabula counts`. Of the first --limit pictures each goes to a file of its own at every rate,
beside JPEG and WebP, as `vocabula rate` does. With all stages, files of each entropy model are
compared, each picture's and that of the first --together pictures in one, which is read back and
measured; beside it stand the smallest JPEG and WebP files of as many pictures.
"""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch
from pictures import FIGURES, rounded, write_figures
from rates_page import rendered

from vocabula import codec, load, open_source
from vocabula.benchmark.rate import RateStudy, measure_rates, rate_figure, verdict
from vocabula.benchmark.rate.picture_codecs import picture_codecs
from vocabula.codec.batching import encode_batch
from vocabula.codec.stages import tokenizer_header
from vocabula.codec.writer import CodedSignal, write_signals
from vocabula.data import ImageSource
from vocabula.tokenizers import SignalTokenizer

ENTROPIES = ("uniform", "static", "adaptive")


def psnr(error: float) -> float:
    """dB of a mean squared error of 8-bit values."""
    return float(10 * np.log10(255**2 / error))


def error_of(output: np.ndarray, image: np.ndarray) -> float:
    """Mean squared error of 8-bit values."""
    return float(np.square(output.astype(np.float64) - image).mean())


def whole_file(
    tokenizer: SignalTokenizer, model: codec.EntropyModel, signals: list[CodedSignal]
) -> bytes:
    """One file of signals."""
    file = io.BytesIO()
    write_signals(file, tokenizer_header(tokenizer, model, stages=None), [model], signals)
    return file.getvalue()


def by_entropy(
    tokenizer: SignalTokenizer,
    statistics: codec.CodeStatistics,
    images: list[np.ndarray],
    names: list[str],
    each: int,
) -> dict[str, Any]:
    """Bytes by entropy model of each picture's file, and of one file of all, which is read back."""
    models = {name: codec.choose_model(name, statistics) for name in ENTROPIES}
    signals = []
    for image in images:
        signals += encode_batch(tokenizer, torch.from_numpy(image).permute(2, 0, 1)[None])
    files = []
    for name, signal in list(zip(names, signals, strict=True))[:each]:
        sizes = {e: len(whole_file(tokenizer, model, [signal])) for e, model in models.items()}
        files.append({"picture": name, "codes": sum(s.size for s in signal.streams), **sizes})
    together = {e: whole_file(tokenizer, model, signals) for e, model in models.items()}
    outputs = codec.read(together["adaptive"], tokenizer, statistics=statistics)
    psnrs = [
        psnr(error_of(output.permute(1, 2, 0).numpy(), image))
        for output, image in zip(outputs, images, strict=True)
    ]
    return {
        "files": files,
        "one_file": {
            "pictures": len(images),
            "codes": sum(s.size for signal in signals for s in signal.streams),
            "psnr_db": float(np.mean(psnrs)),
            **{e: len(content) for e, content in together.items()},
        },
    }


def smallest(images: list[np.ndarray]) -> dict[str, dict[str, float]]:
    """The sum of the smallest files of each rival, and their mean PSNR."""
    found = {}
    for rival in picture_codecs():
        quality, size, psnrs = rival.qualities[0], 0, []
        for image in images:
            content = rival.encode(image, quality)
            size += len(content)
            psnrs.append(psnr(error_of(rival.decode(content, image.shape[2]), image)))
        found[rival.name] = {"quality": quality, "bytes": size, "psnr_db": float(np.mean(psnrs))}
    return found


def of_run(
    folder: Path,
    source: ImageSource,
    images: list[np.ndarray],
    names: list[str],
    limit: int,
    jobs: int,
) -> tuple[RateStudy, dict[str, Any]]:
    """Everything that is measured of one run."""
    tokenizer = load(folder).eval()
    statistics = tokenizer.code_statistics
    if statistics is None:
        raise SystemExit(f"{folder}: no counts of codes; run vocabula counts RUN TRAINING-DATA")
    study = measure_rates(tokenizer, source, statistics=statistics, limit=limit, jobs=jobs)
    print(verdict(study), flush=True)
    figures = {
        "run": folder.name,
        "steps": json.loads((folder / "run.json").read_text())["config"]["training"]["steps"],
        "verdict": verdict(study),
        **study.to_dict(),
        "data": Path(study.data).name,
        "entropy_models": by_entropy(tokenizer, statistics, images, names, limit),
    }
    return study, figures


def main() -> None:
    """Measure every run, draw the curves and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="pictures that the runs were not trained on")
    parser.add_argument("--runs", type=Path, nargs="+", required=True, help="runs with counts")
    parser.add_argument("--name", required=True, help="of the result and of its figure")
    parser.add_argument("--title", default="", help="of the figure")
    parser.add_argument("--limit", type=int, help="pictures of files of their own")
    parser.add_argument("--together", type=int, help="pictures in one file")
    parser.add_argument("--jobs", type=int, default=2, help="threads that measure JPEG and WebP")
    options = parser.parse_args()
    source = open_source(options.data)
    limit = min(len(source), options.limit or len(source))
    samples = [source.read(i) for i in range(max(limit, options.together or limit))]
    images = [np.array(sample.image) for sample in samples]
    names = [sample.path for sample in samples]
    found = [of_run(run, source, images, names, limit, options.jobs) for run in options.runs]
    curves = [(run.name, study) for run, (study, _) in zip(options.runs, found, strict=True)]
    FIGURES.mkdir(exist_ok=True)
    (FIGURES / f"{options.name}.png").write_bytes(rate_figure(curves, options.title))
    words = ["rates.py", "DATA", "--runs", *(run.name for run in options.runs)]
    words += ["--name", options.name]
    for name in ("limit", "together"):
        if getattr(options, name) is not None:
            words += [f"--{name}", str(getattr(options, name))]
    figures = {
        "pillow": PIL.__version__,
        "runs": [rounded(one, 6) for _, one in found],
        "smallest_rival_files": rounded(smallest(images)),
    }
    write_figures(options.name, words, figures)
    print(rendered())


if __name__ == "__main__":
    main()
