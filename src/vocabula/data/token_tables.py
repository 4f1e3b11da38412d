"""The formats that files of tokens come in: how each is written, and read as a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vocabula.data.shard_plan import PARQUET
from vocabula.data.tables import TableFile
from vocabula.data.token_writer import TokenWriter
from vocabula.errors import TokensError


@dataclass(frozen=True, slots=True)
class TokenFormat:
    """One format.

    Attributes:
        suffix: how names of its files end.
        writer: writes a file; takes what `TokenWriter` takes.
        table: opens a file.
    """

    suffix: str
    writer: Callable[..., TokenWriter]
    table: Callable[[Path], TableFile]


def _parquet(path: Path) -> TableFile:
    return TableFile(path, kind=TokensError, expected="a file of tokens", fix="encode again")


def _tar(path: Path) -> TableFile:
    # imported here: pictures and recordings of tars are read by packages that tokens do without
    from vocabula.data.token_tar_table import TarTokenTable

    return TarTokenTable(path)


def _tar_writer(*args: Any, **options: Any) -> TokenWriter:
    from vocabula.data.token_tar_writer import TarTokenWriter

    return TarTokenWriter(*args, **options)


FORMATS: Mapping[str, TokenFormat] = {
    PARQUET: TokenFormat(".parquet", TokenWriter, _parquet),
    "webdataset": TokenFormat(".tar", _tar_writer, _tar),
}
"""By name. The first one opens files whose names end otherwise."""


def token_table(path: Path) -> TableFile:
    """A file of tokens as a table, in the format that its name says.

    Raises:
        TokensError: it is damaged or foreign.
    """
    others = [form for form in FORMATS.values() if path.name.lower().endswith(form.suffix)]
    return [*others, FORMATS[PARQUET]][0].table(path)
