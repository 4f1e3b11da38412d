"""Reading ahead: the order, the limits, errors, and that no thread stays."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from vocabula.data import (
    ArraySource,
    DataWarning,
    FolderSource,
    ImageSource,
    ParquetSource,
)
from vocabula.data import ahead as ahead_module
from vocabula.data.ahead import default_workers, map_ahead
from vocabula.errors import DataError

WORKERS = [0, 1, 4]


@pytest.fixture(autouse=True)
def _no_thread_stays() -> Iterator[None]:
    yield
    assert [t.name for t in threading.enumerate() if t.name.startswith("vocabula")] == []


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Seven pictures of two sizes; the third and the sixth are cut behind their headers."""
    noise = np.random.default_rng(0)
    for index in range(7):
        size = (24, 32) if index < 4 else (40, 20)
        pixels = noise.integers(0, 255, (*size, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{index}.jpg", quality=95)
    for index in (2, 5):
        file = tmp_path / f"{index}.jpg"
        file.write_bytes(file.read_bytes()[:900])
    return tmp_path


def as_parquet(folder: Path, file: Path) -> ParquetSource:
    """The pictures of a folder in row groups of two."""
    pictures = [{"bytes": f.read_bytes(), "path": f.name} for f in sorted(folder.glob("*.jpg"))]
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    pq.write_table(pa.table({"image": pa.array(pictures, kind)}), file, row_group_size=2)
    return ParquetSource([file])


@pytest.mark.parametrize("workers", WORKERS)
def test_results_come_in_the_order_of_the_tasks(workers: int) -> None:
    def slow_at_first(number: int) -> int:
        time.sleep(0.002 if number % 3 == 0 else 0)
        return number * number

    tasks = ((number, 1) for number in range(100))
    assert list(map_ahead(slow_at_first, tasks, workers=workers)) == [n * n for n in range(100)]
    assert list(map_ahead(slow_at_first, [], workers=workers)) == []


def test_tasks_run_at_the_same_time_in_other_threads() -> None:
    both = threading.Barrier(2, timeout=10)

    def meet(_: int) -> str:
        both.wait()  # passes only when two threads wait
        return threading.current_thread().name

    names = list(map_ahead(meet, [(0, 1), (1, 1)], workers=2))
    assert len(set(names)) == 2 and threading.current_thread().name not in names


def test_without_overlap_threads_rest_while_the_caller_is_busy() -> None:
    running = set()

    def count(number: int) -> int:
        running.add(number)
        time.sleep(0.002)
        running.discard(number)
        return number

    tasks = ((number, 1) for number in range(70))
    for taken, number in enumerate(map_ahead(count, tasks, workers=2, overlap=False)):
        assert taken == number and not running
    assert taken == 69


@pytest.mark.parametrize("overlap", [True, False])
@pytest.mark.parametrize(
    ("pixels", "most"),
    [(1, 16 + 2 * 2), (30, 3), (60, 1), (1000, 1)],  # 100 pixels ahead; 20 tasks for two workers
)
def test_reading_ahead_is_bounded(
    monkeypatch: pytest.MonkeyPatch, pixels: int, most: int, overlap: bool
) -> None:
    monkeypatch.setattr(ahead_module, "AHEAD_PIXELS", 100)
    asked = []

    def tasks() -> Iterator[tuple[int, int]]:
        for number in range(50):
            asked.append(number)
            yield number, pixels

    results = map_ahead(lambda n: n, tasks(), workers=2, overlap=overlap)
    for taken, _ in enumerate(results, start=1):
        # one more has been asked for, to know its size, but is not under way
        assert len(asked) - taken <= most
    assert taken == 50


def test_a_large_result_is_not_kept_beside_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead_module, "AHEAD_PIXELS", 100)
    results = map_ahead(lambda n: np.full(3, n), ((n, 80) for n in range(5)), workers=2)
    for number in range(5):
        one = next(results)
        kept = weakref.ref(one)
        assert one[0] == number
        del one
        assert kept() is None


@pytest.mark.parametrize("workers", WORKERS)
def test_an_error_is_raised_at_its_turn(workers: int) -> None:
    def fail_at_three(number: int) -> int:
        if number == 3:
            raise ZeroDivisionError("three")
        return number

    results = map_ahead(fail_at_three, ((n, 1) for n in range(1000)), workers=workers)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ZeroDivisionError, match="three"):
        next(results)


def test_closing_stops_the_threads_and_drops_what_waits() -> None:
    done = []

    def slow(number: int) -> int:
        time.sleep(0.005)
        done.append(number)
        return number

    results = map_ahead(slow, ((n, 1) for n in range(1000)), workers=1)
    assert next(results) == 0
    results.close()
    assert len(done) <= 3  # the first, and what was under way by then


def test_one_worker_for_each_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    assert default_workers() == 3
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    assert default_workers() == 16
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert default_workers() == 6


@pytest.mark.filterwarnings("ignore::vocabula.data.DataWarning")
@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("kind", ["folder", "parquet"])
def test_samples_are_those_of_reading_one_by_one(mixed: Path, kind: str, workers: int) -> None:
    def open_it() -> ImageSource:
        return FolderSource(mixed) if kind == "folder" else as_parquet(mixed, mixed / "x.parquet")

    one_by_one, source = open_it(), open_it()
    samples = list(source.samples(workers=workers))
    assert [s.index for s in samples] == [0, 1, 3, 4, 6]
    for sample in samples:
        expected = one_by_one.read(sample.index)
        assert (sample.path, sample.label) == (expected.path, expected.label)
        np.testing.assert_array_equal(sample.image, expected.image)
        assert sample.image.transpose(2, 0, 1).flags.c_contiguous
    assert [p.partition(":")[0] for p in source.problems] == ["2.jpg", "5.jpg"] or (
        [p.partition(":")[0] for p in source.problems] == ["x.parquet[2]", "x.parquet[5]"]
    )
    assert [s.index for s in source.samples(workers=workers)] == [0, 1, 3, 4, 6]
    assert len(source.problems) == 2  # the second time they are known
    assert [s.index for s in source.samples(limit=4, workers=workers)] == [0, 1, 3]


@pytest.mark.parametrize("workers", WORKERS)
def test_each_broken_picture_is_named_once_in_order(mixed: Path, workers: int) -> None:
    with pytest.warns(DataWarning) as caught:
        list(FolderSource(mixed).samples(workers=workers))
    texts = [str(w.message) for w in caught]
    assert len(texts) == 2 and "2.jpg" in texts[0] and "5.jpg" in texts[1]


@pytest.mark.parametrize("workers", WORKERS)
def test_strict_stops_at_the_first_broken_picture(mixed: Path, workers: int) -> None:
    with pytest.raises(DataError, match=r"got 2\.jpg: .*truncated.*strict"):
        list(FolderSource(mixed, strict=True).samples(workers=workers))


@pytest.mark.filterwarnings("ignore::vocabula.data.DataWarning")
@pytest.mark.parametrize("workers", WORKERS)
def test_a_source_without_a_readable_picture(mixed: Path, workers: int) -> None:
    files = [mixed / "2.jpg", mixed / "5.jpg"]
    with pytest.raises(DataError, match=r"got 2 broken ones \(5\.jpg"):
        list(FolderSource(mixed, files).samples(workers=workers))


@pytest.mark.parametrize("workers", WORKERS)
def test_errors_of_the_data_are_raised(workers: int) -> None:
    images = np.zeros((4, 8, 8), np.float32)
    source = ArraySource(images)
    images[2] = np.nan  # after the check at the start, as in a file too large for it
    with pytest.raises(DataError, match=r"array\[2\]: expected finite"):
        list(source.samples(workers=workers))


@pytest.mark.parametrize("workers", WORKERS)
def test_batches_end_at_a_number_of_pixels(workers: int) -> None:
    images = np.arange(7, dtype=np.uint8)[:, None, None, None] + np.zeros((7, 8, 8, 3), np.uint8)
    batches = list(ArraySource(images).batches(batch_size=5, batch_pixels=200, workers=workers))
    assert [len(b.paths) for b in batches] == [3, 3, 1]  # 3 x 64 pixels are the most below 200
    assert all(b.values.is_contiguous() for b in batches)
    assert [int(i[0, 0, 0]) for b in batches for i in b.values] == list(range(7))


def test_sizes_are_known_without_decoding(mixed: Path, tmp_path: Path) -> None:
    turned = Image.new("RGB", (10, 30))
    exif = turned.getexif()
    exif[0x0112] = 6  # a quarter turn
    turned.save(mixed / "7.jpg", exif=exif)
    sizes = [24 * 32] * 4 + [40 * 20] * 3 + [300]
    folder, parquet = FolderSource(mixed), as_parquet(mixed, tmp_path / "x.parquet")
    assert [folder.pixels(i) for i in range(8)] == sizes
    assert [parquet.pixels(i) for i in range(8)] == sizes
    assert ArraySource(np.zeros((2, 5, 7, 3), np.uint8)).pixels(1) == 35
    (mixed / "8.jpg").write_bytes(b"nothing")
    assert as_parquet(mixed, tmp_path / "y.parquet").pixels(8) == 0


@pytest.mark.parametrize("most", [2, 5])
def test_a_smaller_number_of_tasks_under_way(most: int) -> None:
    begun: list[int] = []

    def tasks() -> Iterator[tuple[int, int]]:
        for number in range(20):
            begun.append(number)
            yield number, 0

    for number, result in enumerate(map_ahead(lambda task: task, tasks(), workers=2, most=most)):
        assert result == number
        assert len(begun) - number <= most + 1  # and the one that waits to begin
