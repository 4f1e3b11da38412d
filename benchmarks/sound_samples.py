"""Sounds to listen to, as small files with one figure of their spectrograms.

    python benchmarks/sound_samples.py docs/figures/sound RUN FILE ...
    python benchmarks/sound_samples.py docs/figures/sound RUN FILE ... --speaker NAME ...
    python benchmarks/sound_samples.py docs/figures/sound

RUN is a tokenizer whose codes have stages, trained on other recordings. The FILES are joined and
written as they are, and as the codes of the first stages decode to. In the second form they are
written in other voices, each file converted by itself. The figure shows every .flac of the folder,
so that others may be put there: the third form draws it anew.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np
import soundfile
import torch
from PIL import Image
from torch import Tensor

from vocabula import load
from vocabula.data.audio_opening import open_audio
from vocabula.evaluation.batches import read_batches
from vocabula.reports.sounds import spectrogram
from vocabula.signals import Condition

mpl.use("Agg")
import matplotlib.pyplot as plt

STAGES = (1, 4, 8)


def recordings(files: list[str], rate: int) -> Iterator[Tensor]:
    """Recordings (T,) of files."""
    for file in files:
        for batch in read_batches(open_audio(file, sample_rate=rate), batch_size=1, workers=0):
            yield batch.values[0, 0].float()


def joined(waves: Iterable[Tensor], rate: int) -> Tensor:
    """Recordings (T,) one after the other, with a tenth of a second between them."""
    parts = [part for wave in waves for part in (wave, torch.zeros(rate // 10))]
    return torch.cat(parts[:-1])


@torch.inference_mode()
def decode_stages(run: str, files: list[str], folder: Path) -> None:
    """Write the recordings, and what the first stages of their codes decode to."""
    tokenizer = load(run)
    rate = tokenizer.signal.sample_rate or 1
    wave = joined(recordings(files, rate), rate)
    codes = tokenizer.encode(wave[None, None])
    per_stage = tokenizer.bits_per_unit / codes.shape[-1]
    write(folder / "original.flac", wave, rate)
    for count in STAGES:
        decoded = tokenizer.decode(codes[..., :count], size=(len(wave),))[0, 0]
        name = f"decoded-{per_stage * count / 1000:.1f}-kbit.flac"
        write(folder / name, decoded, rate)


@torch.inference_mode()
def convert(run: str, files: list[str], speakers: list[str], folder: Path) -> None:
    """Write the recordings in the voices of speakers."""
    tokenizer = load(run)
    rate = tokenizer.signal.sample_rate or 1
    for speaker in speakers:
        voice = Condition(
            {"speaker": torch.tensor([tokenizer.attribute_index("speaker", speaker)])}
        )
        waves = (
            tokenizer.reconstruct(wave[None, None], condition=voice)[0, 0]
            for wave in recordings(files, rate)
        )
        write(folder / f"converted-{speaker}.flac", joined(waves, rate), rate)


def write(path: Path, wave: Tensor, rate: int) -> None:
    """Write a sound (T,) of full scale 1 in 16 bits."""
    soundfile.write(path, wave.clamp(-1, 1).numpy(), rate, subtype="PCM_16", format="FLAC")


def draw(folder: Path) -> None:
    """Draw the spectrograms of all sounds of a folder below one another."""
    files = sorted(folder.glob("*.flac"), key=lambda path: (path.name != "original.flac", path))
    figure, axes = plt.subplots(len(files), figsize=(8, 1.3 * len(files)), layout="constrained")
    for axis, path in zip(np.atleast_1d(axes), files, strict=True):
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        picture = spectrogram(torch.from_numpy(samples.T.copy()), rate)
        axis.imshow(picture, aspect="auto", extent=(0, len(samples) / rate, 0, 1))
        axis.set_title(path.stem, fontsize=8, loc="left")
        axis.set_yticks([])
        axis.tick_params(labelsize=7)
    figure.supxlabel("seconds; mel bands from 0 Hz below", fontsize=8)
    figure.savefig(folder / "spectrograms.png", dpi=72)
    with Image.open(folder / "spectrograms.png") as image:  # 32 colours take a third of the bytes
        few = image.convert("RGB").quantize(32)
    few.save(folder / "spectrograms.png", optimize=True)


def main() -> None:
    """Decode if there is something to decode, and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("run", nargs="?")
    parser.add_argument("files", nargs="*")
    parser.add_argument("--speaker", nargs="+", help="convert to these voices")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.run and options.speaker:
        convert(options.run, options.files, options.speaker, options.folder)
    elif options.run:
        decode_stages(options.run, options.files, options.folder)
    draw(options.folder)


if __name__ == "__main__":
    main()
