"""``vocabula info``: what a run, a saved tokenizer or a prior is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vocabula.cli.runs import Run
from vocabula.errors import picture_size, plural

if TYPE_CHECKING:
    from vocabula.priors import Prior
    from vocabula.tokenizers.summary import LevelSummary, Summary

EXAMPLES = """[bold]Examples[/bold]

  vocabula info runs/first

  vocabula info priors/first
"""


def info(run: Run) -> None:
    """Print what a run, a tokenizer or a prior is: model, codes, data, command and progress."""
    from vocabula.cli.facts import print_facts
    from vocabula.files.packaged import packaged_as, run_folder
    from vocabula.files.run_files import is_prior, is_unfinished, read_log, read_manifest

    folder, own = run_folder(run), packaged_as(run)
    if is_prior(folder):
        rows = prior_rows(folder)
    elif is_unfinished(folder):
        rows = [("tokenizer", "not saved yet: the run has not ended")]
    else:
        rows = model_rows(_summary(run))
    if own is not None:
        rows.append(("in the package", f"{own.name}, with its prior: {own.prior}"))
    rows += run_rows(read_manifest(folder), read_log(folder / "log.jsonl"))
    print_facts(rows)


def _summary(run: str) -> Summary:
    """The summary that a saved tokenizer stores; the tokenizer is loaded if it has none."""
    from vocabula.cli.runs import open_run
    from vocabula.files.packaged import run_folder
    from vocabula.tokenizers.saved_folder import read_tokenizer_config
    from vocabula.tokenizers.saved_summary import saved_summary
    from vocabula.tokenizers.summary import summarize

    folder = run_folder(run)
    saved = saved_summary(folder, read_tokenizer_config(folder))
    return summarize(open_run(run, "cpu")) if saved is None else saved


def model_rows(model: Summary) -> list[tuple[str, str]]:
    """Names and values that describe a tokenizer."""
    networks = f"{' and '.join(model.encoders)}, {' and '.join(model.decoders)}"
    rows = [_of(level, "quantizer", level.quantizer) for level in model.levels]
    size = ", of any size" if model.axes else ""
    rows += [
        ("encoder, decoder", networks),
        ("likelihood", model.likelihood),
        (model.plural or f"{model.signal}s", f"{plural(model.channels, 'channel')}{size}"),
    ]
    for level in model.levels if model.axes else ():
        sides = " x ".join([str(level.stride)] * model.axes)
        rows.append(
            _of(level, "stride", f"{sides} {model.element or model.unit}s per code position")
        )
    if model.per_unit != 1:
        rows.append(("sampled", f"{model.per_unit:g} {model.element}s per {model.unit}"))
        for level in model.levels:
            frames = model.frames(level)
            each = f"{frames:g} per {model.unit}, {frames * len(level.codebook_sizes):g} codes"
            rows.append(_of(level, "positions", each))
    for level in model.levels:
        codes = " x ".join(str(size) for size in level.codebook_sizes)
        rows.append(_of(level, "codewords", codes or "none, the latent is continuous"))
    for level in model.levels:
        if level.codebook_sizes:
            each = f"{level.bits:g} bits per position, {model.rate(level):g} per {model.unit}"
            rows.append(_of(level, "rate", each))
    if len(model.levels) > 1:
        total = sum(model.rate(level) for level in model.levels)
        rows.append(("rate", f"{total:g} bits per {model.unit}"))
    return [
        *rows,
        ("parameters", f"{model.parameters:,}"),
        ("fingerprint", model.fingerprint),
        ("codes", model.codes),
        *([("a look of", model.look_of)] if model.look_of else []),
    ]


def prior_rows(folder: Path) -> list[tuple[str, str]]:
    """Names and values that describe the priors of a folder and their tokenizer."""
    from vocabula.codec.portable import PortableModel
    from vocabula.codec.prior import prior_hash
    from vocabula.priors import PortablePrior, load_generator
    from vocabula.tokenizers.summary import summarize

    generator = load_generator(folder)
    several = len(generator.priors) > 1
    rows = []
    for number, prior in enumerate(generator.priors):
        before = f"level {number + 1} " if several else ""
        rows += [(f"{before}{name}", value) for name, value in _prior_rows(prior)]
    signal, extent = generator.tokenizer.signal, generator.extent
    sizes = f"{picture_size(*extent)} {signal.unit}s" if extent else f"width {signal.channels}"
    rows.append(("draws", f"{signal.plural} of {sizes}"))
    name = prior_hash(generator.priors, generator.tokenizer.code_names().written)
    rows.append(("entropy model", f"prior {name.hex()}"))
    portable = [prior for prior in generator.priors if isinstance(prior, PortablePrior)]
    if len(portable) == len(generator.priors):
        rows.append(("entropy model", f"portable {PortableModel(portable).hash.hex()}"))
    tokenizer = model_rows(summarize(generator.tokenizer))
    return rows + [(f"tokenizer: {name}", value) for name, value in tokenizer]


def _prior_rows(prior: Prior) -> list[tuple[str, str]]:
    from vocabula.signals.attributes import attribute_words

    known, grid = prior.conditioning, plural(picture_size(*prior.codes.grid), "position")
    conditions = attribute_words(known.values)
    conditions += [f"text of {plural(known.text_length, 'token')}"] if known.text_tokens else []
    conditions += [f"vector of {plural(known.vectors, 'number')}"] if known.vectors else []
    conditions += [plural(len(known.upper), "coarser level")] if known.upper else []
    books = ", ".join(map(str, prior.codes.codebook_sizes))
    return [
        ("prior", type(prior).__name__),
        ("grid", f"{grid}, codebooks of {books}"),
        ("conditions", ", ".join(conditions) or "none"),
        ("parameters", f"{sum(p.numel() for p in prior.parameters()):,}"),
        ("fingerprint", prior.fingerprint()),
    ]


def run_rows(manifest: dict[str, Any], log: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Names and values that describe the run."""
    rows = []
    if "data" in manifest:
        unit = manifest.get("unit", "signals" if "signals" in manifest else "images")
        count = plural(manifest.get(unit, "?"), unit[:-1])
        rows.append(("trained on", f"{manifest['data']} ({count})"))
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


def _of(level: LevelSummary, name: str, value: str) -> tuple[str, str]:
    """A row about one level, whose name includes the level if there are several."""
    return (f"{level.title} {name}".strip(), value)
