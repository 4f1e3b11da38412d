from __future__ import annotations

from pathlib import Path

import psutil
import pytest
import torch

from vocabula.training import machine

CPU = torch.device("cpu")


def group(folder: Path, limit: str, used: int, inactive: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(limit)
    (folder / "memory.current").write_text(str(used))
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {inactive}\n")


def test_the_tightest_control_group_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group(tmp_path / "outer", "9000", 3000, 500)  # 6500 left
    group(tmp_path / "outer" / "inner", "max", 100, 0)
    monkeypatch.setattr(machine, "CGROUPS", tmp_path)
    inner = tmp_path / "outer" / "inner"
    monkeypatch.setattr(machine, "_group_folders", lambda: [inner, inner.parent, tmp_path])
    assert machine.free_memory(CPU) == 6500


def test_without_limits_the_system_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_group_folders", list)
    monkeypatch.setattr(machine, "_process_limit", list)
    free = machine.free_memory(CPU)
    assert free is not None
    assert free == pytest.approx(psutil.virtual_memory().available, rel=0.2)


def test_the_processes_own_limit_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    used = psutil.Process().memory_info().vms
    monkeypatch.setattr(resource, "getrlimit", lambda _: (used + 1000_000, -1))
    assert machine._process_limit() == [pytest.approx(1000_000, abs=900_000)]


def test_a_device_without_a_count_is_unknown() -> None:
    assert machine.free_memory(torch.device("meta")) is None
