"""Writes the signals of compressed files: all of one to one file of their kind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from torch import Tensor

from vocabula.codec.header import Header
from vocabula.codec.inspection import Inspection
from vocabula.data.long_signal import Parts
from vocabula.data.media import MEDIA, Media
from vocabula.data.media.base import Batches
from vocabula.errors import OptionError
from vocabula.files import check_new_file, is_stream
from vocabula.pipelines.decompress import Decompression, Listed
from vocabula.pipelines.picture_targets import SUFFIX
from vocabula.pipelines.targets import different_targets

ARRAY = ".npy"
"""The suffix of outputs that the user has not named."""


class SignalDecompression(Decompression):
    """All signals of a file become one file, in memory that does not depend on their number."""

    thing = "file"

    def targets(
        self, listed: Listed, found: Sequence[Inspection], out: Path | None, overwrite: bool
    ) -> list[Path]:
        """See `Decompression.targets`."""
        if out is not None and ((out.suffix and not out.is_dir()) or is_stream(out)):
            if len(listed) != 1:
                raise OptionError(
                    f"{out}: expected one compressed file for the name of a file, got "
                    f"{len(listed)}; give a folder"
                )
            _media(found[0].header).check(out, overwrite=overwrite)
            return [out]
        wanted = []
        for path, inner in listed:
            name = f"{path.name.removesuffix(SUFFIX) or 'signals'}{ARRAY}"
            wanted.append((path, (path.parent if out is None else out / inner) / name))

        def check(number: int, target: Path) -> None:
            check_new_file(target, overwrite=overwrite)

        return different_targets(wanted, beside=out is None, check=check)

    def write(
        self, signals: Iterator[Tensor | Parts], found: Inspection, target: Path, overwrite: bool
    ) -> Iterator[Path]:
        """See `Decompression.write`."""
        batches = named_batches(signals, found.header)
        target.parent.mkdir(parents=True, exist_ok=True)
        yield from _media(found.header).write(target, batches, found.signals, overwrite=overwrite)


def _media(header: Header) -> Media:
    return MEDIA.of(header.signal.name)(header.channels, "decompress")


def named_batches(signals: Iterator[Tensor | Parts], header: Header) -> Batches:
    """Signals in batches, long ones in parts, and their names, empty where the file has none."""
    axes, names, at = header.signal.axes, header.names, 0
    for signal in signals:
        batch = signal if isinstance(signal, Parts) or not axes else signal[None]
        after = at + (1 if isinstance(batch, Parts) else len(batch))
        yield batch, names[at:after] if names else [""] * (after - at)
        at = after
