"""Coverage-guided fuzzing of the reader of compressed files, with atheris.

    python benchmarks/fuzz_codec.py                 100,000 inputs
    python benchmarks/fuzz_codec.py -runs=1000000   options are libFuzzer's

The first byte of an input chooses what it is for: a file as it is; a file whose checksums are put
right first, so that it gets past them; words for the adaptive or the static decoder alone. Every
input must end in codes or in a `CodecError`. A file as it is may only decode if it is one of the
corpus. Inputs are limited to 4 s and 64 MiB of codes, the process to 2 GiB.
"""

from __future__ import annotations

import io
import resource
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["vocabula.codec"]):
    from vocabula import codec
    from vocabula.codec.header import PREFIX, parse_header
    from vocabula.codec.layout import checksum
    from vocabula.codec.segment import Block, parse_head, seed_of
    from vocabula.errors import CodecError

import numpy as np

LIMITS = codec.Limits(signal_size=2**16, signals=2**8, books=16, symbols=2**18, memory=2**20)
SYMBOLS = 50
COUNTS = np.arange(SYMBOLS) ** 2
STATISTICS = codec.CodeStatistics(
    "fuzz", (COUNTS, COUNTS), (np.arange(SYMBOLS, dtype=np.uint32)[::-1],) * 2
)
GRIDS = ((2, (5, 6)), (1, (3, 1)))
BLOCK = Block(((SYMBOLS,),), (GRIDS,))
MODELS = (codec.AdaptiveModel(STATISTICS), codec.AdaptiveModel(), codec.StaticModel(STATISTICS))
seen = {"codes": 0, "refused": 0}


def corpus() -> list[bytes]:
    """Small files of every model, of one book and two, of one signal and several."""
    generator = np.random.default_rng(0)
    files = []
    for entropy in codec.ENTROPIES:
        for books in (1, 2):
            shape = (5, 7) if books == 1 else (5, 7, 2)
            codes = [generator.integers(0, SYMBOLS, shape), generator.integers(0, 3, shape)]
            for count in (1, 2):
                file = io.BytesIO()
                codec.write_codes(
                    file,
                    codes[:count],
                    [SYMBOLS] * books,
                    entropy=entropy,
                    statistics=STATISTICS if books == 2 else None if entropy != "static" else ONE,
                )
                files.append(file.getvalue())
    return files


ONE = codec.CodeStatistics("fuzz", STATISTICS.counts[:1], STATISTICS.orders[:1])
KNOWN = set(corpus())


def mended(content: bytes) -> bytes:
    """The same file with right checksums, as far as its lengths make sense."""
    length = int.from_bytes(content[6:10], "little")
    if not PREFIX < length - 4 < len(content):
        return content
    start = content[: length - 4]
    start += checksum(start).to_bytes(4, "little")
    done, rest, number = start, content[length:], 0
    try:
        header = parse_header(start, "mended", LIMITS)
    except CodecError:
        return done + rest
    while len(rest) > 6 and rest[0] < 128 and len(rest) >= rest[0] + 5:
        head, rest = rest[: rest[0] + 1], rest[rest[0] + 5 :]
        try:
            parsed = parse_head(head[1:], header, "mended", LIMITS)
        except CodecError:
            parsed = None
        at = 0
        if parsed is not None:  # the checksums of the chunks are in the head
            new = bytearray(head)
            for chunk in parsed.chunks:
                place = new.find(chunk.crc.to_bytes(4, "little"))
                new[place : place + 4] = checksum(rest[at : at + chunk.length]).to_bytes(
                    4, "little"
                )
                at += chunk.length
            head = bytes(new)
        done += head + checksum(head, seed_of(start, number)).to_bytes(4, "little") + rest[:at]
        rest = rest[at:]
        number += 1
    return done + rest


def one_input(data: bytes) -> None:
    """Read one input; anything but codes or a `CodecError` ends the run."""
    if not data:
        return
    kind, content = data[0] % 5, data[1:]
    try:
        if kind < 2:
            whole = content if kind == 0 else mended(content)
            for statistics in (STATISTICS, ONE, None):
                found = codec.read_codes(whole, statistics=statistics, limits=LIMITS)
                assert kind == 1 or whole in KNOWN, "damage went unnoticed"
                assert all(code is not None for code in found.codes)
        else:
            (codes,) = MODELS[kind - 2].decode(BLOCK, 0, content)
            assert codes.shape == (63,) and int(codes.max()) < SYMBOLS
        seen["codes"] += 1
    except CodecError as error:
        assert "\n" not in str(error)
        seen["refused"] += 1


def main() -> None:
    """Fuzz with the options given, or 100,000 inputs."""
    runs = next((int(a[6:]) for a in sys.argv if a.startswith("-runs=")), 100_000)
    with tempfile.TemporaryDirectory() as folder:
        for number, content in enumerate(sorted(KNOWN)):
            for kind in range(2):
                (Path(folder) / f"{number}-{kind}").write_bytes(bytes([kind]) + content)
        for kind, model in enumerate(MODELS, 2):
            block = Block(BLOCK.books, BLOCK.grids, [np.arange(63, dtype=np.uint32) % SYMBOLS])
            (Path(folder) / f"words-{kind}").write_bytes(bytes([kind]) + model.encode(block, 0))
        options = [
            "-max_len=2048",
            "-timeout=4",
            "-rss_limit_mb=2048",
            "-seed=1",
            "-print_final_stats=1",
        ]
        given = [a for a in sys.argv[1:] if not a.startswith("-runs=")]
        left = [runs]

        def counting(data: bytes) -> None:
            one_input(data)
            left[0] -= 1
            if left[0] == 0:
                memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
                print(f"{runs} inputs: {seen}, most memory {memory:.0f} MiB", flush=True)

        atheris.Setup([sys.argv[0], *options, f"-runs={runs}", *given, folder], counting)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
