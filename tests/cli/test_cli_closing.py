"""Every command ends with what was made, and a command to go on with that can be copied."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from vocabula.cli import closing
from vocabula.cli.main import app
from vocabula.pipelines import Compressed, Fidelity


def test_the_step_is_quoted(capsys: pytest.CaptureFixture[str]) -> None:
    closing.close("wrote it", "open it", "decompress", Path("my run"), "it's.vcb", "-o", "out")
    made, step = capsys.readouterr().out.splitlines()
    assert made == "wrote it"
    words = shlex.split(step.removeprefix("to open it: "))
    assert words == ["vocabula", "decompress", "my run", "it's.vcb", "-o", "out"]


def test_no_step_beside_an_output_on_standard_output(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "stdout_is_taken", lambda: True)
    closing.close("", "open it", "decompress")
    assert capsys.readouterr().out == ""


def _fidelity(psnr: float | None, share: float = 1.0) -> Fidelity:
    found = Fidelity()
    found.psnr, found.share = psnr, share
    return found


@pytest.mark.parametrize(
    ("fidelity", "end"),
    [
        (_fidelity(29.44), "pixel, PSNR 29.4 dB"),
        (_fidelity(29.44, 0.083), "pixel, PSNR 29.4 dB (on 8.3% of the pixels)"),
        (_fidelity(float("inf")), "pixel, exact pixels"),
        (_fidelity(None), "per pixel"),
    ],
)
def test_totals(fidelity: Fidelity, end: str) -> None:
    files = [
        Compressed(Path("a.vcb"), 1000, 20_000, 1, 4000, "pixel", "picture"),
        Compressed(Path("b.vcb"), 500, 10_000, 1, 2000, "pixel", "picture"),
    ]
    text = closing.totals(files, fidelity)
    assert text.startswith("wrote 2 files: 2 pictures, 6,000 -> 1,500 bytes (25.0%), 0.4 bits per ")
    assert text.endswith(end)
    one = closing.totals(files[:1], fidelity)
    assert one.startswith("wrote a.vcb: 1 picture, 4,000 -> 1,000 bytes")


def test_every_command_that_makes_something_closes() -> None:
    folder = Path(closing.__file__).parent
    made = {command.name for command in app.registered_commands if command.name}
    made |= {c.callback.__name__.replace("_", "-") for c in app.registered_commands if c.callback}
    quiet = {"info", "inspect", "config", "export"}  # these show, and export says how to open it
    for name in sorted(made - quiet):
        source = (folder / f"{name.replace('-', '_')}.py").read_text(encoding="utf-8")
        assert "close(" in source, name
