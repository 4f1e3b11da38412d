"""Turns recordings into compressed files, each to its own or all to one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from vocabula.data.audio import AudioSource
from vocabula.data.audio_clips import BrokenAudioError
from vocabula.data.audio_folder import FileClips, find_recordings
from vocabula.data.image_problems import report_problems, summarize
from vocabula.errors import DataError, plural
from vocabula.files import check_apart, check_new_file
from vocabula.pipelines.compress import Files, Options
from vocabula.pipelines.picture_targets import takes_all, targets_of
from vocabula.pipelines.signal_compression import Entry, SignalCompression
from vocabula.pipelines.signal_fidelity import SignalFidelity
from vocabula.signals import Signal
from vocabula.signals.audio import Audio


class NamedClips(FileClips):
    """Recordings in files under the names that they have in what is written.

    Args:
        files: in order.
        names: of each, relative paths.
    """

    def __init__(self, files: Sequence[Path], names: Sequence[Path]) -> None:
        super().__init__(Path(), files)
        self._names = list(names)

    def path(self, index: int) -> str:
        """The name of a file."""
        return self._names[index].as_posix()


class SoundFidelity(SignalFidelity):
    """The log-mel distance of compressed recordings."""

    @property
    def words(self) -> str:
        """The result for the last line of a command; empty where nothing was measured."""
        if not self.figures:
            return ""
        return f"log-mel distance {self.figures['log_mel_distance']:.2f} dB{self.about}"


class SoundCompression(SignalCompression):
    """Compresses recordings, and folders of them."""

    def count(self, files: Files) -> int:
        """The number of recordings."""
        return sum(len(find_recordings(Path(f))[0]) if Path(f).is_dir() else 1 for f in files)

    def closeness(self) -> SoundFidelity:
        """The log-mel distance."""
        return SoundFidelity()

    def entries(
        self, signal: Signal, paths: Sequence[Path], out: Path | None, options: Options
    ) -> Sequence[Entry]:
        """One file of all recordings, or one each."""
        assert isinstance(signal, Audio), "the kind of signal chose this"
        found = list(_gathered(paths, options.strict))
        _check_named([path for path in paths if not path.is_dir()], signal)
        files, names = [path for path, _ in found], [name for _, name in found]
        sizes = [path.stat().st_size for path in files]
        # what was named one by one must be read; of folders, damaged files are left out
        strict = options.strict or not any(path.is_dir() for path in paths)

        def source(which: slice) -> AudioSource:
            clips = NamedClips(files[which], names[which])
            name = str(files[which][0] if len(clips) == 1 else paths[0])
            rate, channels = signal.sample_rate, signal.channels
            opened = AudioSource(
                clips, name=name, sample_rate=rate, channels=channels, strict=strict
            )
            opened.check_headers()
            return opened

        if out is not None and takes_all(out):
            check_new_file(out, overwrite=options.overwrite)
            check_apart([out], files)
            whole = source(slice(None))
            if len(files) > 1:
                whole.keys = [name.as_posix() for name in names]
            return [Entry(whole, out, sum(sizes), len(files))]
        targets = targets_of(files, out, options.overwrite, names, what="recordings")
        return [
            Entry(source(slice(i, i + 1)), target, sizes[i]) for i, target in enumerate(targets)
        ]


def _gathered(paths: Sequence[Path], strict: bool) -> Iterator[tuple[Path, Path]]:
    """Recordings with their names in what is written.

    Raises:
        DataError: a folder holds none.
    """
    for path in paths:
        if not path.is_dir():
            yield path, Path(path.name)
            continue
        files, others = find_recordings(path)
        if not files:
            got = f"only {summarize(others)}" if others else "an empty folder"
            raise DataError(f"{path}: expected recordings, got {got}; give a folder that has some")
        total = len(files) + len(others)
        report_problems(str(path), others, total, strict=strict, wanted="recordings")
        top = Path(path.resolve().name) if len(paths) > 1 else Path()
        for file in files:
            yield file, top / file.relative_to(path)


def _check_named(files: Sequence[Path], signal: Audio) -> None:
    """Open the header of each file that was named by itself; one error names all that fail.

    Raises:
        DataError: a file is missing, damaged, or no recording.
    """
    wrong = []
    for path in files:
        try:
            with FileClips(Path(), [path]).open(0):
                pass
        except BrokenAudioError as reason:
            wrong.append(f"{path}: {reason}")
    if wrong:
        count = f"{plural(len(wrong), 'file')} of {len(files)} that cannot be compressed: "
        several = count if len(wrong) > 1 else ""
        raise DataError(
            f"compress: expected recordings, got {several}{'; '.join(wrong)}; leave them out"
        )
