"""Decodes signals with other attributes than their own, such as another speaker's voice."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import torch
from torch import Tensor

from vocabula.data import Source
from vocabula.data.long_signal import LongSignal, Parts
from vocabula.data.media import MEDIA
from vocabula.errors import OptionError, OutputError
from vocabula.evaluation.batches import read_bounded
from vocabula.evaluation.counting import counted
from vocabula.signals.attributes import NOT_GIVEN
from vocabula.tokenizers import SignalTokenizer
from vocabula.tokenizers.inference import device_of, inference
from vocabula.tokenizers.passing import reconstructed_parts, takes_parts


def convert_signals(
    tokenizer: SignalTokenizer,
    sources: Sequence[Source],
    out: str | os.PathLike[str],
    *,
    attributes: Mapping[str, int | str],
    batch_size: int | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> list[Path]:
    """Encode signals and decode them with other attributes: one call for voices exchanged.

    ::

        signal --encode--> codes --decode(attributes)--> signal of the same extent

    Attributes that are not given are those of the source. The output appears when it is complete.

    Args:
        tokenizer: a tokenizer whose decoder takes attributes.
        sources: the signals, with the tokenizer's channels.
        out: the folder or file to write, as `decode_tokens` takes it.
        attributes: a value of one or several attributes, by index or name, such as
            ``{"speaker": "anna"}``.
        batch_size: most signals of a batch; None takes the sources' own.
        workers: threads that read ahead; None takes one for each core.
        overwrite: write into a folder that has files, or replace the file.
        progress: show a progress bar on a terminal.

    Returns:
        The files written, in order.

    Raises:
        OptionError: the decoder takes no attributes, or none is given.
        DataError: no signal can be read, an attribute or a value is unknown, or one that the
            decoder needs is missing; the message lists the known ones.
        OutputError: the output exists, cannot be written, or the disk is full.
    """
    chosen = chosen_values(tokenizer, attributes)
    place, signal = Path(out), tokenizer.signal
    media = MEDIA.of(signal.kind).for_signal(signal, "convert")
    media.check(place, overwrite=overwrite)
    with counted("converting", sum(map(len, sources)), show=progress) as advance:
        signals = _converted(tokenizer, sources, chosen, batch_size, workers, advance)
        with closing(signals):
            return media.write(place, signals, None, overwrite=overwrite)


def chosen_values(
    tokenizer: SignalTokenizer, attributes: Mapping[str, int | str]
) -> dict[str, int]:
    """The indices of the values that are asked for.

    Args:
        tokenizer: what decodes.
        attributes: values by index or name.

    Raises:
        OptionError: the decoder takes no attributes, or none is given.
        DataError: an attribute or a value is unknown; the message lists the known ones.
    """
    known = tokenizer.decoder_attributes
    if not known:
        raise OptionError(
            "convert: expected a tokenizer whose decoder takes attributes, got one that takes "
            "none; train with a conditional decoder, such as decoder.name=vocos_film"
        )
    if not attributes:
        raise OptionError(
            f"convert: expected a value of {' or '.join(known)}, got none; give --condition "
            f"{next(iter(known))}=VALUE"
        )
    return {name: tokenizer.attribute_index(name, value) for name, value in attributes.items()}


def check_apart_from_inputs(out: str | os.PathLike[str], inputs: Sequence[str]) -> None:
    """Refuse an output folder whose files would replace the inputs.

    Args:
        out: the folder or file to write.
        inputs: the files and folders that are read.

    Raises:
        OutputError: the output is an input, or the folder of one.
    """
    place = Path(os.path.realpath(out))
    for name in inputs:
        path = Path(os.path.realpath(Path(name).expanduser()))
        if place in (path, path.parent) or (place.name.startswith("*") and place.parent == path):
            raise OutputError(
                f"{out}: expected an output apart from the inputs, got the place of {name}; choose "
                "another folder"
            )


def _converted(
    tokenizer: SignalTokenizer,
    sources: Sequence[Source],
    chosen: Mapping[str, int],
    batch_size: int | None,
    workers: int | None,
    advance: Callable[[int], None],
) -> Generator[tuple[Tensor | Parts, Sequence[str]], None, None]:
    """The converted signals of all sources and where they came from, in batches."""
    with inference(tokenizer) as device:
        for source in sources:
            batches = read_bounded(
                source,
                batch_size=batch_size,
                workers=workers,
                device=device_of(tokenizer),
                parts=takes_parts(tokenizer),
            )
            with closing(batches):
                for batch in batches:
                    known = dict(batch.attributes)
                    for name in tokenizer.decoder_attributes:
                        own = known.get(name, torch.tensor([NOT_GIVEN])).expand(len(batch))
                        known[name] = torch.full_like(own, chosen[name]) if name in chosen else own
                    names = {n: own for n, own in source.names.items() if n not in chosen}
                    condition = tokenizer.known(known, names)
                    if isinstance(batch, LongSignal):
                        yield reconstructed_parts(tokenizer, batch.parts, condition), batch.paths
                    else:
                        values = tokenizer.signal.to_values(batch.values.to(device))
                        output = tokenizer.reconstruct(values, condition=condition)
                        yield tokenizer.signal.to_stored(output).cpu(), batch.paths
                    advance(len(batch))
