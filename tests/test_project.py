"""What holds for the project as a whole: light import, documented names, honest documentation."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest

import vocabula

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
PRESETS = sorted((ROOT / "src/vocabula/training/presets").glob("*.toml"))
PROSE = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def modules_after(statement: str) -> set[str]:
    """The names of the modules that a fresh interpreter holds after a statement."""
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


@pytest.mark.parametrize(
    "statement", ["import vocabula", "import vocabula.cli.main", "import vocabula; dir(vocabula)"]
)
def test_import_is_light(statement: str) -> None:
    heavy = {"torch", "pyarrow", "matplotlib", "sklearn", "skimage", "accelerate", "pandas"}
    assert not modules_after(statement) & heavy


def test_submodules_come_without_an_import_of_their_own() -> None:
    assert "vocabula.codec" in modules_after("import vocabula; vocabula.codec")


def test_processes_that_tests_start_find_their_modules() -> None:
    assert str(ROOT) in sys.path  # `pythonpath` of pytest: spawned processes inherit it


def test_every_public_name_resolves() -> None:
    missing = [name for name in vocabula.__all__ if not hasattr(vocabula, name)]
    assert missing == []
    assert set(vocabula.__all__) <= set(dir(vocabula))


LAZY = ("", "codec", "data", "evaluation", "priors", "tokenizers", "training")


@pytest.mark.parametrize("package", LAZY)
def test_lazy_names_are_the_ones_type_checkers_see(package: str) -> None:
    path = ROOT / "src/vocabula" / package / "__init__.py"
    module = import_module(".".join(filter(None, ("vocabula", package))))
    block = next(node for node in ast.parse(path.read_text()).body if isinstance(node, ast.If))
    seen = {
        alias.name
        for node in ast.walk(block)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    eager = {"__version__", "CodecError", "CodecWarning"}
    assert seen == set(module.__all__) - eager
    assert [name for name in module.__all__ if not hasattr(module, name)] == []
    with pytest.raises(AttributeError, match="has no attribute 'VectorQuantiser'"):
        _ = module.VectorQuantiser


@pytest.mark.parametrize("package", LAZY[1:])
def test_a_lazy_package_is_light_until_a_name_is_used(package: str) -> None:
    assert not modules_after(f"import vocabula.{package}") & {"torch", "numpy", "pyarrow"}


def test_version_is_the_one_in_the_changelog() -> None:
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert vocabula.__version__ in headings or headings[0] == "Unreleased"


def test_typing_marker_ships_with_the_package() -> None:
    assert (ROOT / "src/vocabula/py.typed").is_file()


def undocumented(path: Path, tree: ast.Module) -> list[str]:
    """Public modules, classes and functions without a docstring, nested ones in classes too."""
    found = []

    def visit(node: ast.Module | ast.ClassDef, inside: str) -> None:
        for child in node.body:
            if not isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if child.name.startswith("_"):
                continue
            overload = any("overload" in ast.unparse(d) for d in child.decorator_list)
            inherited = any("setter" in ast.unparse(d) for d in child.decorator_list)
            if ast.get_docstring(child) is None and not (overload or inherited):
                found.append(f"{relative(path)}:{child.lineno} {inside}{child.name}")
            if isinstance(child, ast.ClassDef):
                visit(child, f"{inside}{child.name}.")

    if ast.get_docstring(tree) is None:
        found.append(f"{relative(path)}: module")
    visit(tree, "")
    return found


@dataclass(frozen=True)
class Sources:
    """What is found in the sources, which are parsed once."""

    undocumented: list[str]
    long: list[str]
    imported: set[str]


@functools.cache
def sources() -> Sources:
    found = Sources([], [], set())
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found.undocumented.extend(undocumented(path, tree))
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                if body and (node.end_lineno or 0) - body[0].lineno + 1 > 50:
                    found.long.append(f"{relative(path)}:{node.lineno} {node.name}")
            elif isinstance(node, ast.Import):
                found.imported.update(alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.imported.add(node.module.split(".")[0])
    return found


def test_every_public_name_has_a_docstring() -> None:
    assert sources().undocumented == []


def test_no_source_file_is_longer_than_400_lines() -> None:
    lengths = {relative(path): len(path.read_text().splitlines()) for path in SOURCES}
    assert {name: lines for name, lines in lengths.items() if lines > 400} == {}


def test_no_function_is_longer_than_50_lines() -> None:
    assert sources().long == []


def text_files() -> list[Path]:
    """The files of the project that people read and write, without the licence's own text."""
    kinds = {".py", ".md", ".toml", ".txt", ".yaml", ".html", ".json", ".css", ".jinja"}
    folders = ["src", "tests", "docs", "benchmarks", "examples"]
    nested = [p for name in folders for p in (ROOT / name).rglob("*") if p.suffix in kinds]
    top = [p for p in ROOT.iterdir() if p.is_file() and p.suffix in kinds]
    return [*nested, *top, ROOT / "Makefile", ROOT / ".ci/run", ROOT / ".pre-commit-config.yaml"]


def test_no_text_names_a_machine() -> None:
    local = re.compile(
        r"(?<![\w.$)}])/(?:home|root|work|Users|opt|tmp)/\w|file:/{2}(?!\{)|--index[-]url"
    )
    address = re.compile(r"https?:/{2}(?!www\.w3\.org/)[\w.-]+")
    found = []
    for path in text_files():
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if local.search(line) or address.search(line):
                found.append(f"{relative(path)}:{number} {line.strip()[:80]}")
    assert found == []


def test_constraints_pin_exact_public_versions() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", pin) for pin in pins)
    pinned = {re.sub(r"[-_.]+", "-", pin.split("==")[0]).lower() for pin in pins}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    named = {re.match(r"[A-Za-z0-9._-]+", want)[0] for want in wanted}  # type: ignore[index]
    assert {re.sub(r"[-_.]+", "-", name).lower() for name in named} - {"vocabula"} <= pinned


def imported_packages() -> set[str]:
    """Top-level packages that the source imports, outside the standard library."""
    return sources().imported - set(sys.stdlib_module_names) - {"vocabula"}


def test_dependencies_are_exactly_what_the_source_imports() -> None:
    distributions = {"PIL": "pillow", "sklearn": "scikit-learn", "skimage": "scikit-image"}
    names = {distributions.get(name, name).replace("_", "-") for name in imported_packages()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {
        re.match(r"[A-Za-z0-9._-]+", want)[0].replace("_", "-")  # type: ignore[index]
        for want in project["dependencies"]
    }
    # TensorBoard, pystoi and Ray are extras, and Triton comes with torch where it serves.
    assert names - {"tensorboard", "pystoi", "ray", "triton"} == declared


def test_readme_commands_exist_in_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = "\n".join(path.read_text() for path in PROSE)
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", text, re.MULTILINE))
    assert {"demo", "test"} <= named
    assert named <= targets


def test_readme_commands_exist_in_the_command_line() -> None:
    text = "\n".join(path.read_text() for path in PROSE)
    blocks = re.findall(r"^```sh\n(.*?)^```|`(vocabula .*?)`", text, re.MULTILINE | re.DOTALL)
    code = "\n".join("".join(block) for block in blocks)
    named = set(re.findall(r"(?:^|/|-m )vocabula ([a-z]+)", code, re.MULTILINE))
    commands = {path.stem.rstrip("_") for path in (ROOT / "src/vocabula/cli").glob("*.py")}
    assert {"train", "evaluate", "encode", "decode", "report", "config", "info"} <= named
    assert named <= commands


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_every_preset_is_documented(path: Path) -> None:
    for document in ("README.md", "docs/training.md"):
        assert f"`{path.stem}`" in (ROOT / document).read_text(), document


def test_every_quantizer_is_documented() -> None:
    import vocabula.quantizers

    names = [name for name in vocabula.quantizers.__all__ if name.endswith("Quantizer")]
    for document in ("README.md", "docs/quantizers.md"):
        text = (ROOT / document).read_text()
        assert [name for name in names if name != "Quantizer" and name not in text] == []


def code_blocks() -> list[tuple[str, str]]:
    """Python examples of the documentation; those marked ``# needs`` something are not run."""
    found = []
    for path in PROSE:
        blocks = re.findall(r"^```python\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)
        found += [(f"{path.name}-{number}", block) for number, block in enumerate(blocks, 1)]
    return [(name, block) for name, block in found if not block.startswith("# needs")]


@pytest.mark.parametrize(("name", "block"), code_blocks(), ids=lambda value: str(value)[:20])
def test_documented_python_runs(name: str, block: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(block, name, "exec"), {"__name__": name})


def test_links_between_documents_lead_somewhere() -> None:
    broken = []
    for path in PROSE:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text()):
            if not (path.parent / target).exists():
                broken.append(f"{path.name}: {target}")
    assert broken == []
