"""Runs that begin as another tokenizer: what opens what afterwards, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from builders import tiny_sections
from vocabula import codec
from vocabula.codec.prior import load_prior
from vocabula.data import open_source, read_tokens
from vocabula.errors import CodecError, OptionError, TokensError
from vocabula.files.run_files import read_manifest
from vocabula.pipelines import decode_tokens, encode_dataset
from vocabula.tokenizers import SignalTokenizer, load
from vocabula.tokenizers.look import Kin
from vocabula.training.config import config_from_sections
from vocabula.training.run import train
from vocabula.training.start import open_start

LOOK = [{"train": ["look"], "steps": 3}]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 pictures of 16 x 16."""
    place = tmp_path_factory.mktemp("data") / "pictures.npy"
    np.save(place, np.random.default_rng(0).integers(0, 256, (16, 16, 16, 1), dtype=np.uint8))
    return place


def learn(
    sections: dict[str, Any],
    pictures: Path,
    out: Path,
    *,
    start: Path | None = None,
    **options: Any,
) -> SignalTokenizer:
    """Train for three steps, or as `options` of the training say."""
    resume = options.pop("resume", False)
    tables = {**sections, "training": {**sections["training"], "steps": 3, **options}}
    train(config_from_sections(tables), pictures, out, start=start, resume=resume, progress=False)
    return load(out)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Path:
    """The runs ``faithful``, ``natural``, a look of it, and ``third``, a look of that."""
    root = tmp_path_factory.mktemp("runs")
    learn(small(), pictures, root / "faithful")
    learn(small(), pictures, root / "natural", start=root / "faithful", stages=LOOK)
    learn(small(), pictures, root / "third", start=root / "natural", stages=LOOK)
    return root


def small() -> dict[str, Any]:
    return tiny_sections(1e-2, average_decay=0.9)


def images(pictures: Path) -> torch.Tensor:
    return torch.from_numpy(np.load(pictures)).movedim(-1, 1)


@pytest.mark.parametrize("entropy", ["adaptive", "static"])
def test_each_look_opens_the_files_of_all_others(runs: Path, pictures: Path, entropy: str) -> None:
    faithful, natural, third = (load(runs / name) for name in ("faithful", "natural", "third"))
    x = images(pictures)
    assert len({t.fingerprint() for t in (faithful, natural, third)}) == 3
    assert faithful.encode(x).equal(third.encode(x))
    assert not faithful.reconstruct(x).equal(natural.reconstruct(x))
    files = [codec.to_bytes(x, t, entropy=entropy) for t in (faithful, natural, third)]
    assert files[0] == files[1] == files[2]  # the same codes, counts and name of the codes
    for look in (faithful, natural, third):
        shown = torch.stack(codec.read(files[0], look))
        assert shown.equal(look.decode_stored(faithful.encode(x)))


def test_only_looks_say_whose_codes_they_have(runs: Path) -> None:
    faithful, third = load(runs / "faithful"), load(runs / "third")
    said = {
        name: json.loads((runs / name / "config.json").read_text())
        for name in ("faithful", "third")
    }
    assert "codes" not in said["faithful"]
    before = [faithful.fingerprint(), load(runs / "natural").fingerprint()]
    assert said["third"]["codes"] == {"digest": faithful.codes_digest(), "fingerprints": before}
    assert third.code_names().written == before[0]
    assert read_manifest(runs / "third")["from"] == before[1]
    with torch.no_grad():  # trained further, they are other codes
        third.quantizer.codebook.add_(1)
    assert third.code_names().others == ()


def test_token_files_serve_every_look(runs: Path, pictures: Path, tmp_path: Path) -> None:
    faithful, natural = load(runs / "faithful"), load(runs / "natural")
    encode_dataset(natural, open_source(pictures), tmp_path / "codes.parquet")
    assert read_tokens(tmp_path / "codes.parquet").fingerprint == faithful.fingerprint()
    shown = []
    for name, look in (("a", faithful), ("b", natural)):
        shown += [decode_tokens(look, tmp_path / "codes.parquet", tmp_path / name)[0].read_bytes()]
    assert shown[0] != shown[1]


def test_exact_pixels_need_the_look_they_were_coded_with(runs: Path, pictures: Path) -> None:
    faithful, natural, third = (load(runs / name) for name in ("faithful", "natural", "third"))
    x = images(pictures)[:2]
    for own, others in ((faithful, (natural, third)), (natural, (faithful, third))):
        file = codec.to_bytes(x, own, lossless=True)
        assert torch.stack(codec.read(file, own)).equal(x)
        for other in others:
            with pytest.raises(CodecError, match=r"got another with the same codes; .*stages"):
                codec.read(file, other)
            assert len(codec.read(file, other, stages=1)) == 2


def test_a_codebook_touched_by_one_step_is_refused(
    runs: Path, pictures: Path, tmp_path: Path
) -> None:
    stages = [{"train": ["quantizer"], "steps": 1}, {"train": ["look"], "steps": 2}]
    faithful = load(runs / "faithful")
    other = learn(small(), pictures, tmp_path / "o", start=runs / "faithful", stages=stages)
    assert other.code_names().others == ()
    assert "codes" not in json.loads((tmp_path / "o" / "config.json").read_text())
    with pytest.raises(CodecError, match="expected the tokenizer with fingerprint") as caught:
        codec.read(codec.to_bytes(images(pictures), faithful), other)
    assert "\n" not in str(caught.value)
    encode_dataset(faithful, open_source(pictures), tmp_path / "codes.parquet")
    with pytest.raises(TokensError, match="expected tokens of tokenizer"):
        decode_tokens(other, tmp_path / "codes.parquet", tmp_path / "shown")


def test_a_resumed_look_stays_one(runs: Path, pictures: Path, tmp_path: Path) -> None:
    stages = [{"train": ["look"], "steps": 6}]
    whole = learn(
        small(), pictures, tmp_path / "w", start=runs / "faithful", stages=stages, steps=6
    )
    for steps, resume in ((3, False), (6, True)):
        cut = learn(
            *(small(), pictures, tmp_path / "c"),
            start=runs / "faithful",
            stages=stages,
            steps=steps,
            resume=resume,
        )
    assert cut.fingerprint() == whole.fingerprint()
    assert cut.code_names() == whole.code_names() and whole.code_names().others
    for start, got in ((None, "no tokenizer"), (runs / "natural", "the tokenizer")):
        with pytest.raises(OptionError, match=rf"--from: expected the tokenizer .*, got {got}"):
            learn(
                *(small(), pictures, tmp_path / "c"),
                start=start,
                stages=stages,
                steps=6,
                resume=True,
            )


def test_other_networks_are_refused_and_another_decoder_learns_anew(
    runs: Path, pictures: Path, tmp_path: Path
) -> None:
    wide = small() | {"quantizer": {"name": "vector", "dim": 4, "codebook_size": 32}}
    with pytest.raises(OptionError, match=r"whose quantizer\.codebook_size is 16, got 32"):
        learn(wide, pictures, tmp_path / "o", start=runs / "faithful")
    assert not (tmp_path / "o").exists()
    larger = small() | {"decoder": {**small()["decoder"], "hidden": 8}}
    found = learn(larger, pictures, tmp_path / "l", start=runs / "faithful", stages=LOOK)
    assert found.code_names().written == load(runs / "faithful").fingerprint()
    x = images(pictures)
    assert codec.read(codec.to_bytes(x, load(runs / "faithful")), found)[0].shape == (1, 16, 16)


def test_a_prior_serves_the_looks_of_its_tokenizer(
    runs: Path, pictures: Path, tmp_path: Path
) -> None:
    from vocabula.priors import Generator, load_generator
    from vocabula.training.config import load_config
    from vocabula.training.prior_run import train_prior

    faithful, natural = load(runs / "faithful"), load(runs / "natural")
    encode_dataset(faithful, open_source(pictures), tmp_path / "codes.parquet")
    config = load_config("portable", ["training.steps=2", "training.memory_check=false"])
    train_prior(
        config, runs / "natural", tmp_path / "codes.parquet", tmp_path / "p", progress=False
    )
    prior = load_generator(tmp_path / "p").priors[0]
    assert prior.origin.tokenizer == faithful.fingerprint()
    x = images(pictures)
    files = [
        codec.to_bytes(x, look, entropy=load_prior(tmp_path / "p", look))
        for look in (faithful, natural)
    ]
    assert files[0] == files[1]
    assert Generator(faithful, [prior]).tokenizer is faithful


def test_the_tokenizer_before_an_adversary_and_the_last_one_share_codes(
    pictures: Path, tmp_path: Path
) -> None:
    sections = small() | {
        "adversary": {
            "start": 2,
            "warmup": 1,
            "ramp": 1,
            "discriminator": {"name": "patch", "hidden": 2, "layers": 1},
        }
    }
    sections["training"] |= {"average_decay": 0.0}
    parts = ["encoder", "quantizer", "decoder", "likelihood"]
    stages = [{"train": parts, "steps": 2}, {"train": ["look"], "steps": 4}]
    last = learn(sections, pictures, tmp_path / "run", stages=stages, steps=6)
    before = load(tmp_path / "run" / "before-adversary")
    assert last.code_names().others == (before.fingerprint(),)
    x = images(pictures)
    shown = codec.read(codec.to_bytes(x, last), before)
    assert torch.stack(shown).equal(before.decode_stored(last.encode(x)))


def test_nothing_to_begin_as_is_none() -> None:
    assert open_start(None) is None


@pytest.mark.parametrize("said", [None, {}, {"digest": "0" * 64, "fingerprints": ["../x"]}])
def test_a_claim_that_cannot_be_read_counts_for_nothing(said: Any) -> None:
    assert Kin.of({"codes": said}) is None
