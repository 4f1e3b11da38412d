"""Purity and normalized information against hand arithmetic, and what alignments are refused."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from tests.sounds import tokenizer_of

from vocabula.data.audio import AudioSource
from vocabula.data.audio_opening import open_audio
from vocabula.errors import DataError, OptionError
from vocabula.evaluation.alignment import Alignment, Segments, read_alignment
from vocabula.evaluation.units import Units, evaluate_units, figures_of, frame_centres


def test_figures_of_two_units_and_two_labels() -> None:
    # joint 3/8 1/8 | 0 4/8; units 1/2 1/2; labels 3/8 5/8
    found = figures_of(np.array([[3, 1], [0, 4]]))
    assert found.frames == 8
    assert found.phone_purity == pytest.approx(7 / 8)  # 3 + 4
    assert found.cluster_purity == pytest.approx(7 / 8)  # max(3, 0) + max(1, 4)
    information = 3 / 8 * math.log(2) + 1 / 8 * math.log(2 / 5) + 1 / 2 * math.log(8 / 5)
    entropy = -(3 / 8 * math.log(3 / 8) + 5 / 8 * math.log(5 / 8))
    assert found.pnmi == pytest.approx(information / entropy)


def test_purities_differ_and_independence_has_no_information() -> None:
    found = figures_of(np.array([[2, 2], [1, 1], [1, 1]]))
    assert found.phone_purity == pytest.approx(1 / 2)
    assert found.cluster_purity == pytest.approx(1 / 2)
    assert found.pnmi == pytest.approx(0, abs=1e-12)
    many = figures_of(np.eye(4, dtype=np.int64).repeat(2, axis=0))
    assert many.phone_purity == pytest.approx(1) and many.cluster_purity == pytest.approx(1 / 2)
    assert many.pnmi == pytest.approx(1)


def test_nothing_and_a_single_label() -> None:
    assert figures_of(np.zeros((2, 2), np.int64)).phone_purity is None
    assert figures_of(np.array([[2], [1]])).pnmi is None


def test_silence_is_counted_apart() -> None:
    found = Units.of(np.array([[9, 1, 0], [0, 1, 1]]), ("_", "a", "b"), unlabelled=2)
    assert found.all.frames == 12 and found.all.phone_purity == pytest.approx(10 / 12)
    assert found.speech.frames == 3 and found.speech.phone_purity == pytest.approx(2 / 3)
    told = found.to_dict()
    assert told["codewords"] == 2 and told["unlabelled_frames"] == 2
    assert told["counts"] == [[9, 1, 0], [0, 1, 1]]
    names = [row.name for row in found.rows()]
    assert names[1:3] == ["phone purity", "cluster purity"] and "PNMI, no silence" in names


def test_a_frame_has_the_label_of_its_middle() -> None:
    assert frame_centres(33, 16, 1600).tolist() == [0.005, 0.015, 0.025]
    own = Segments(np.array([0.0, 0.016]), np.array([0.01, 0.03]), np.array([1, 0]))
    alignment = Alignment("a.csv", {"a.wav": own}, ("x", "y"))
    assert alignment.at("./a.wav", frame_centres(33, 16, 1600), 0.03).tolist() == [1, -1, 0]


HEAD = "path,start,end,label\n"
WRONG = {
    "no column": ("path,start,end\na.wav,0,1\n", "expected one column label, got none"),
    "no label": (HEAD + "a.wav,0,1,x\na.wav,1,2,\n", "row 2: expected a label, got none"),
    "no path": (HEAD + ",0,1,x\n", "row 1: expected the path of a recording"),
    "negative": (HEAD + "a.wav,-0.5,1,x\n", "row 1: expected a start of 0 s or later, got -0.5"),
    "backwards": (HEAD + "a.wav,1,1,x\n", "row 1: expected an end after its start, got 1 to 1 s"),
    "no number": (HEAD + "a.wav,now,1,x\n", "expected numbers of seconds in the column start"),
    "infinite": (HEAD + "a.wav,0,inf,x\n", "expected an end after its start, got 0 to inf"),
    "overlap": (HEAD + "a.wav,1,2,y\na.wav,0,1.1,x\n", "'y' of a.wav at 1 s before the end of 'x'"),
    "no rows": (HEAD, "expected segments, got a table without rows"),
    "binary": ("\x00\x01", "expected a table of path, start, end and label|one column path"),
}


@pytest.mark.parametrize("problem", WRONG)
def test_what_is_wrong_is_one_line(problem: str, tmp_path: Path) -> None:
    text, message = WRONG[problem]
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError, match=message) as failure:
        read_alignment(tmp_path / "a.csv")
    assert len(str(failure.value).splitlines()) == 1


def test_files_of_other_kinds(tmp_path: Path) -> None:
    columns = {"path": ["a.wav"], "start": [0.0], "end": [1], "label": ["x"], "voice": ["m1"]}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    (tmp_path / "a.tsv").write_text("path\tstart\tend\tlabel\na.wav\t0\t1\tx\n")
    for name in ("a.parquet", "a.tsv"):
        found = read_alignment(tmp_path / name).at("a.wav", np.array([0.5]), 1.0)
        assert found.tolist() == [0]
    for name, message in (
        ("no.csv", "[Nn]o such file|to open"),
        ("a.TextGrid", "got the suffix .textgrid"),
    ):
        with pytest.raises(DataError, match=message):
            read_alignment(tmp_path / name)


def recordings(place: Path) -> AudioSource:
    """Two recordings of 13 and 20 samples at 1 kHz."""
    (place / "voices").mkdir()
    generator = torch.Generator().manual_seed(0)
    for name, length in (("a", 13), ("b", 20)):
        wave = torch.rand(length, generator=generator).numpy() - 0.5
        soundfile.write(place / "voices" / f"{name}.wav", wave, 1000)
    return open_audio(place / "voices", sample_rate=1000)


def test_units_of_recordings(tmp_path: Path) -> None:
    source, tokenizer = recordings(tmp_path), tokenizer_of("seanet-even")  # 8 samples a frame
    rows = "a.wav,0,0.008,x\na.wav,0.008,0.013,_\nb.wav,0,0.016,x\n"
    (tmp_path / "a.csv").write_text(HEAD + rows)
    found = evaluate_units(tokenizer, source, read_alignment(tmp_path / "a.csv"))
    assert found.labels == ("_", "x") and found.unlabelled == 1
    first, second = (
        tokenizer.encode(torch.from_numpy(source.read_whole(index))[None])[0, :, 0].tolist()
        for index in (0, 1)
    )
    expected = np.zeros((16, 2), np.int64)
    for code, label in zip([*first, *second[:2]], (1, 0, 1, 1), strict=True):
        expected[code, label] += 1
    assert (found.counts == expected).all()


def test_recordings_that_an_alignment_does_not_fit(tmp_path: Path) -> None:
    source, tokenizer = recordings(tmp_path), tokenizer_of("seanet-even")
    for rows, message in (
        ("a.wav,0,0.008,x\n", "expected segments of b.wav, got none; .* as in a.wav"),
        ("a.wav,0,8,x\nb.wav,0,1,x\n", "within the 0.01 seconds of a.wav, got an end at 8"),
    ):
        (tmp_path / "a.csv").write_text(HEAD + rows)
        with pytest.raises(DataError, match=message):
            evaluate_units(tokenizer, source, read_alignment(tmp_path / "a.csv"))


def test_other_tokenizers_have_no_units() -> None:
    from vocabula.tokenizers import build_tokenizer

    specs = {"encoder": "vqvae", "decoder": "vqvae"}
    specs["quantizer"] = {"name": "vector", "dim": 64, "codebook_size": 8}  # type: ignore[assignment]
    with pytest.raises(OptionError, match="expected a tokenizer of recordings"):
        evaluate_units(build_tokenizer(specs, 3), None, Alignment("a", {}, ()))  # type: ignore[arg-type]
