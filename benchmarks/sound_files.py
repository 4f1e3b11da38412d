"""Sizes of compressed files of recordings, by entropy model, against the model's own entropy.

    python benchmarks/sound_files.py RUN TRAIN TEST [--minutes 1] [--seed 0]

RUN is a trained tokenizer of sound with one level; TRAIN and TEST are folders of recordings. A
portable prior learns the codes of TRAIN; the recordings of TEST go into one file with each model,
with their names and without, and one recording alone into a file of its own. Every file is decoded
again. Writes benchmarks/results/sound-files.json.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy

import vocabula
from vocabula import codec
from vocabula.codec.batching import encoded
from vocabula.codec.layout import runs
from vocabula.codec.span import Block, Span, empty_block
from vocabula.codec.stages import tokenizer_header
from vocabula.codec.writer import CodedSignal
from vocabula.data.kinds import open_data
from vocabula.evaluation.batches import read_batches
from vocabula.priors import CodeGrid, PortablePrior
from vocabula.tokenizers import SignalTokenizer

RESULT = Path(__file__).parent / "results" / "sound-files.json"
BATCH, RATE, DECAY, AVERAGE = 48, 3e-3, 0.3, 0.97
"""Of the prior's training: recordings of a batch, learning rate, weight decay, averaging."""


def read(tokenizer: SignalTokenizer, folder: str) -> tuple[list[torch.Tensor], list[str]]:
    """The recordings of a folder, and their names."""
    source = open_data(tokenizer.signal, folder)
    signals, names = list[torch.Tensor](), list[str]()
    for batch in read_batches(source):
        signals += list(batch.values)
        names += batch.paths
    return signals, names


def block_of(tokenizer: SignalTokenizer, signals: list[CodedSignal]) -> Block:
    """The codes of all recordings, as an entropy model sees them."""
    header = tokenizer_header(tokenizer, codec.UniformModel(), stages=None)
    block = empty_block(header, Span(tuple(runs([signal.size for signal in signals]))))
    for stream in range(len(header.symbols)):
        flat = np.concatenate([signal.streams[stream].reshape(-1) for signal in signals])
        block.codes.append(flat.astype(np.uint32))
    return block


def nats(prior: PortablePrior, signals: list[CodedSignal]) -> torch.Tensor:
    """Mean nats of a symbol of each book, (books,)."""
    grids = [(1, (1, len(signal.streams[0]))) for signal in signals]
    context = prior.context(grids, [])
    each = zip(*(signal.streams for signal in signals), strict=True)
    books = [np.concatenate([one.reshape(-1) for one in book]) for book in each]
    symbols = prior.codes.split(torch.from_numpy(np.stack(books, -1).astype(np.int64))[None])[0]
    every = slice(None)
    for slot in range(symbols.shape[-1]):
        context.own.put(slot, every, symbols[:, slot])
    losses = [
        cross_entropy(prior.network_logits(context, slot, every), symbols[:, slot])
        for slot in range(symbols.shape[-1])
    ]
    return torch.stack(losses)


@torch.no_grad()
def begin_at_frequencies(prior: PortablePrior, signals: list[CodedSignal]) -> None:
    """Let every network predict how often its symbols occur: later books hardly allow more."""
    for slot, network in enumerate(prior.networks):
        symbols = np.concatenate([signal.streams[slot].reshape(-1) for signal in signals])
        counts = torch.from_numpy(np.bincount(symbols, minlength=prior.codes.symbol_sizes[slot]))
        logits = (counts + 1).log()
        network.last.bias.copy_(logits - logits.mean())
        network.last.weight.mul_(0.1)


def learn(
    tokenizer: SignalTokenizer, signals: list[CodedSignal], minutes: float, seed: int
) -> tuple[PortablePrior, dict[str, Any]]:
    """A portable prior: averaged weights, the best by a twentieth of the recordings."""
    torch.manual_seed(seed)
    chance = np.random.default_rng(seed)
    order = chance.permutation(len(signals))
    held, kept = np.split(order, [len(order) // 20])
    sizes = tokenizer.levels[0].codebook_sizes
    codes = CodeGrid(sizes, (32,), tokenizer.levels[0].code_shape)
    prior = PortablePrior(codes, hidden=96, layers=2, embedding=16, reach=4)
    begin_at_frequencies(prior, [signals[i] for i in kept])
    biases = [p for p in prior.parameters() if p.dim() < 2]
    others = [p for p in prior.parameters() if p.dim() > 1]
    groups = [{"params": others, "weight_decay": DECAY}, {"params": biases, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, RATE)
    averaged = copy.deepcopy(prior)
    best, state, started, step = math.inf, prior.state_dict(), time.process_time(), 0
    while (spent := (time.process_time() - started) / 60) < minutes:
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 + math.cos(math.pi * spent / minutes)) / 2
        chosen = chance.choice(kept, BATCH, replace=False)
        loss = nats(prior, [signals[i] for i in chosen]).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(prior.parameters(), 1.0)
        optimizer.step()
        step += 1
        with torch.no_grad():
            for slow, fast in zip(averaged.parameters(), prior.parameters(), strict=True):
                slow.lerp_(fast, max(1 / (step + 1), 1 - AVERAGE))
        if step % 20 == 0:
            with torch.no_grad():
                found = float(nats(averaged, [signals[i] for i in held]).mean())
            print(f"step {step}: {found:.4f} nats held out", flush=True)
            if found < best:
                best = found
                state = {name: value.clone() for name, value in averaged.state_dict().items()}
    prior.load_state_dict(state)
    parameters = sum(p.numel() for p in prior.parameters())
    return prior.eval(), {"steps": step, "held_out_nats": best, "parameters": parameters}


def measure(
    name: str,
    model: codec.EntropyModel,
    tokenizer: SignalTokenizer,
    clips: list[torch.Tensor],
    names: list[str],
    block: Block,
) -> dict[str, Any]:
    """Sizes of the files of one model."""
    options: dict[str, Any] = {"entropy": model}
    started = time.process_time()
    content = codec.to_bytes(clips, tokenizer, **options)
    named = codec.to_bytes(clips, tokenizer, names=names, **options)
    alone = codec.to_bytes(clips[:1], tokenizer, **options)
    again = codec.read_codes(content, models=[model], statistics=tokenizer.code_statistics)
    seconds = time.process_time() - started
    codes = np.concatenate([grid.reshape(-1, len(block.codes)) for grid in again.codes])
    assert np.array_equal(codes.T, np.stack(block.codes)), f"{name}: other codes came back"
    bits = sum(model.bits(block, stage) for stage in range(len(block.books)))
    found = {
        "model": name,
        "entropy_bytes": bits / 8,
        "file_bytes": len(content),
        "over_entropy": 8 * len(content) / bits - 1,
        "file_bytes_with_names": len(named),
        "over_entropy_with_names": 8 * len(named) / bits - 1,
        "bits_per_second": codec.inspect(content).bits_per_unit,
        "one_recording_bytes": len(alone),
        "stage_bytes": list(codec.inspect(content).stage_bytes),
        "cpu_seconds": seconds,
    }
    print(json.dumps(found), flush=True)
    return found


def main() -> None:
    """Measure, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("run", "train", "test"):
        parser.add_argument(name)
    parser.add_argument("--minutes", type=float, default=1.0, help="processor time for the prior")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--name", default="", help="what the result calls the run")
    parser.add_argument("-o", "--out", type=Path, default=RESULT)
    given = parser.parse_args()
    tokenizer = vocabula.load(given.run)
    statistics = tokenizer.code_statistics
    assert statistics is not None, "vocabula train counts the codes"
    fitted = list(encoded(tokenizer, read(tokenizer, given.train)[0]))
    clips, names = read(tokenizer, given.test)
    block = block_of(tokenizer, list(encoded(tokenizer, clips)))
    prior, learned = learn(tokenizer, fitted, given.minutes, given.seed)
    models = {
        "fixed length": codec.UniformModel(),
        "static": codec.StaticModel(statistics),
        "adaptive, nothing known": codec.AdaptiveModel(),
        "adaptive": codec.AdaptiveModel(statistics),
        "portable": codec.PortableModel([prior]),
    }
    rows = [measure(n, m, tokenizer, clips, names, block) for n, m in models.items()]
    samples = sum(clip.shape[1] for clip in clips)
    result = {
        "run": given.name or Path(given.run).name,
        "fingerprint": tokenizer.fingerprint(),
        "recordings": len(clips),
        "seconds": tokenizer.signal.units((samples,)),
        "codes": len(block.codes) * len(block.codes[0]),
        "seed": given.seed,
        "prior": learned,
        "files": rows,
        "versions": {"vocabula": vocabula.__version__, "torch": torch.__version__},
        "machine": platform.processor() or platform.machine(),
    }
    given.out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"wrote {given.out}")


if __name__ == "__main__":
    main()
