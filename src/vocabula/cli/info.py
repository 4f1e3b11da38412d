"""``vocabula info``: what a run or a saved tokenizer is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vocabula.cli.runs import Run

if TYPE_CHECKING:
    from vocabula.tokenizers import Tokenizer

EXAMPLES = """[bold]Examples[/bold]

  vocabula info runs/first
"""


def info(run: Run) -> None:
    """Print what a run or a saved tokenizer is: model, codes, data, command and progress."""
    from pathlib import Path

    from rich.table import Table
    from rich.text import Text

    from vocabula.cli.console import stdout_console
    from vocabula.cli.runs import is_unfinished, open_run
    from vocabula.evaluation.run_files import read_log, read_manifest

    folder = Path(run).expanduser()
    if is_unfinished(folder):
        rows = [("tokenizer", "not saved yet: the run has not ended")]
    else:
        rows = model_rows(open_run(run, "cpu"))
    rows += run_rows(read_manifest(folder), read_log(folder / "log.jsonl"))
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, Text(value))
    stdout_console().print(table)


def model_rows(tokenizer: Tokenizer) -> list[tuple[str, str]]:
    """Name and value of what there is to say about the model."""
    sizes: tuple[int, ...] = getattr(tokenizer.quantizer, "codebook_sizes", ())
    stride, channels = tokenizer.stride, tokenizer.channels
    codes = " x ".join(str(size) for size in sizes) if sizes else "none, the latent is continuous"
    rows = [
        ("quantizer", type(tokenizer.quantizer).__name__),
        ("encoder, decoder", f"{_name(tokenizer.encoder)}, {_name(tokenizer.decoder)}"),
        ("likelihood", _name(tokenizer.likelihood)),
        ("images", f"{channels} channel{'s' if channels > 1 else ''}, of any size"),
        ("stride", f"{stride} x {stride} pixels per code position"),
        ("codewords", codes),
    ]
    if sizes:
        bits = tokenizer.bits_per_code
        rows.append(("rate", f"{bits:g} bits per position, {bits / stride**2:g} per pixel"))
    weights = sum(p.numel() for p in tokenizer.parameters())
    rows += [("parameters", f"{weights:,}"), ("fingerprint", tokenizer.fingerprint())]
    return rows


def run_rows(manifest: dict[str, Any], log: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Name and value of what there is to say about the run."""
    rows = []
    if "data" in manifest:
        rows.append(("trained on", f"{manifest['data']} ({manifest.get('images', '?')} images)"))
    for key in ("preset", "command", "version"):
        if key in manifest:
            rows.append((key, str(manifest[key])))
    if log:
        last = log[-1]
        config = manifest.get("config", {})
        steps = config.get("training", {}).get("steps", "?") if isinstance(config, dict) else "?"
        rows.append(("step", f"{last['step']} of {steps}"))
        for key in ("loss", "psnr", "perplexity", "usage"):
            if isinstance(last.get(key), (int, float)):
                rows.append((f"last {key}", f"{last[key]:.4g}"))
    return rows


def _name(part: Any) -> str:
    return type(part).__name__
