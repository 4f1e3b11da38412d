"""Turns what a user types as DATA into a source of recordings."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from vocabula.data.audio import AudioSource
from vocabula.data.audio_arrays import ArrayClips
from vocabula.data.audio_clips import BrokenAudioError, Clips
from vocabula.data.audio_folder import FileClips, find_recordings
from vocabula.data.audio_formats import COMMON_AUDIO, named_like_audio
from vocabula.data.audio_names import NamePattern
from vocabula.data.audio_parquet import TableClips
from vocabula.data.audio_tars import TarClips
from vocabula.data.hub_data import hub_files
from vocabula.data.image_files import is_picture
from vocabula.data.image_problems import DataWarning, report_problems, summarize
from vocabula.data.numpy_files import map_npy
from vocabula.data.opening import only_shards, training_folder
from vocabula.data.places import COMPRESSED, HUB, OF_COMPRESSED, check_place, matches, sample_split
from vocabula.data.splits import find_splits, split_shards
from vocabula.data.tones import TONES
from vocabula.errors import DataError, plural
from vocabula.files import check_plain

_KINDS = f"a folder of recordings ({', '.join(COMMON_AUDIO)}), a recording, or sample:tones"
CLIP_SHARDS: Mapping[str, Callable[..., Clips]] = {".parquet": TableClips, ".tar": TarClips}
"""What opens files that hold many recordings each, by the end of their names."""
OF_IMAGES = "pictures are for a tokenizer of images, such as --preset photos trains"


def open_audio(
    path_or_name: str | os.PathLike[str],
    *,
    sample_rate: int,
    channels: int = 1,
    labels: str = "",
    strict: bool = False,
) -> AudioSource:
    """Open recordings by path or name.

    Args:
        path_or_name: one of

            - a folder of recordings (wav, flac, ogg, opus, mp3 and others that libsndfile reads),
              or one recording;
            - a .parquet file with the Hugging Face audio feature, a .tar, a folder of them or a
              pattern such as ``shards/{000..099}.tar``;
            - ``hf:NAME[/CONFIG][:SPLIT]``, see `hub_files`;
            - an .npy file of recordings (N, time) or (N, channels, time) at `sample_rate`;
            - ``sample:tones`` or ``sample:tones/melodies``, or a split: ``sample:tones/test``.

            A folder whose sub-folders are named after splits stands for its training split.
        sample_rate: samples per second; recordings of other rates are resampled.
        channels: of every recording: 1 is the mean of all; 0 those of the first recording; other
            numbers take recordings of that number, or copy a single one.
        labels: a pattern of the files' names that gives attributes, see `NamePattern`; empty: the
            columns of a table are attributes, or else the sub-folders are classes.
        strict: refuse files that are broken, or that do not fit `labels`, instead of skipping the
            file or its attributes with a warning.

    Raises:
        DataError: the data are missing, empty, damaged, of another kind or of other channels.
        OptionError: `labels` is no pattern.

    Example:
        >>> import numpy as np, soundfile
        >>> from pathlib import Path
        >>> Path("voices").mkdir()
        >>> soundfile.write("voices/7_george_0.wav", np.zeros(800), 8000)
        >>> source = open_audio("voices", sample_rate=16000, labels="{digit}_{speaker}_{index}")
        >>> source.names["speaker"], source.read_whole(0).shape
        (('george',), (1, 1600))
    """
    name = os.fspath(path_or_name)
    pattern = NamePattern(labels) if labels else None
    check_place(name)
    if name.startswith("sample:"):
        return _open_sample(name, sample_rate, channels)
    clips, name = _clips(name, sample_rate, strict)
    known = None
    if pattern is not None:
        known = pattern.read([clips.path(index) for index in range(len(clips))])
    source = AudioSource(
        clips,
        name=name,
        sample_rate=sample_rate,
        channels=channels or _first_channels(clips),
        labels=clips.labels() if known is None else known.labels,
        strict=strict,
    )
    source.check_headers()
    if known is not None:
        known.report(name, len(source), strict=strict)
    return source


def _open_sample(name: str, sample_rate: int, channels: int) -> AudioSource:
    sample, split = sample_split(name)
    if sample not in TONES:
        raise DataError(
            f"{name}: expected recordings, such as sample:tones, got images; {OF_IMAGES}"
        )
    return TONES[sample](split, sample_rate=sample_rate, channels=channels or 1)


def _clips(name: str, sample_rate: int, strict: bool) -> tuple[Clips, str]:
    """The recordings that a name stands for, and the name of the split that is read."""
    if name.startswith(HUB):
        return _of_hub(name, strict), name
    path = Path(name).expanduser()
    check_plain(path, _KINDS)
    if path.suffix.lower() == ".npy" and path.is_file():
        return ArrayClips(map_npy(path), sample_rate, name=name), name
    if path.is_dir():
        return _folder(path, name, strict)
    if not path.exists():
        return _shards(matches(name, path), name, strict, searched=True), name
    if not os.access(path, os.R_OK):
        raise DataError(f"{name}: expected a readable file, got no permission; check its rights")
    if path.suffix.lower() in CLIP_SHARDS:
        return _shards([path], name, strict, searched=False), name
    if path.suffix.lower() in COMPRESSED:
        raise DataError(f"{name}: expected {_KINDS}, got a compressed file; {OF_COMPRESSED}")
    if named_like_audio(path) or not is_picture(path):
        return FileClips(path.parent, [path]), name
    raise DataError(f"{name}: expected {_KINDS}, got a picture; {OF_IMAGES}")


def _of_hub(name: str, strict: bool) -> Clips:
    files = hub_files(name)
    if isinstance(files, Path):
        return _files(files, name, strict)
    if files[0].suffix.lower() in CLIP_SHARDS:
        return _shards(files, name, strict, searched=True)
    return FileClips(Path(os.path.commonpath([file.parent for file in files])), files)


def _folder(path: Path, name: str, strict: bool) -> tuple[Clips, str]:
    if not os.access(path, os.R_OK | os.X_OK):
        raise DataError(f"{name}: expected a readable folder, got no permission; check its rights")
    splits = find_splits(path)
    if splits.doubt:
        warnings.warn(splits.doubt, DataWarning, stacklevel=4)
    if splits.folders:
        path = training_folder(name, splits.folders)
        name = str(path)
    shards = split_shards(path)
    if shards:
        return _shards(only_shards(name, shards), name, strict, searched=True), name
    return _files(path, name, strict), name


def _files(path: Path, name: str, strict: bool) -> Clips:
    """The recordings below a folder."""
    files, others = find_recordings(path)
    if not files:
        raise _no_recordings(path, name, others)
    total = len(files) + len(others)
    report_problems(name, others, total, strict=strict, wanted="recordings")
    return FileClips(path, files, searched=True)


def _shards(files: Sequence[Path], name: str, strict: bool, *, searched: bool) -> Clips:
    """Recordings in files of one kind that hold many each."""
    clips = CLIP_SHARDS[files[0].suffix.lower()](files, searched=searched)
    others = clips.passed_over
    report_problems(name, others, len(clips) + len(others), strict=strict, wanted="recordings")
    return clips


def _no_recordings(path: Path, name: str, others: list[str]) -> DataError:
    expected = f"{name}: expected recordings ({', '.join(COMMON_AUDIO)} and others)"
    pictures = sum(is_picture(path / other.rpartition(": ")[0]) for other in others[:1000])
    if pictures:
        return DataError(f"{expected}, got {plural(pictures, 'picture')}; {OF_IMAGES}")
    got = f"only {summarize(others)}" if others else "an empty folder"
    return DataError(f"{expected}, got {got}; give {_KINDS}")


def _first_channels(clips: Clips) -> int:
    """The channels of the first recording that opens; 1 if none does, which is said later."""
    for index in range(len(clips)):
        try:
            with clips.open(index) as clip:
                return clip.channels
        except BrokenAudioError:
            continue
    return 1
