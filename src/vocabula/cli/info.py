"""``vocabula info``: what a run, a saved tokenizer or a prior is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vocabula.cli.runs import Run

if TYPE_CHECKING:
    from vocabula.priors import Prior
    from vocabula.tokenizers import CodeLevel, ImageTokenizer

EXAMPLES = """[bold]Examples[/bold]

  vocabula info runs/first

  vocabula info priors/first
"""


def info(run: Run) -> None:
    """Print what a run, a tokenizer or a prior is: model, codes, data, command and progress."""
    from rich.table import Table
    from rich.text import Text

    from vocabula.cli.console import stdout_console
    from vocabula.cli.runs import is_unfinished, open_run
    from vocabula.evaluation.run_files import is_prior, read_log, read_manifest
    from vocabula.files import printable

    folder = Path(run).expanduser()
    if is_prior(folder):
        rows = prior_rows(folder)
    elif is_unfinished(folder):
        rows = [("tokenizer", "not saved yet: the run has not ended")]
    else:
        rows = model_rows(open_run(run, "cpu"))
    rows += run_rows(read_manifest(folder), read_log(folder / "log.jsonl"))
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, Text(printable(value)))
    stdout_console().print(table)


def model_rows(tokenizer: ImageTokenizer) -> list[tuple[str, str]]:
    """Name and value of what there is to say about the model."""
    from vocabula.nn import Decoder, Encoder

    channels, levels = tokenizer.channels, tokenizer.levels
    rows = [_of(level, "quantizer", _name(level.quantizer)) for level in levels]
    rows += [
        ("encoder, decoder", f"{_names(tokenizer, Encoder)}, {_names(tokenizer, Decoder)}"),
        ("likelihood", _name(tokenizer.likelihood)),
        ("images", f"{channels} channel{'s' if channels > 1 else ''}, of any size"),
    ]
    for level in levels:
        rows.append(
            _of(level, "stride", f"{level.stride} x {level.stride} pixels per code position")
        )
    for level in levels:
        codes = " x ".join(str(size) for size in level.codebook_sizes)
        rows.append(_of(level, "codewords", codes or "none, the latent is continuous"))
    for level in levels:
        if level.codebook_sizes:
            per_pixel = f"{level.bits / level.stride**2:g} per pixel"
            rows.append(_of(level, "rate", f"{level.bits:g} bits per position, {per_pixel}"))
    if len(levels) > 1:
        rows.append(("rate", f"{tokenizer.bits_per_pixel:g} bits per pixel"))
    weights = sum(p.numel() for p in tokenizer.parameters())
    rows += [("parameters", f"{weights:,}"), ("fingerprint", tokenizer.fingerprint())]
    return rows


def prior_rows(folder: Path) -> list[tuple[str, str]]:
    """Name and value of what there is to say about the priors of a folder and their tokenizer."""
    from vocabula.codec.portable import PortableModel
    from vocabula.codec.prior import prior_hash
    from vocabula.priors import PortablePrior, load_generator

    generator = load_generator(folder)
    several = len(generator.priors) > 1
    rows = []
    for number, prior in enumerate(generator.priors):
        before = f"level {number + 1} " if several else ""
        rows += [(f"{before}{name}", value) for name, value in _prior_rows(prior)]
    height, width = generator.image_size
    rows.append(("draws", f"images of {height} x {width} pixels"))
    name = prior_hash(generator.priors, generator.tokenizer.fingerprint())
    rows.append(("entropy model", f"prior {name.hex()}"))
    portable = [prior for prior in generator.priors if isinstance(prior, PortablePrior)]
    if len(portable) == len(generator.priors):
        rows.append(("entropy model", f"portable {PortableModel(portable).hash.hex()}"))
    return rows + [(f"tokenizer: {name}", value) for name, value in model_rows(generator.tokenizer)]


def _prior_rows(prior: Prior) -> list[tuple[str, str]]:
    known, grid = prior.conditioning, " x ".join(map(str, prior.codes.grid))
    conditions = [f"{known.classes} classes"] if known.classes else []
    conditions += [f"text of {known.text_length} tokens"] if known.text_tokens else []
    conditions += [f"{len(known.upper)} coarser levels"] if known.upper else []
    books = ", ".join(map(str, prior.codes.codebook_sizes))
    return [
        ("prior", type(prior).__name__),
        ("grid", f"{grid} positions, codebooks of {books}"),
        ("conditions", ", ".join(conditions) or "none"),
        ("parameters", f"{sum(p.numel() for p in prior.parameters()):,}"),
        ("fingerprint", prior.fingerprint()),
    ]


def run_rows(manifest: dict[str, Any], log: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Name and value of what there is to say about the run."""
    rows = []
    if "data" in manifest:
        unit = "signals" if "signals" in manifest else "images"
        rows.append(("trained on", f"{manifest['data']} ({manifest.get(unit, '?')} {unit})"))
    for key in ("preset", "command", "version"):
        if key in manifest:
            rows.append((key, str(manifest[key])))
    if log:
        last = log[-1]
        config = manifest.get("config", {})
        steps = config.get("training", {}).get("steps", "?") if isinstance(config, dict) else "?"
        rows.append(("step", f"{last['step']} of {steps}"))
        for key in ("loss", "held_out_nats", "psnr", "perplexity", "usage"):
            if isinstance(last.get(key), (int, float)):
                rows.append((f"last {key}", f"{last[key]:.4g}"))
    return rows


def _of(level: CodeLevel, name: str, value: str) -> tuple[str, str]:
    """A row about one level, named after it where there are several."""
    return (f"{level.title} {name}".strip(), value)


def _names(tokenizer: ImageTokenizer, kind: type) -> str:
    """The distinct networks of a kind."""
    found = [module for modules in tokenizer.parts().values() for module in modules]
    return " and ".join(dict.fromkeys(_name(m) for m in found if isinstance(m, kind)))


def _name(part: Any) -> str:
    return type(part).__name__
