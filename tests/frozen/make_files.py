"""Writes frozen pictures, tokens, runs and compressed files."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image, ImageCms

from frozen.cases import FILES, environment, grid, log_of, model, pixels, read_json, vector, vqvae
from frozen.store import new, put_arrays, put_json, workplace
from vocabula import codec, load, load_generator, open_source, pipelines
from vocabula.data import TokenRecord, write_tokens
from vocabula.pipelines import encode_dataset
from vocabula.signals import CodeSpec
from vocabula.training import RunConfig, config_from_sections, load_config, train, train_prior


def put_pictures() -> None:
    """Six pictures, and the images that tokenizers see."""
    folder = FILES / "pictures"
    if new(folder):
        folder.mkdir()
        for number, image in enumerate(pixels(6, 12, 10)):
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / f"{number}.png")
    if new(FILES / "images.npz"):
        put_arrays(FILES / "images.npz", {str(c): pixels(3, 12, 10, c).numpy() for c in (1, 3)})


def put_tokens(name: str, layouts: list[CodeSpec], sizes: list[tuple[int, int]]) -> None:
    """A file of tokens of both kinds of labels, and its content as JSON."""
    path = FILES / "tokens" / f"{name}.parquet"
    if not new(path):
        return
    records = [
        TokenRecord(
            [
                grid((*s, *x.code_shape), min(x.codebook_sizes), i)
                for x, s in zip(layouts, sizes, strict=True)
            ],
            f"a folder/{i}é.png",
            None if i == 3 else i % 3,
            12,
            10 - i % 2,
        )
        for i in range(4)
    ]
    options: dict[str, Any] = {"label_names": ["no", "yes", "perhaps"], "source": "made"}
    if name == "books":
        options = {"crops": 2}
    fingerprint = f"{len(layouts):x}" * 64
    write_tokens(path, records, fingerprint=fingerprint, levels=layouts, **options)
    content = {
        "version": 1 if len(layouts) == 1 else 2,
        "fingerprint": fingerprint,
        "levels": [[list(x.codebook_sizes), list(x.code_shape)] for x in layouts],
        "source": options.get("source", ""),
        "label_names": options.get("label_names"),
        "crops": options.get("crops", 1),
        "records": [
            [[y.tolist() for y in x.levels], x.path, x.label, x.height, x.width] for x in records
        ],
    }
    put_json(path.with_suffix(".json"), content)


def put_encoded() -> None:
    """The tokens that a frozen tokenizer made of the pictures, as `encode` writes them."""
    path = FILES / "tokens" / "encoded.parquet"
    if new(path):
        source = open_source(str(FILES / "pictures"))
        encode_dataset(load(FILES / "tokenizers" / "vector-ema"), source, path)


def run_config() -> RunConfig:
    """The configuration of the frozen run of a tokenizer."""
    training = {"steps": 12, "batch_size": 4, "checkpoint_every": 4, "log_every": 2, "threads": 1}
    kept = {"keep_checkpoints": 3, "average_decay": 0.9, "memory_check": False}
    return config_from_sections(
        {
            **model(vector(), vqvae(downsample=2)),
            "data": {"channels": 3, "crop": 8, "flip": True},
            "optimizer": {"name": "adamw", "learning_rate": 1e-2, "epsilon": 1e-3},
            "schedule": {"name": "cosine", "warmup": 2},
            "training": {**training, **kept},
        }
    )


def prior_config() -> RunConfig:
    """The configuration of the frozen run of a prior."""
    small = ["prior.hidden=4", "prior.layers=2", "prior.kernel=3"]
    short = ["steps=12", "batch_size=4", "log_every=2", "checkpoint_every=4", "threads=1"]
    more = ["schedule.warmup=2", "held_out.every=4", "optimizer.epsilon=1e-3"]
    training = [f"training.{text}" for text in [*short, "keep_checkpoints=3", "memory_check=false"]]
    return load_config("pixelcnn", [*small, *training, *more])


def put_run(name: str, begin: Callable[[], Any]) -> None:
    """A run as it was when it was killed after step 10, and how it ended."""
    target = FILES / name
    if not new(target):
        return
    with workplace() as place:
        begin()
        run = place / name
        newest = "checkpoints/step-00000008"
        shutil.copytree(run / newest, target / newest)
        shutil.copy(run / "run.json", target)
        if (run / "tokenizer").exists():
            shutil.copytree(run / "tokenizer", target / "tokenizer")
        lines = (run / "log.jsonl").read_text().splitlines(keepends=True)
        kept = [line for line in lines if json.loads(line)["step"] <= 10]
        (target / "log.jsonl").write_text("".join(kept))
        shutil.copy(run / "model.safetensors", FILES / f"{name}.safetensors")
        ended: dict[str, Any] = {"environment": environment(), "log": log_of(run)}
        if (run / "metrics.json").exists():
            ended["metrics"] = read_json(run / "metrics.json")
        put_json(FILES / f"{name}.json", ended)


def put_runs() -> None:
    """A run of a tokenizer, and one of a prior."""
    put_run("run", lambda: train(run_config(), "pictures", "run", progress=False))
    tokenizer, tokens = "tokenizers/vector-ema", "tokens/encoded.parquet"
    put_run(
        "prior-run",
        lambda: train_prior(prior_config(), tokenizer, tokens, "prior-run", progress=False),
    )


def put_compressed() -> None:
    """Compressed files of kinds that tests/codec/golden lacks.

    One has counts of a tokenizer's own codes, names and colour profiles; one is coded by a prior,
    and opens on the same build only.
    """
    folder = FILES / "vcb"
    if new(folder / "static.vcb"):
        with tempfile.TemporaryDirectory() as place:
            files = [Path(place, f"{n}.png") for n in ("plain", "coloured", "same")]
            for i, (file, image) in enumerate(zip(files, pixels(3, 12, 10), strict=True)):
                profile = other_profile() if i else None
                picture = Image.fromarray(image.permute(1, 2, 0).numpy())
                picture.save(file, icc_profile=profile)
            tokenizer = load(FILES / "tokenizers" / "vector-ema")
            pipelines.compress_files(tokenizer, files, folder / "static.vcb", entropy="static")
        (folder / "static.icc").write_bytes(other_profile())
    if new(folder / "prior.vcb"):
        generator = load_generator(FILES / "generator")
        entropy = codec.PriorModel(generator.priors)
        target = folder / "prior.vcb"
        codec.write(target, pixels(2, 12, 10), generator.tokenizer, entropy=entropy)
        put_json(folder / "prior.json", environment())


def other_profile() -> bytes:
    """A colour profile that is not sRGB's: red and green of the matrix are exchanged."""
    content = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    entries = range(132, 132 + 12 * content[131], 12)
    at = {bytes(content[i : i + 4]): bytes(content[i + 4 : i + 8]) for i in entries}
    red, green = (int.from_bytes(at[name], "big") for name in (b"rXYZ", b"gXYZ"))
    swapped = content[green : green + 20] + content[red : red + 20]
    content[red : red + 20], content[green : green + 20] = swapped[:20], swapped[20:]
    content[24:36] = bytes(12)  # the date
    return bytes(content)
