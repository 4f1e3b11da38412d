"""Large parquet files of the hub are read in place, from a server that plays the hub."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import huggingface_hub.constants
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.data.recordings import RATE, wav
from tests.data.tars import png

from vocabula.data import hub_reading, open_audio, open_source, split_names
from vocabula.data.hub_reading import HubPlace
from vocabula.data.shard_plan import ShardPlan
from vocabula.errors import DataError
from vocabula.pipelines import encode_shards
from vocabula.tokenizers import SignalTokenizer

COMMIT, NAME = "0123456789" * 4, "hf:user/big"
NOISE = 20_000  # bytes beside each picture, in a column of its own that is not read
Served = list[tuple[str, int]]


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as a client asks for: a commit, the tree, and files by byte range."""

    root: Path
    served: Served

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.startswith("/api/datasets/user/big/tree/"):
            return self.tell([self.entry(file) for file in self.files()])
        if path.startswith("/api/datasets/user/big"):
            names = [{"rfilename": self.name(file)} for file in self.files()]
            return self.tell({"id": "user/big", "sha": COMMIT, "siblings": names, "tags": []})
        start = f"/datasets/user/big/resolve/{COMMIT}/"
        file = self.root / path.removeprefix(start)
        if not path.startswith(start) or not file.is_file():
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound" if start in path else "RepoNotFound")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        return self.send(file)

    def send(self, file: Path) -> None:
        """A file, or the range of it that is asked for."""
        whole = file.read_bytes()
        words = self.headers.get("range", "").removeprefix("bytes=").split("-")
        ranged = len(words) == 2
        first, last = (int(words[0]), int(words[1])) if ranged else (0, len(whole) - 1)
        content = whole[first : last + 1]
        self.send_response(206 if ranged else 200)
        self.send_header("ETag", '"0"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(content)))
        if ranged:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(whole)}")
        self.end_headers()
        if self.command == "GET":
            self.served.append((file.name, len(content)))
            self.wfile.write(content)

    def files(self) -> list[Path]:
        return sorted(file for file in self.root.rglob("*") if file.is_file())

    def name(self, file: Path) -> str:
        return file.relative_to(self.root).as_posix()

    def entry(self, file: Path) -> dict[str, Any]:
        size = file.stat().st_size
        return {"type": "file", "path": self.name(file), "size": size, "oid": "0" * 40}

    def tell(self, found: Any) -> None:
        content = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *words: Any) -> None:
        """Nothing is printed."""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, Served]]:
    """The folder that is served, and what has been: names of files and bytes."""
    root, served = tmp_path / "hub", list[tuple[str, int]]()
    (root / "data").mkdir(parents=True)
    handler = type("Handler", (Hub,), {"root": root, "served": served})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    host, port = "127.0.0.1", server.server_port
    address = f"http://{host}:{port}"
    for name, value in (
        ("ENDPOINT", address),
        ("HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}"),
        ("HF_HUB_CACHE", str(tmp_path / "cache")),
        ("HF_HUB_OFFLINE", False),
    ):
        monkeypatch.setattr(huggingface_hub.constants, name, value)
    monkeypatch.setattr(hub_reading, "FETCHED", 0)
    yield root, served
    server.shutdown()
    server.server_close()


def pictures(path: Path, first: int, count: int) -> None:
    """Pictures in row groups of two, beside noise that takes most of the bytes."""
    rng = np.random.default_rng(first)
    rows = pa.table(
        {
            "image": [{"bytes": png(v), "path": f"{v}.png"} for v in range(first, first + count)],
            "label": [v % 2 for v in range(first, first + count)],
            "noise": [rng.bytes(NOISE) for _ in range(count)],
        }
    )
    pq.write_table(rows, path, row_group_size=2)


def test_only_footers_and_wanted_row_groups_are_read(
    hub: tuple[Path, Served], tmp_path: Path, make_tokenizer: Callable[..., SignalTokenizer]
) -> None:
    root, served = hub
    for number in range(3):
        pictures(root / f"data/train-{number}.parquet", 20 * number, 20)
    pictures(root / "data/test-0.parquet", 90, 2)
    assert split_names(NAME) == {"train": f"{NAME}:train", "test": f"{NAME}:test"}
    assert not served  # names alone tell the splits
    source = open_source(f"{NAME}:train", channels=3)
    assert len(source) == 60 and source.read(25).label == 1
    assert int(source.read(41).image[0, 0, 0]) == 41
    whole = sum(file.stat().st_size for file in (root / "data").glob("train-*"))
    assert {name for name, _ in served} == {f"train-{number}.parquet" for number in range(3)}
    assert sum(count for _, count in served) < 0.35 * whole  # of which the footers' 64 KB are most
    assert not [*tmp_path.glob("cache/**/*.parquet")]
    tokenizer, out = make_tokenizer(), tmp_path / "tokens"
    encode_shards(tokenizer, f"{NAME}:train", out, shards=6, worker=(0, 6))
    served.clear()
    encode_shards(tokenizer, f"{NAME}:train", out, shards=6, worker=(5, 6))
    assert {name for name, _ in served} == {"train-2.parquet"}  # the plan knows the rest
    assert [piece.count for piece in ShardPlan(out).shard(5).pieces] == [2] * 5
    assert encode_shards(tokenizer, f"{NAME}:train", out, shards=6).complete
    shutil.copytree(root, tmp_path / "local")
    encode_shards(tokenizer, f"hf:{tmp_path}/local:train", tmp_path / "same", shards=6)
    codes = [pq.read_table(place / "part-00003.parquet") for place in (out, tmp_path / "same")]
    assert codes[0]["codes"] == codes[1]["codes"] and codes[0]["path"] == codes[1]["path"]


def test_recordings_and_a_card(hub: tuple[Path, Served]) -> None:
    root, served = hub
    card = "---\nconfigs:\n- config_name: spoken\n  data_files: data/*.parquet\n---\n"
    (root / "README.md").write_text(card)
    rows = [{"bytes": wav(9), "path": f"{number}.wav"} for number in range(4)]
    pq.write_table(pa.table({"audio": rows}), root / "data/all.parquet", row_group_size=1)
    source = open_audio(f"{NAME}/spoken", sample_rate=RATE)
    assert len(source) == 4 and source.read_whole(3).shape[0] == 1
    assert {name for name, _ in served} == {"README.md", "all.parquet"}


def test_small_ones_are_fetched(
    hub: tuple[Path, Served], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, served = hub
    pictures(root / "data/train-0.parquet", 0, 4)
    monkeypatch.setattr(hub_reading, "FETCHED", 10**6)
    in_place = tmp_path / f"cache/datasets--user--big/snapshots/{COMMIT}/data/train-0.parquet"
    assert HubPlace.of(in_place) is not None
    assert len(open_source(f"{NAME}:train")) == 4
    assert served == [("train-0.parquet", (root / "data/train-0.parquet").stat().st_size)]
    assert HubPlace.of(in_place) is None  # from now on it is read here
    monkeypatch.setattr(hub_reading, "FETCHED", 0)
    assert len(open_source(f"{NAME}:train")) == 4 and len(served) == 1


@pytest.mark.filterwarnings("ignore::UserWarning:huggingface_hub")
def test_a_lost_connection_is_one_line(hub: tuple[Path, Served]) -> None:
    root, _ = hub
    pictures(root / "data/train-0.parquet", 0, 4)
    source = open_source(f"{NAME}:train")
    source.read(0)
    (root / "data/train-0.parquet").unlink()
    with pytest.raises(DataError, match=r"hf:user/big@0123\S*/train-0.parquet: .* try again"):
        source.read(3)
    with pytest.raises(DataError, match="hf:user/none: expected a data set of the hub") as error:
        open_source("hf:user/none:train")
    assert "\n" not in str(error.value)
