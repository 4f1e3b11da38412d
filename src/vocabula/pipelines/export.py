"""A run as a folder to share: everything that opens its files, and a card with figures."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vocabula.data import Source
from vocabula.errors import OptionError
from vocabula.evaluation.measurement import evaluate
from vocabula.evaluation.result import Evaluation
from vocabula.files import check_new_folder, new_folder, output_errors, write_bytes
from vocabula.files.run_files import is_prior
from vocabula.priors import level_folder, load_generator
from vocabula.priors.generator_saving import TOKENIZER
from vocabula.priors.text import FILE as TEXT
from vocabula.tokenizers import SignalTokenizer, load, save
from vocabula.tokenizers.card_update import held_out_figures, with_held_out
from vocabula.tokenizers.code_statistics import FILE as STATISTICS
from vocabula.tokenizers.half import round_to_half
from vocabula.tokenizers.saved_folder import CARD, CONFIG, WEIGHTS
from vocabula.tokenizers.weights import write_weights

FIGURES = ("psnr", "ssim", "mse", "explained_variance", "bits_per_dim", "usage", "perplexity")
"""Figures of an `Evaluation` that the card holds."""
_SAVED = (WEIGHTS, STATISTICS, TEXT, CARD, CONFIG)


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export wrote.

    Attributes:
        folder: where.
        files: the files, relative to the folder.
        bytes: their total size.
        figures: the figures on held-out data, if any were measured.
    """

    folder: Path
    files: tuple[str, ...]
    bytes: int
    figures: Evaluation | None = None


def export_tokenizer(
    run: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    tokenizer: SignalTokenizer | None = None,
    held_out: Source | None = None,
    batch_size: int | None = None,
    limit: int | None = None,
    half: bool = False,
    overwrite: bool = False,
    progress: bool = False,
) -> Exported:
    """Write the tokenizer of a run into a folder that is complete everywhere.

    The folder holds settings, weights, counts of the training codes if the run has them, and a
    card. Checkpoints and logs stay behind. Weights and codes are those of the run, unless weights
    are rounded.

    Args:
        run: a run's folder or a saved tokenizer.
        out: the folder to write.
        tokenizer: the run's tokenizer, if it is already loaded.
        held_out: signals that it did not learn from, measured for the card; None leaves the card's
            figures as they are.
        batch_size: most signals of a batch while measuring; None takes the source's own.
        limit: measure the first `limit` images only.
        half: round weights to 16 bits, which halves the folder. The copy is another tokenizer,
            with an own fingerprint and without the run's counts: codes, priors and compressed
            files of the run are not its.
        overwrite: write into a folder that holds something; files of other names stay.
        progress: show a progress bar on a terminal.

    Raises:
        CheckpointError: the run has no tokenizer, or a damaged one.
        DataError: no image can be read, or the channels differ from the tokenizer's.
        OutputError: the folder is the run's own, holds something, or cannot be written.
    """
    source, target = Path(run), _target(Path(run), Path(out), overwrite)
    tokenizer = load(source) if tokenizer is None else tokenizer
    original = tokenizer
    if half:
        tokenizer = _halved(tokenizer)
    figures = None
    if held_out is not None:
        figures = evaluate(
            tokenizer, held_out, batch_size=batch_size, limit=limit, progress=progress
        )
    with output_errors(target), new_folder(target, overwrite=overwrite, last=CONFIG) as draft:
        save(tokenizer, draft, half=half)
        card = source / CARD if (source / CARD).is_file() else draft / CARD
        text = card.read_text(encoding="utf-8", errors="replace")
        if half:
            text = text.replace(original.fingerprint(), tokenizer.fingerprint())
        if figures is not None:
            text = with_held_out(text, _section(figures))
        write_bytes(draft / CARD, text.encode())
        return _exported(target, draft, figures)


def export_prior(
    run: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    half: bool = False,
    overwrite: bool = False,
) -> Exported:
    """Write a prior with its tokenizer into a folder that is complete everywhere.

    Args:
        run: a folder that ``vocabula train-prior --out`` wrote.
        out: the folder to write.
        half: round the prior's weights to 16 bits, which halves them. Its tokenizer stays the
            same; it is stored in 16 bits if it was exported so before the prior was trained.
        overwrite: write into a folder that holds something; files of other names stay.

    Raises:
        CheckpointError: a part is missing or damaged.
        OptionError: the folder is that of a tokenizer.
        OutputError: the folder is the run's own, holds something, or cannot be written.
    """
    source = Path(run)
    if not is_prior(source):
        raise OptionError(
            f"{source}: expected a trained prior, got another folder; use export_tokenizer"
        )
    target = _target(source, Path(out), overwrite)
    generator = load_generator(source)  # every part exists and is intact
    levels = len(generator.priors)
    places = [level_folder(source, level, levels) for level in range(levels)]
    with output_errors(target), new_folder(target, overwrite=overwrite, last=CONFIG) as draft:
        for file in _saved_files([source / TOKENIZER, *places]):
            target_file = draft / file.relative_to(source)
            target_file.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(target_file, file.read_bytes())
        if half:
            write_weights(generator.tokenizer, draft / TOKENIZER / WEIGHTS, half=True)
            for prior, place in zip(generator.priors, places, strict=True):
                module = prior.saved_module()
                round_to_half(module)
                write_weights(module, draft / place.relative_to(source) / WEIGHTS, half=True)
        return _exported(target, draft, None)


def _halved(tokenizer: SignalTokenizer) -> SignalTokenizer:
    """A tokenizer with rounded weights; the one given stays as it is."""
    rounded = copy.deepcopy(tokenizer)
    round_to_half(rounded)
    return rounded


def _target(source: Path, target: Path, overwrite: bool) -> Path:
    if target.exists() and source.exists() and target.samefile(source):
        raise OptionError(
            f"{target}: expected a folder apart from the run, got the run itself; choose another"
        )
    check_new_folder(target, overwrite=overwrite)
    return target


def _saved_files(folders: list[Path]) -> Iterator[Path]:
    for folder in folders:
        yield from (folder / name for name in _SAVED if (folder / name).is_file())


def _section(figures: Evaluation) -> str:
    found = figures.to_dict()
    known = {name: found.get(name) for name in (*FIGURES[:-3], figures.rate, *FIGURES[-3:])}
    return held_out_figures(
        {name: value for name, value in known.items() if value is not None},
        data=figures.data,
        count=figures.signal.counted(figures.count),
    )


def _exported(target: Path, draft: Path, figures: Evaluation | None) -> Exported:
    files = sorted(path for path in draft.rglob("*") if path.is_file())
    names = tuple(path.relative_to(draft).as_posix() for path in files)
    return Exported(target, names, sum(path.stat().st_size for path in files), figures)
