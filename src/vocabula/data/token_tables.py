"""The formats that files of tokens come in: how each is written, and read as a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from vocabula.data.shard_plan import PARQUET
from vocabula.data.tables import TableFile
from vocabula.data.token_tar_table import TarTokenTable
from vocabula.data.token_tar_writer import TarTokenWriter
from vocabula.data.token_writer import TokenWriter
from vocabula.errors import TokensError


@dataclass(frozen=True, slots=True)
class TokenFormat:
    """One format.

    Attributes:
        suffix: how names of its files end.
        writer: writes a file.
        table: opens a file.
    """

    suffix: str
    writer: type[TokenWriter]
    table: Callable[[Path], TableFile]


def _parquet(path: Path) -> TableFile:
    return TableFile(path, kind=TokensError, expected="a file of tokens", fix="encode again")


FORMATS: Mapping[str, TokenFormat] = {
    PARQUET: TokenFormat(".parquet", TokenWriter, _parquet),
    "webdataset": TokenFormat(".tar", TarTokenWriter, TarTokenTable),
}
"""By name. The first one opens files whose names end otherwise."""


def token_table(path: Path) -> TableFile:
    """A file of tokens as a table, in the format that its name says.

    Raises:
        TokensError: it is damaged or foreign.
    """
    others = [form for form in FORMATS.values() if path.name.lower().endswith(form.suffix)]
    return [*others, FORMATS[PARQUET]][0].table(path)
