"""Melodies drawn by priors of a tokenizer of levels: is the timbre heard that was asked for?

    vocabula train sample:tones/melodies --preset speech-2level-8k --out RUN OPTIONS
    vocabula encode RUN sample:tones/melodies/train -o TOKENS
    vocabula encode RUN sample:tones/melodies/test -o HELD_OUT
    vocabula train-prior RUN TOKENS --held-out HELD_OUT --model pixelsnail -o PRIOR
    python benchmarks/melodies.py RUN PRIOR

OPTIONS may give the timbre to the decoders of both levels, and phases to the finer codes:
``training.steps=800 likelihood.wave_weight=3``
``'level1.decoder={name="vocos_film",given=["timbre"],hop=128,window=384,hidden=128,blocks=3}'``
``'level2.encoder={name="seanet",ratios=[4,8],hidden=24,units=1}'``
``'level2.decoder={name="seanet_film",given=["timbre"],ratios=[4,8],hidden=24,units=1}'``.

A recogniser of timbres, convolutions over log-mel pictures, learns from 800 melodies that neither
tokenizer nor priors have heard, in part with noise. It hears the bundled test melodies and further
ones, the same decoded from the codes of each level, and samples.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from common import write
from fitting import fit_classifier
from speech import recogniser, share, trained
from torch import Tensor, nn
from torch.nn.functional import avg_pool1d

from vocabula import load, load_generator
from vocabula.benchmark.record import record
from vocabula.data.tones import RATE, TIMBRES, melody
from vocabula.functional.mel import log_mel, magnitudes, mel_filters
from vocabula.priors import Drawing, Generator
from vocabula.signals import Condition
from vocabula.tokenizers import SignalTokenizer

HOP, WINDOW, BANDS, FLOOR = 128, 512, 64, 1e-4
LEARNT, HEARD = range(1000, 1800), range(96, 192)
"""Numbers of the melodies that the recogniser learns from, and of those that are decoded."""
SECONDS = 2
"""Of the parts that the recogniser learns from."""
MOST_NOISE = 2.0
"""Decibels of noise over the signal; the least is 28 dB below it."""


def melodies(numbers: range) -> tuple[Tensor, Tensor]:
    """Waves (N, T) and timbres (N,)."""
    found = [melody(number) for number in numbers]
    waves = torch.stack([torch.from_numpy(wave) for wave, _, _ in found])
    return waves, torch.tensor([timbre for _, _, timbre in found])


def pictures(waves: Tensor) -> Tensor:
    """Log-mel pictures (N, 1, bands, n) of waves (N, T)."""
    filters, curve = mel_filters(RATE, WINDOW, BANDS), torch.hann_window(WINDOW)
    spectra = magnitudes(waves, curve, HOP, before=WINDOW // 2)
    return (log_mel(spectra, filters, FLOOR)[:, None] + 6) / 2.5


def noisy(waves: Tensor, generator: torch.Generator) -> Tensor:
    """Waves with noise, which follows the loudness of half of them."""
    noise = torch.randn(waves.shape, generator=generator)
    loudness = avg_pool1d(waves.abs()[:, None], 401, 1, 200)[:, 0]
    following = noise * loudness / loudness.square().mean(1, keepdim=True).sqrt()
    noise = torch.where(torch.rand(len(waves), 1, generator=generator) < 0.5, following, noise)
    level = MOST_NOISE - 30 * torch.rand(len(waves), 1, generator=generator)
    power = waves.square().mean(1, keepdim=True) * 10 ** (level / 10)
    return waves + noise * power.sqrt()


def judge(steps: int) -> nn.Module:
    """The recogniser."""
    waves, timbres = melodies(LEARNT)

    def draw(generator: torch.Generator) -> tuple[Tensor, Tensor]:
        chosen = torch.randint(len(waves), (24,), generator=generator)
        first = int(torch.randint(waves.shape[1] - SECONDS * RATE, (1,), generator=generator))
        x = pictures(noisy(waves[chosen, first : first + SECONDS * RATE], generator))
        louder = 0.3 * (torch.rand(24, 1, 1, 1, generator=generator) * 2 - 1)
        return x + louder, timbres[chosen]

    torch.manual_seed(0)
    return fit_classifier(recogniser(len(TIMBRES)), draw, steps, 3e-3, decay=0.02)


@torch.inference_mode()
def heard(net: nn.Module, waves: Tensor, timbres: Tensor) -> dict[str, float]:
    """The share of waves (N, T) whose timbre is heard, of all and of each timbre."""
    right = net(pictures(waves)).argmax(1) == timbres
    each = {name: share(right[timbres == number]) for number, name in enumerate(TIMBRES)}
    return {"all": share(right), **each}


@torch.inference_mode()
def by_level(tokenizer: SignalTokenizer, net: nn.Module) -> dict[str, Any]:
    """What is heard of melodies decoded from the codes of the first levels."""
    waves, timbres = melodies(HEARD)
    known = Condition({"timbre": timbres}) if tokenizer.decoder_attributes else None
    codes = tokenizer.encode(waves[:, None])
    assert isinstance(codes, tuple)
    found: dict[str, Any] = {"originals": heard(net, waves, timbres)}
    for count in range(1, len(codes) + 1):
        again = tokenizer.decode(codes[:count], known, size=waves.shape[1:])[:, 0]
        error = float((again - waves).square().mean() / waves.var())
        found[f"level{count}"] = heard(net, again, timbres) | {"relative_error": round(error, 4)}
    return found


def drawn(generator: Generator, net: nn.Module, each: int, drawing: Drawing) -> dict[str, Any]:
    """What is heard of samples of 4 seconds of every timbre."""
    asked = [number for number in range(len(TIMBRES)) for _ in range(each)]
    samples = generator.sample(
        len(asked), attributes={"timbre": asked}, size=(4 * RATE,), seed=0, drawing=drawing
    )
    waves = torch.cat([group.signals[:, 0] for group in samples.each()])
    return heard(net, waves, torch.tensor(asked))


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("prior", type=Path)
    parser.add_argument("--each", type=int, default=12, help="samples of each timbre")
    parser.add_argument("--top-p", type=float, nargs="+", default=[1.0, 0.9])
    parser.add_argument("--guidance", type=float, nargs="+", default=[1.0, 2.0])
    parser.add_argument("--steps", type=int, default=700, help="of the recogniser")
    options = parser.parse_args()
    tokenizer, generator = load(options.run).eval(), load_generator(options.prior)
    net = judge(options.steps)
    figures: dict[str, Any] = {
        "tokenizer": trained(options.run),
        "priors": [
            json.loads(place.read_text(encoding="utf-8"))
            for place in sorted(options.prior.glob("level-*/metrics.json"))
        ],
        "melodies": len(HEARD),
        "decoded": by_level(tokenizer, net),
        "samples_of_each_timbre": options.each,
        "samples": [],
    }
    for top_p in options.top_p:
        for guidance in options.guidance:
            drawing = Drawing(top_p=top_p if top_p < 1 else None, guidance=guidance)
            found = drawn(generator, net, options.each, drawing)
            figures["samples"].append({"top_p": top_p, "guidance": guidance, "heard": found})
            print(figures["samples"][-1], flush=True)
    words = f"--each {options.each} --top-p {' '.join(map(str, options.top_p))}"
    words += f" --guidance {' '.join(map(str, options.guidance))}"
    command = f"python benchmarks/melodies.py RUN PRIOR {words}"
    write(record("melodies", command, torch.get_num_threads(), figures))
    print(json.dumps(figures["decoded"]))


if __name__ == "__main__":
    main()
