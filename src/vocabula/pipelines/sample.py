"""Samples of a generator of images: one PNG each, or one grid, and a file of their codes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from vocabula.data.png import check_channels, grid, save_png, to_bytes
from vocabula.files import check_new_file
from vocabula.pipelines.sample_codes import CodesFile
from vocabula.pipelines.sample_drawing import checked, draw, draw_at_once, names_of, values_of
from vocabula.pipelines.sample_options import Drawn, SampleOptions
from vocabula.pipelines.sample_series import Series
from vocabula.priors import Generator, Samples
from vocabula.priors.order import new_seed

MOST_COLUMNS = 32
"""Values of an attribute or texts up to which each gets its own column of a grid."""


def sample_grid(
    generator: Generator,
    options: SampleOptions,
    out: Path,
    *,
    codes: Path | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> Drawn:
    """Draw samples into one picture; a few classes, other values or texts get a column each.

    After Ctrl-C the picture holds the samples that were finished.

    Args:
        generator: what draws.
        options: what to draw.
        out: the PNG file to write.
        codes: a token file to write as well, or None.
        overwrite: replace existing files.
        progress: show a progress bar on a terminal.

    Raises:
        OptionError, DataError: an option is out of range, or unknown to the priors.
        OutputError: a file exists or cannot be written.
    """
    options = _checked(generator, options)
    check_new_file(out, overwrite=overwrite)
    drawn: list[np.ndarray] = []
    batches = draw_at_once(
        generator, options, to_bytes, codes=codes, suffix=".png", overwrite=overwrite, show=progress
    )
    for pictures, _ in batches:
        drawn.extend(pictures)
    if drawn:
        kinds = max(len(options.texts), *map(len, options.attributes.values()), 0)
        columns = kinds if 1 < kinds <= min(MOST_COLUMNS, options.count) else None
        save_png(grid(np.stack(drawn), columns), out, overwrite=overwrite)
    return Drawn(len(drawn), options.count, new_seed(options.seed))


def sample_folder(
    generator: Generator,
    options: SampleOptions,
    out: Path,
    *,
    codes: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = False,
) -> Drawn:
    """Draw samples into a folder, one PNG file each (``00000.png``, ...), as they are finished.

    With classes the names are ``00000-CLASS.png``, and so on for other attributes. ``samples.json``
    beside them says how they were drawn. After Ctrl-C the finished ones stay.

    Args:
        generator: what draws.
        options: what to draw.
        out: the folder to write.
        codes: a token file to write as well, or None.
        resume: continue where an earlier call with the same options stopped, or start if there was
            none; a higher count draws more of the same series. Without a seed, the earlier one is
            used.
        overwrite: write into a folder that has files; those of the same name are replaced.
        progress: show a progress bar on a terminal.

    Raises:
        OptionError, DataError: an option is out of range, unknown to the priors, or differs from
            the series to continue.
        OutputError: the folder has files already, or cannot be written.
    """
    seed = options.seed
    options = _checked(generator, options)
    settings = options.settings(generator) | {"seed": seed}
    series = Series.open(out, settings, resume=resume, overwrite=overwrite)
    options = replace(options, seed=series.settings["seed"])
    if series.finished >= options.count and codes is None:
        return Drawn(series.finished, options.count, new_seed(options.seed), resumable=True)
    with CodesFile(codes, generator, overwrite=overwrite or resume) as file:
        start = finished = file.keep(series.finished)
        series.save(start)

        def keep(samples: Samples, numbers: range) -> None:
            values = values_of(generator, options, numbers)
            names = [f"{name}.png" for name in names_of(generator, values)]
            for image, name in zip(to_bytes(samples.signals), names, strict=True):
                save_png(image, out / name, overwrite=True)
            file.append(samples, names, list(values.values()))
            series.save(numbers.stop)

        if start < options.count:
            finished = draw(generator, options, start, keep, show=progress)
    return Drawn(finished, options.count, new_seed(options.seed), resumable=True)


def _checked(generator: Generator, options: SampleOptions) -> SampleOptions:
    check_channels(generator.tokenizer.channels, "sample")
    return checked(generator, options)
