"""Processes that tests start find what they need in memory."""

from __future__ import annotations

from processes import Program


def test_a_process_need_not_import_torch_again() -> None:
    program = (
        "import sys, torch\n"
        "print({'preloaded', 'torch._dynamo', 'vocabula.training.run'} <= sys.modules.keys())\n"
        "print(torch.backends.cpu.get_cpu_capability())"
    )
    ended = Program(program, ATEN_CPU_CAPABILITY="default").wait()
    assert (ended.code, ended.output) == (0, "True\nDEFAULT\n")
