"""Opening the data of a command, in words that a user understands."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vocabula.errors import DataError, OptionError

if TYPE_CHECKING:
    from vocabula.data import ImageSource, Source
    from vocabula.tokenizers import SignalTokenizer


def open_data(
    data: str,
    tokenizer: SignalTokenizer,
    run: str,
    *,
    held_out: bool = False,
    strict: bool = False,
    value_range: tuple[float, float] | None = None,
    attributes: bool = True,
) -> Source:
    """DATA as signals of the tokenizer's kind and channels; images in arrays scaled as in training.

    Args:
        data: as the user names them.
        tokenizer: what they are read for.
        run: the run's folder.
        held_out: use the held-out split of data with several splits, not the training split.
        strict: refuse files and rows that are broken.
        value_range: range of the values in arrays.
        attributes: read them as the run's options say, such as from the names of files.

    Raises:
        DataError: the data are missing or damaged, or their channels do not convert.
    """
    from vocabula.data import open_data

    options = data_options(
        data, tokenizer, run, strict=strict, value_range=value_range, attributes=attributes
    )
    place = chosen_split(data, held_out=held_out)
    source = open_data(tokenizer.signal, place, **options)
    say_split(data, held_out=held_out)
    return source


def data_options(
    data: str,
    tokenizer: SignalTokenizer,
    run: str,
    *,
    strict: bool = False,
    value_range: tuple[float, float] | None = None,
    attributes: bool = True,
) -> dict[str, Any]:
    """The options of the kind's `SignalData` with which DATA are opened; see `open_data`.

    Raises:
        OptionError: there is a range, and the kind has none.
    """
    from vocabula.data import DATA

    options = _kept(run, DATA.of(tokenizer.signal.kind).kept_options) if attributes else {}
    if tokenizer.signal.depth is not None:  # values of a file have a range
        if value_range is None and Path(data).suffix.lower() in (".npy", ".npz"):
            value_range = _trained_range(run)
        options["value_range"] = value_range
    elif value_range is not None:
        raise OptionError(
            f"--value-range: expected none for {tokenizer.signal.plural}, got {value_range}; "
            "leave it out, their values are taken as they are"
        )
    return {"strict": strict, **options}


def open_images(
    data: str, tokenizer: SignalTokenizer, run: str, verb: str, **options: Any
) -> ImageSource:
    """DATA for a command that serves images alone; see `open_data`.

    Raises:
        OptionError: the tokenizer is of another kind.
    """
    from vocabula.data import ImageSource

    if tokenizer.signal.kind != "image":
        raise OptionError(
            f"{verb}: expected a tokenizer of images, got one of {tokenizer.signal.plural}; this "
            "serves images alone"
        )
    source = open_data(data, tokenizer, run, **options)
    assert isinstance(source, ImageSource), "images have image sources"
    return source


def check_apart_from(data: str, out: str | Path | None) -> None:
    """Refuse to write an output over the file that DATA is, or over a picture in its folder.

    Raises:
        OutputError: they are the same file, even under different names.
    """
    from vocabula.data.picture_formats import named_like_picture
    from vocabula.files import check_apart

    if out is None:
        return
    place, source = Path(out), Path(data).expanduser()
    if source.is_file():
        check_apart([place], [source])
        return
    inside = source.is_dir() and Path(os.path.realpath(place)).is_relative_to(
        os.path.realpath(source)
    )
    if inside and named_like_picture(place) and place.is_file():
        check_apart([place], [place])


def chosen_split(data: str, *, held_out: bool) -> str:
    """The split of DATA that is read, or DATA itself if it has no splits."""
    from vocabula.data import held_out_split, split_names

    parts = split_names(data)
    only = next(iter(parts.values())) if len(parts) == 1 else data
    return (held_out_split(data) if held_out else parts.get("train")) or only


def say_split(data: str, *, held_out: bool) -> None:
    """Say which split is read, if DATA has any."""
    from vocabula.cli.console import note
    from vocabula.data import split_names

    chosen = chosen_split(data, held_out=held_out)
    if chosen != data:
        count = "several splits" if len(split_names(data)) > 1 else "one split"
        note(f"{data} has {count}: reading {chosen}")


def _kept(run: str, names: Sequence[str]) -> dict[str, Any]:
    """Options of [data] that the run states."""
    from vocabula.files.packaged import run_folder
    from vocabula.files.run_files import read_manifest

    config = read_manifest(run_folder(run)).get("config", {}) if names else {}
    data = config.get("data", {}) if isinstance(config, dict) else {}
    return {name: data[name] for name in names if isinstance(data, dict) and name in data}


def _trained_range(run: str) -> tuple[float, float] | None:
    try:
        low, high = _kept(run, ["value_range"])["value_range"]
        return float(low), float(high)
    except (KeyError, TypeError, ValueError):
        return None


@contextmanager
def reading_data() -> Iterator[None]:
    """Errors in the data name this command's options, not training options."""
    with plain_warnings():
        try:
            yield
        except DataError as error:
            text = re.sub(r"data\.value_range=\[(.+?), (.+?)\]", r"--value-range \1 \2", str(error))
            raise DataError(re.sub(r" or set data\.channels=\d+", "", text)) from None


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Print each warning of readers and coders once, without its place in the code."""
    from vocabula.cli.console import warn
    from vocabula.data import DataWarning
    from vocabula.errors import CodecWarning

    before, shown = warnings.showwarning, set[str]()

    def show(message: Any, category: type[Warning], *place: Any, **more: Any) -> None:
        if issubclass(category, DataWarning | CodecWarning):
            if str(message) not in shown:
                warn(str(message))
            shown.add(str(message))
        else:
            before(message, category, *place, **more)

    with warnings.catch_warnings():
        warnings.simplefilter("always", DataWarning)
        warnings.simplefilter("always", CodecWarning)
        warnings.showwarning = show
        yield
