"""``vocabula inspect``: what a compressed file holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vocabula.cli.runs import MaxMemory, Stages
from vocabula.errors import picture_size, plural

if TYPE_CHECKING:
    from vocabula.codec import Inspection

EXAMPLES = """[bold]Examples[/bold]

  vocabula inspect photo.vcb
"""


def inspect(
    file: Annotated[str, typer.Argument(metavar="FILE.vcb", help="A compressed file.")],
    stages: Stages = None,
    max_memory: MaxMemory = None,
) -> None:
    """Print a compressed file's header and where its bits go, without decoding it."""
    from vocabula.cli.facts import print_facts
    from vocabula.cli.runs import limits_of
    from vocabula.codec import inspect as inspect_file

    found = inspect_file(file, stages=stages, limits=limits_of(max_memory))
    print_facts(rows(found))


def rows(found: Inspection) -> list[tuple[str, str]]:
    """Names and values that describe a file."""
    from vocabula.codec.layout import VERSION, Attachment, ModelId, Role

    header = found.header
    models = [f"{ModelId(m.id).name.lower()} {m.hash.hex()}" for m in header.models]
    held = f"{header.kept} of {len(header.stages)}"
    table = [
        ("format", f"version {VERSION}"),
        ("signals", f"{found.what}{_sizes(found)}"),
        ("tokenizer", " ".join(filter(None, (header.packaged, header.fingerprint))) or "none"),
        ("entropy model", ", ".join(models)),
        *([("build", f"torch {header.build}")] if header.build else []),
        ("stages", held if header.kept == len(header.stages) else f"{held}, cut"),
        ("segments", str(found.segments)),
        ("header", _part(found.header_bytes, found)),
        ("segment heads", _part(found.head_bytes, found)),
    ]
    if Attachment.PROFILES in header.attachments:
        size = len(header.attachments[Attachment.PROFILES])
        table.insert(-1, ("colour profiles, in it", _part(size, found)))
    if Attachment.CODEBOOK in header.attachments:
        stage, size = header.stages[0], len(header.attachments[Attachment.CODEBOOK])
        blocks = f"{plural(stage.symbols[0], 'block')} of {picture_size(*stage.strides)} pixels"
        table.insert(-1, ("codebook, in it", f"{_part(size, found)}: {blocks}"))
    for number, (stage, size) in enumerate(zip(header.stages, found.stage_bytes, strict=False)):
        if stage.role == Role.RESIDUAL:
            values = found.positions[number] * len(stage.symbols)
            what = (
                f"{plural(values, 'exact value')} of pixels, {8 * size / values:.4g} bits per value"
            )
            table.append(("pixels", f"{_part(size, found)}: {what}"))
            continue
        books = " x ".join(str(k) for k in stage.symbols)
        codes = found.positions[number] * len(stage.symbols)
        each = f", {8 * size / codes:.4g} bits per code"
        what = f"{plural(codes, 'code')} of {books} codewords"
        table.append((f"stage {number + 1}", f"{_part(size, found)}: {what}{each}"))
    table.append(("file", _part(found.file_bytes, found)))
    return table


def _sizes(found: Inspection) -> str:
    """The sizes of the signals along their axes, or their seconds; nothing without axes."""
    kind = found.header.signal
    axes = kind.axes
    if not axes:
        return ""
    if kind.sampled:
        lengths = [kind.units(size) for _, size in found.sizes]
        each = "" if found.signals == 1 else f", {min(lengths):.4g} to {max(lengths):.4g} each"
        return f": {found.units:,.6g} seconds at {kind.rate} Hz{each}"
    sizes = [f"{count} of {picture_size(*size[:axes])}" for count, size in found.sizes[:4]]
    more = f" and {len(found.sizes) - 4} more sizes" if len(found.sizes) > 4 else ""
    return f": {', '.join(sizes)}{more}"


def _part(size: int, found: Inspection) -> str:
    share, unit = size / found.file_bytes, found.header.signal.unit
    return f"{8 * size} bits ({size} bytes, {share:.1%}), {8 * size / found.units:.4g} per {unit}"
