"""Signals of unequal length with speakers: a kind that pads, from training to decoded signals."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from annotated_types import Ge
from torch import Tensor, nn

from vocabula.cli.main import main
from vocabula.data import Batch, SignalData, Source, read_tokens
from vocabula.data.collate import collate
from vocabula.data.order import Stream, Turns
from vocabula.errors import DataError, OptionError
from vocabula.evaluation import evaluate
from vocabula.nn import Encoder
from vocabula.pipelines import compress_files, decode_tokens, encode_dataset
from vocabula.priors import load_generator
from vocabula.registry import component
from vocabula.reports.tokenizer import build_report
from vocabula.signals import Signal, Vector
from vocabula.tokenizers import SignalTokenizer, load
from vocabula.training import config_from_sections, load_config, train, train_prior

SPEAKERS = ("anna", "ben", "cleo")


@component("signal", "clip")
class Clip(Signal):
    """Clips (B, channels, time) of any length."""

    axes: ClassVar[tuple[str, ...]] = ("time",)
    unit: ClassVar[str] = "moment"
    plural: ClassVar[str] = "clips"
    pads: ClassVar[bool] = True

    def __init__(self, channels: Annotated[int, Ge(1)]) -> None:
        self.channels = channels

    def units(self, extent: Sequence[int]) -> float:
        """Moments."""
        return float(extent[0])


@component("encoder", "clip")
class ClipEncoder(Encoder):
    """Layers that see beyond their cells, after the mean, the speaker's offset, is taken away."""

    axes: ClassVar[int] = 1

    def __init__(self, in_channels: int, dim: int) -> None:
        super().__init__()
        self.in_channels, self.dim, self.stride = in_channels, dim, 4
        self.layers = nn.Sequential(
            nn.Conv1d(in_channels, 8, 5, 4, 2), nn.GroupNorm(2, 8), nn.Conv1d(8, dim, 3, 1, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Vectors (B, dim, time / 4)."""
        return self.layers(x - x.mean(2, keepdim=True))


class Clips(Source):
    """Waves whose speaker determines an offset; every batch of a kind that pads is padded."""

    batch_size: ClassVar[int] = 8

    def __init__(self, count: int, seed: int, names: Sequence[str] = SPEAKERS) -> None:
        super().__init__("clips", 1, label_names=["low", "high"])
        random, self._names = np.random.default_rng(seed), tuple(names)
        self.speakers = random.integers(len(names), size=count)
        self.pitches = random.integers(2, size=count)
        self.waves = [
            self._wave(i, int(random.choice([3, 8, 13, 29])), random) for i in range(count)
        ]

    def _wave(self, i: int, length: int, random: np.random.Generator) -> Tensor:
        offset = 4 * SPEAKERS.index(self._names[self.speakers[i]])
        moments = random.uniform(0, 6) + np.arange(length) * (0.4 + self.pitches[i])
        return torch.from_numpy(offset + np.sin(moments))[None].float()

    @property
    def names(self) -> dict[str, tuple[str, ...]]:
        return {**super().names, "speaker": self._names}

    def __len__(self) -> int:
        return len(self.waves)

    def content(self) -> str:
        return "clips"

    def batch(self, rows: np.ndarray) -> Batch:
        attributes = {
            "class": torch.from_numpy(self.pitches[rows]),
            "speaker": torch.from_numpy(self.speakers[rows]),
        }
        paths = [f"{row}.wav" for row in rows]
        waves = [self.waves[row] for row in rows]
        return collate(waves, Clip(1), attributes, torch.from_numpy(rows), paths)

    def batches(
        self,
        *,
        batch_size: int | None = None,
        limit: int | None = None,
        workers: int = 0,
        overlap: bool = True,
    ) -> Generator[Batch, None, None]:
        size, end = batch_size or self.batch_size, min(limit or len(self), len(self))
        for first in range(0, end, size):
            yield self.batch(np.arange(first, min(first + size, end)))


@component("data", "clips")
class ClipData(SignalData):
    """Random clips."""

    def open(self, path_or_name: Any, *, channels: int | None = None) -> Source:
        return Clips(64, 0)

    def _train_batches(self, source: Source, turns: Turns) -> Iterator[Batch]:
        assert isinstance(source, Clips)
        stream = Stream(len(source), seed=turns.seed)
        for number in turns:
            yield source.batch(stream.take(turns.places(number))[0])

    def extent(self, source: Source) -> tuple[int, ...]:
        return (30,)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose decoder is told the speaker."""
    sections = {
        "signal": "clip",
        "scaling": "standard",
        "encoder": "clip",
        "quantizer": {"name": "vector", "dim": 4, "codebook_size": 8},
        "decoder": {"name": "film", "given": ["speaker"], "hidden": 16, "downsample": 4},
        "likelihood": "normal",
        "data": "clips",
        "optimizer": {"name": "adam", "learning_rate": 0.02},
        "training": {"steps": 80, "batch_size": 16, "threads": 1, "memory_check": False},
    }
    folder = tmp_path_factory.mktemp("clips") / "run"
    train(config_from_sections(sections), Clips(64, 0), folder, progress=False)
    return folder


@pytest.fixture
def tokenizer(run: Path) -> SignalTokenizer:
    return load(run)


def as_given(tokenizer: SignalTokenizer, clips: Clips, row: int, speaker: int) -> Tensor:
    """A clip alone, as it sounds by a speaker."""
    known = tokenizer.known({"speaker": torch.tensor([speaker])})
    x = clips.waves[row][None]
    with torch.no_grad():
        return tokenizer.decode(tokenizer.encode(x), known, size=x.shape[2:])[0]  # type: ignore[arg-type]


def test_its_decoder_has_learned_what_the_speaker_means(
    run: Path, tokenizer: SignalTokenizer
) -> None:
    assert tokenizer.decoder_attributes == {"speaker": 3}
    clips = Clips(24, 1)
    figures = evaluate(tokenizer, clips)
    exact = [
        (as_given(tokenizer, clips, i, int(clips.speakers[i])) - clips.waves[i]).square()
        for i in range(24)
    ]
    assert figures.mse == pytest.approx(float(torch.cat(exact, 1).double().mean()), rel=1e-5)
    assert figures.explained_variance > 0.9 and figures.count == 24
    again = evaluate(tokenizer, Clips(24, 1), batch_size=1)
    assert figures.mse == pytest.approx(again.mse, rel=1e-6)
    assert figures.code_bits == again.code_bits  # padding costs nothing


def test_padded_clips_have_the_codes_of_clips_alone(tokenizer: SignalTokenizer) -> None:
    clips = Clips(24, 1)
    (batch,) = (clips.batch(np.arange(24)),)
    assert batch.mask is not None and batch.extents == [tuple(w.shape[1:]) for w in clips.waves]
    codes = tokenizer.encode(batch.values, batch.mask)
    for row, wave in enumerate(clips.waves):
        alone = tokenizer.encode(wave[None])[0]  # type: ignore[index]
        assert torch.equal(codes[row, : len(alone)], alone)  # type: ignore[index]
        assert (codes[row, len(alone) :] == -1).all()  # type: ignore[index]


def test_tokens_hold_every_length_and_attribute(tokenizer: SignalTokenizer, tmp_path: Path) -> None:
    clips, path = Clips(24, 1), tmp_path / "clips.parquet"
    assert encode_dataset(tokenizer, clips, path) == 24
    tokens = read_tokens(path)
    assert tokens.names == {"class": ("low", "high"), "speaker": SPEAKERS}
    for record, wave, speaker in zip(tokens, clips.waves, clips.speakers, strict=True):
        assert record.extent == tuple(wave.shape[1:])
        assert np.array_equal(record.codes, tokenizer.encode(wave[None])[0])  # type: ignore[index]
        assert record.attributes == {"speaker": speaker}
    assert pq.read_table(path)["speaker"].to_pylist() == clips.speakers.tolist()


def decoded(tokenizer: SignalTokenizer, tokens: Path, **options: Any) -> list[float]:
    """The mean of each decoded signal."""
    out = tokens.parent / f"{tokens.stem}-decoded.npy"
    decode_tokens(tokenizer, tokens, out, overwrite=True, **options)
    return np.load(out).mean((1, 2)).tolist()  # type: ignore[no-any-return]


def equal_clips(names: Sequence[str] = SPEAKERS) -> Clips:
    """Clips of one length, which go to one .npy file."""
    clips = Clips(32, 2, names)
    random = np.random.default_rng(3)
    clips.waves = [clips._wave(i, 20, random) for i in range(32)]
    return clips


def test_another_speaker_moves_clips_to_that_offset(
    tokenizer: SignalTokenizer, tmp_path: Path
) -> None:
    clips, path = equal_clips(), tmp_path / "clips.parquet"
    encode_dataset(tokenizer, clips, path)
    own = decoded(tokenizer, path)
    assert np.abs(own - 4.0 * clips.speakers).max() < 1.5
    for index, name in enumerate(SPEAKERS):
        for value in (name, index):
            means = decoded(tokenizer, path, attributes={"speaker": value})
            assert abs(np.mean(means) - 4 * index) < 1


def test_other_data_may_number_the_speakers_in_another_way(
    tokenizer: SignalTokenizer, tmp_path: Path
) -> None:
    clips, path = equal_clips(("cleo", "anna")), tmp_path / "clips.parquet"
    assert evaluate(tokenizer, clips).explained_variance > 0.9
    encode_dataset(tokenizer, clips, path)
    offsets = np.where(clips.speakers == 0, 8, 0)
    assert np.abs(decoded(tokenizer, path) - offsets).max() < 1.5


def test_what_the_decoder_does_not_know_is_refused(
    run: Path, tokenizer: SignalTokenizer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, without = tmp_path / "clips.parquet", tmp_path / "without.parquet"
    encode_dataset(tokenizer, equal_clips(), path)
    table = pq.read_table(path)
    nothing = table.set_column(table.column_names.index("speaker"), "speaker", [[None] * 32])
    pq.write_table(nothing.replace_schema_metadata(table.schema.metadata), without)
    known = r"an index in \[0, 3\) or one of anna, ben, cleo"
    for tokens, options, message in (
        (path, {"speaker": "dora"}, f"speaker: expected {known}, got 'dora'"),
        (path, {"class": 0}, "class: expected one of the attributes speaker, got class; this tok"),
        (without, {}, f"speaker: expected a value for every signal, {known}, got none; give it"),
    ):
        with pytest.raises(DataError, match=message):
            decode_tokens(tokenizer, tokens, tmp_path / "out.npy", attributes=options)
    with pytest.raises(OptionError, match="expected a decoder that needs no attributes, got one"):
        compress_files(tokenizer, [tmp_path / "x.npy"], tmp_path / "x.vcb")
    assert not (tmp_path / "out.npy").exists()
    assert len(decoded(tokenizer, without, attributes={"speaker": "ben"})) == 32


def test_the_command_sets_an_attribute(
    run: Path, tokenizer: SignalTokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = tmp_path / "clips.parquet", tmp_path / "ben.npy"
    encode_dataset(tokenizer, equal_clips(), path)
    words = ["decode", str(run), str(path), "-o", str(out), "--set", "speaker=ben"]
    monkeypatch.setattr("sys.argv", ["vocabula", *words])
    try:
        main()
    except SystemExit as end:
        assert not end.code
    assert abs(np.load(out).mean() - 4) < 1


def test_a_report_shows_true_attributes(tokenizer: SignalTokenizer, tmp_path: Path) -> None:
    figures = build_report(tokenizer, Clips(24, 1), tmp_path / "page.html", examples=3)
    assert figures.mse == pytest.approx(evaluate(tokenizer, Clips(24, 1)).mse)


def test_a_prior_draws_by_speaker_and_the_decoder_follows(
    run: Path, tokenizer: SignalTokenizer, tmp_path: Path
) -> None:
    path, out = tmp_path / "clips.parquet", tmp_path / "prior"
    encode_dataset(tokenizer, equal_clips(), path)
    options = ["prior.hidden=8", "prior.layers=1", "training.steps=5", "training.batch_size=8"]
    config = load_config("pixelcnn", [*options, "training.memory_check=false"])
    train_prior(config, run, path, out, progress=False)
    generator = load_generator(out)
    assert generator.names_of("speaker") == SPEAKERS
    means = [
        float(generator.sample(16, attributes={"speaker": name}, seed=0).signals.mean())
        for name in SPEAKERS
    ]
    assert np.diff(means).min() > 1.5  # the prior has hardly learned, the decoder knows
    with pytest.raises(DataError, match="speaker: expected a value for every signal"):
        generator.sample(1)


def test_only_kinds_that_pad_are_padded() -> None:
    waves = [torch.ones(1, 3), torch.ones(1, 5)]
    batch = collate(waves, Clip(1), {}, torch.arange(2))
    assert batch.mask is not None and batch.values.tolist() == [[[1, 1, 1, 0, 0]], [[1] * 5]]
    assert batch.mask.tolist() == [[True] * 3 + [False] * 2, [True] * 5]
    assert [part.values.shape[2] for part in batch.unpadded()] == [3, 5]
    equal = collate([torch.ones(2), torch.zeros(2)], Vector(2), {}, torch.arange(2))
    assert equal.mask is None and list(equal.unpadded()) == [equal]
    Clip.pads = False
    try:
        with pytest.raises(DataError, match="clips: expected one extent in a batch, got shapes"):
            collate(waves, Clip(1), {}, torch.arange(2))
    finally:
        Clip.pads = True
    with pytest.raises(DataError, match="clips: expected signals of equal channels, got shapes"):
        collate([torch.ones(1, 3), torch.ones(2, 3)], Clip(1), {}, torch.arange(2))
