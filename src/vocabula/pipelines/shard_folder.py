"""A folder of token parts: which shards are finished, what is known of each, and the manifest.

A part appears by a rename when it is complete, so a part that is whole marks its shard as finished.
Receipts only spare reading it again: each process appends to a file of its own what it knows of
parts (bytes, date, SHA-256), and the manifest takes their place at the end.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import re
import secrets
import shutil
import socket
from array import array
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vocabula.data.shard_plan import FORMAT, PLAN, VERSION, ShardPlan
from vocabula.data.tables import TableFile
from vocabula.data.token_header import header_of
from vocabula.data.token_parts import MANIFEST
from vocabula.data.token_tables import FORMATS, token_table
from vocabula.errors import OutputError, TokensError
from vocabula.files import dump_json, is_hidden, new_file, output_errors, replace_file, sync_folder

RECEIPTS = "receipts"
"""Name of the folder of receipts, which the manifest replaces."""

_OF_MANIFEST = -1
"""In place of a part's date: any up to the manifest's own."""
_PARTS = '  "parts": [\n'  # of the manifest; then there is a part on each line
_KNOWN = np.dtype(
    [("signals", "i8"), ("broken", "i8"), ("bytes", "i8"), ("modified", "i8"), ("sha256", "u1", 32)]
)

Known = tuple[int, int, int, int, str]
"""What is known of a part: signals, broken ones, bytes, date and SHA-256."""


class ShardFolder:
    """The parts of a plan.

    Args:
        path: the folder; it holds the plan.
        plan: its plan.

    Attributes:
        finished: (shards,) bool, the shards whose part is whole, as `look` and `add` have found.
    """

    def __init__(self, path: Path, plan: ShardPlan) -> None:
        self.path, self.plan = path, plan
        self._suffix = FORMATS[plan.facts.format].suffix
        self._digits = max(5, len(str(len(plan) - 1)))
        self._known: NDArray[Any] = np.zeros(len(plan), _KNOWN)
        self._counts = plan.counts()
        self.finished: NDArray[np.bool_] = np.zeros(len(plan), np.bool_)
        name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}.jsonl"
        self._receipts = path / RECEIPTS / name

    def part(self, shard: int) -> Path:
        """The part of a shard."""
        return self.path / self._name(shard)

    def _name(self, shard: int) -> str:
        return f"part-{shard:0{self._digits}}{self._suffix}"

    def broken(self, shard: int) -> Path:
        """The table of a shard's broken signals; there is none without such."""
        return self.path / f"broken-{shard:0{self._digits}}.parquet"

    def failed(self, shard: int) -> Path:
        """How often a shard failed, and why."""
        return self.path / f"failed-{shard:0{self._digits}}.json"

    # ------------------------------------------------------------- what is finished

    def look(self) -> None:
        """Find the finished shards; remove parts that are cut short or damaged.

        Raises:
            TokensError: a part is of another plan or tokenizer, or was changed.
        """
        known, written = self._read_known()
        shards, sizes, dates = self._parts().T
        modified = known["modified"][shards]
        of_manifest = (modified == _OF_MANIFEST) & (dates <= written)
        as_told = (known["bytes"][shards] == sizes) & (of_manifest | (modified == dates))
        there = np.zeros(len(self.plan), np.bool_)
        there[shards[as_told]] = True
        kept = self.finished & ~there  # as noted since
        known[kept] = self._known[kept]
        self._known = known
        self.finished |= there
        for shard in shards[~as_told].tolist():
            if self._is_whole(shard, known[shard]):
                self.add(shard)

    def is_finished(self, shard: int) -> bool:
        """Whether a part is there, perhaps of another process."""
        return bool(self.finished[shard]) or self.part(shard).exists()

    def add(self, shard: int) -> None:
        """Note a part that is whole, with its hash."""
        path = self.part(shard)
        with open(path, "rb") as file:
            found, digest = os.fstat(file.fileno()), hashlib.file_digest(file, "sha256").hexdigest()
        broken = self._broken_count(shard)
        signals = len(token_table(path))
        known = (signals, broken, found.st_size, found.st_mtime_ns, digest)
        self.note(shard, known)
        with contextlib.suppress(OSError):  # without it the part is read again
            self._receipts.parent.mkdir(exist_ok=True)
            fresh = not self._receipts.exists()
            with open(self._receipts, "a", encoding="utf-8") as receipts:
                line = json.dumps([shard, *known])
                receipts.write(f"{json.dumps(self.plan.id)}\n" * fresh + f"{line}\n")

    def known(self, shard: int) -> Known:
        """What `add` has noted of a part."""
        signals, broken, size, modified, digest = self._known[shard].tolist()
        return signals, broken, size, modified, bytes(digest).hex()

    def note(self, shard: int, known: Known) -> None:
        """Note a part that another process has added to the same folder.

        Args:
            shard: its number.
            known: what `known` tells there.
        """
        self._known[shard] = (*known[:4], _digest(known[4]))
        self.finished[shard] = True

    def _parts(self) -> NDArray[np.int64]:
        """(parts, 3) shard, bytes and date of each part there is, from one pass over the folder."""
        rows = array("q")
        pattern = re.compile(rf"part-(\d{{{self._digits}}}){re.escape(self._suffix)}")
        with os.scandir(self.path) as entries:
            for entry in entries:
                found = pattern.fullmatch(entry.name)
                if found is None:
                    if entry.name.startswith("part-"):
                        raise self._foreign(Path(entry.path), "the part of another plan")
                    continue
                if int(found[1]) >= len(self.plan):
                    raise self._foreign(Path(entry.path), f"a shard above {len(self.plan) - 1}")
                state = entry.stat()
                rows.extend((int(found[1]), state.st_size, state.st_mtime_ns))
        return np.frombuffer(rows, np.int64).reshape(-1, 3) if rows else np.empty((0, 3), np.int64)

    def _read_known(self) -> tuple[NDArray[Any], int]:
        """What receipts and the manifest tell, and the date of the manifest, 0 without one.

        What is not understood is left out: the part is read instead.
        """
        known = np.zeros(len(self.plan), _KNOWN)
        for place in sorted((self.path / RECEIPTS).glob("*.jsonl")):
            with contextlib.suppress(OSError), open(place, encoding="utf-8") as lines:
                if next(lines, "").strip() != json.dumps(self.plan.id):
                    continue
                for line in lines:
                    with contextlib.suppress(ValueError, IndexError):
                        shard, *told, digest = json.loads(line)
                        known[shard] = (*told, _digest(digest))
        return known, self._read_manifest(known)

    def _read_manifest(self, known: NDArray[Any]) -> int:
        """Put in what the manifest tells, line by line; its date, 0 without one."""
        written = 0
        with (
            contextlib.suppress(OSError, ValueError, KeyError, TypeError, IndexError),
            open(self.path / MANIFEST, encoding="utf-8") as lines,
        ):
            head = "".join(itertools.takewhile(lambda line: line != _PARTS, lines))
            if json.loads(head.rstrip().removesuffix(",") + "}")["plan"] != self.plan.id:
                return 0
            written = os.fstat(lines.fileno()).st_mtime_ns
            for shard, line in enumerate(lines):  # up to the bracket that closes them
                one = json.loads(line.strip().removesuffix(","))
                numbers = (int(one[name]) for name in ("signals", "broken", "bytes"))
                known[shard] = (*numbers, _OF_MANIFEST, _digest(one["sha256"]))
        return written

    # --------------------------------------------------------------- checking a part

    def _is_whole(self, shard: int, told: Any) -> bool:
        """Whether a part is whole; one that cannot be read is removed.

        Raises:
            TokensError: it is foreign, or has other content than when it was written.
        """
        path = self.part(shard)
        try:
            table = token_table(path)
            table.read(table.names)
        except TokensError:
            path.unlink()
            return False
        header = header_of(table)
        if header["fingerprint"] != self.plan.facts.fingerprint:
            raise self._foreign(path, "one of another tokenizer")
        if (header.get("plan"), header.get("shard")) != (self.plan.id, shard):
            raise self._foreign(path, "one of another plan or shard")
        wanted = int(self._counts[shard]) * self.plan.facts.crops - self._broken_count(shard)
        changed = len(table) != wanted
        if told["sha256"].any() and not changed:
            with open(path, "rb") as file:
                changed = hashlib.file_digest(file, "sha256").digest() != told["sha256"].tobytes()
        if changed:
            raise self._foreign(path, "one that was changed since")
        return True

    def _foreign(self, path: Path, got: str) -> TokensError:
        return TokensError(
            f"{path}: expected a part as this plan's shards were written, got {got}; remove the "
            "file to encode its shard again, or choose another folder"
        )

    def _broken_count(self, shard: int) -> int:
        """Signals of a shard in its table of broken ones, without those that no shard has."""
        place = self.broken(shard)
        if not place.exists():
            return 0
        before = len(self.plan.facts.unreadable) if shard == 0 else 0
        return len(TableFile(place, kind=TokensError)) - before

    # -------------------------------------------------------------------- the end

    def tries(self, shard: int) -> int:
        """How often a shard has failed since it last succeeded, in any process."""
        try:
            return int(json.loads(self.failed(shard).read_text(encoding="utf-8"))["tries"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0

    def note_failure(self, shard: int, tries: int, reason: str) -> None:
        """Note why a shard failed, and how often it has.

        Raises:
            OutputError: the folder cannot be written.
        """
        with output_errors(self.failed(shard)):
            replace_file(
                self.failed(shard), dump_json({"shard": shard, "tries": tries, "reason": reason})
            )

    def close(self) -> bool:
        """Write the manifest if all shards are finished, and remove what is no longer needed.

        Returns:
            Whether all are finished.
        """
        if not self.finished.all():
            self.look()  # others may have finished the rest
        if not self.finished.all():
            return False
        try:
            if (self._known["modified"] != _OF_MANIFEST).any():
                with output_errors(self.path / MANIFEST):
                    self._write_manifest()
        except OutputError:
            if not (self.path / MANIFEST).exists():
                raise
            # another process has finished at the same time, and has cleared hidden files away
        shutil.rmtree(self.path / RECEIPTS, ignore_errors=True)
        with os.scandir(self.path) as entries:  # a list of all names would take 10 MB
            names = [entry.name for entry in entries if entry.name.startswith((".", "failed-"))]
        for entry in map(self.path.joinpath, names):
            if entry.is_dir():
                continue
            if is_hidden(entry) or re.fullmatch(r"failed-\d+\.json", entry.name):
                entry.unlink(missing_ok=True)
        sync_folder(self.path)
        return True

    def _write_manifest(self) -> None:
        known, facts = self._known, self.plan.facts
        head = {
            "format": FORMAT,
            "version": VERSION,
            "plan": self.plan.id,
            "fingerprint": facts.fingerprint,
            "data": facts.data,
            "signals": int(known["signals"].sum()),
            "broken": int(known["broken"].sum()) + len(facts.unreadable),
        }
        with new_file(self.path / MANIFEST, overwrite=True) as hidden, open(hidden, "w") as file:
            file.write(json.dumps(head, indent=2)[:-2] + f",\n{_PARTS}")
            for shard, one in enumerate(known):
                line = {
                    "part": self._name(shard),
                    "signals": int(one["signals"]),
                    "broken": int(one["broken"]),
                    "bytes": int(one["bytes"]),
                    "sha256": one["sha256"].tobytes().hex(),
                }
                comma = "," if shard + 1 < len(known) else ""
                file.write(f"    {json.dumps(line)}{comma}\n")
            file.write("  ]\n}\n")


def clear_shards(path: Path) -> None:
    """Remove a plan, its parts and all else that belongs to them; other files stay."""
    ours = re.compile(rf"(part|broken|failed)-\d+\.(parquet|tar|json)|{MANIFEST}|{re.escape(PLAN)}")
    for entry in [path / PLAN, *path.iterdir()]:  # without its plan no part counts
        if ours.fullmatch(entry.name) or is_hidden(entry):
            entry.unlink(missing_ok=True)
    shutil.rmtree(path / RECEIPTS, ignore_errors=True)


def _digest(written: str) -> NDArray[np.uint8]:
    """The 32 bytes of a SHA-256 that is written in hexadecimal.

    Raises:
        ValueError: it is none.
    """
    found = np.frombuffer(bytes.fromhex(written), np.uint8)
    if found.size != 32:
        raise ValueError(written)
    return found
