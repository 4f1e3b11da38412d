"""What the sources of two versions look like, side by side.

    python benchmarks/house.py BEFORE AFTER

BEFORE and AFTER are checkouts. Counted are names of images (of classes, functions, arguments and
attributes) in shared files, by the list of `tests/test_kinds.py` for each version; circles of
imports between modules; files that name the conditions of a prior by their kind; and the form:
lines a file, arguments of a constructor, lines of a function body, docstrings of public names.
"""

from __future__ import annotations

import argparse
import ast
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import common

sys.path.insert(0, str(common.ROOT / "tests"))
from test_kinds import OWN, kind_names

OWN_BEFORE = re.compile(  # where the same matter lay before the packages were split
    OWN.pattern
    + r"|tokenizers/images|evaluation/(png|examples|gallery|pictures|palette|blocks|keep)"
    r"|evaluation/(complet|dithering|rival)|functional/dithering|codec/(block|gathering|fidelity)"
)
CONDITION = re.compile(r"\blabels?\b.*\b(condition|classes)|\bclasses\b|Condition\(", re.IGNORECASE)
MODEL_SIDE = ("priors", "pipelines", "reports", "training", "evaluation", "codec", "cli", "signals")


def trees(package: Path) -> dict[str, ast.Module]:
    """The parsed modules of a package by their path."""
    return {
        path.relative_to(package).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(package.rglob("*.py"))
    }


def circles(modules: dict[str, ast.Module]) -> int:
    """Groups of modules that import one another in a circle, type-only imports left out."""
    names = {
        name.removesuffix(".py").removesuffix("/__init__").replace("/", "."): tree
        for name, tree in modules.items()
    }

    def targets(tree: ast.Module) -> Iterator[str]:
        for node in _executed(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vocabula."):
                module = (node.module or "").removeprefix("vocabula.")
                for alias in node.names:
                    inner = f"{module}.{alias.name}"
                    yield inner if inner in names else module

    graph = {name: {t for t in targets(tree) if t in names} for name, tree in names.items()}
    packages = {
        name.rpartition("/")[0].replace("/", ".") for name in modules if "/__init__" in name
    }
    graph = {name: found - packages for name, found in graph.items() if name not in packages}
    return sum(len(group) > 1 for group in _components(graph))


def _executed(tree: ast.Module) -> Iterator[ast.AST]:
    """The nodes that run when a module is imported: not those of functions or TYPE_CHECKING."""
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        waiting += ast.iter_child_nodes(node)


def _components(graph: dict[str, set[str]]) -> list[set[str]]:
    """Groups of nodes that reach one another."""

    def reached(start: str) -> set[str]:
        found, waiting = set[str](), [start]
        while waiting:
            for other in graph.get(waiting.pop(), ()):
                if other not in found:
                    found.add(other)
                    waiting.append(other)
        return found

    reach = {name: reached(name) for name in graph}
    groups, done = list[set[str]](), set[str]()
    for name in graph:
        if name not in done:
            group = {other for other in reach[name] if name in reach.get(other, ())} | {name}
            done |= group
            groups.append(group)
    return groups


def form(modules: dict[str, ast.Module], package: Path) -> dict[str, Any]:
    """Sizes and docstrings."""
    lines, arguments, bodies = list[int](), list[int](), list[int]()
    public = documented = 0
    for name, tree in modules.items():
        if not name.endswith("__init__.py"):
            lines.append(len((package / name).read_text(encoding="utf-8").splitlines()))
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                start = node.body[1] if ast.get_docstring(node) and node.body[1:] else node.body[0]
                bodies.append((node.end_lineno or 0) - start.lineno + 1)
                if node.name == "__init__":
                    given = node.args
                    arguments.append(len(given.args) + len(given.kwonlyargs) - 1)
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                public += 1
                documented += ast.get_docstring(node) is not None
    return {
        "files": len(lines),
        "lines_median": statistics.median(lines),
        "lines_max": max(lines),
        "constructor_arguments_max": max(arguments),
        "constructors_above_12_arguments": sum(count > 12 for count in arguments),
        "body_lines_max": max(bodies),
        "public_names_documented": documented / public,
    }


def figures(checkout: Path, own: re.Pattern[str]) -> dict[str, Any]:
    """The figures of one version."""
    package = checkout / "src" / "vocabula"
    modules = trees(package)
    shared = {name: tree for name, tree in modules.items() if not own.search(name)}
    words = {name: len(kind_names(tree)) for name, tree in shared.items()}
    condition = [
        name
        for name in modules
        if name.startswith(MODEL_SIDE) and CONDITION.search((package / name).read_text())
    ]
    commit = subprocess.run(
        ["git", "-C", str(checkout), "rev-parse", "HEAD"],
        capture_output=True,
        text=True,
        check=True,
    )
    return {
        "commit": commit.stdout.strip(),
        "image_names_in_shared_files": sum(words.values()),
        "most": dict(sorted(words.items(), key=lambda item: -item[1])[:12]),
        "import_circles": circles(modules),
        "files_that_name_label_conditions": len(condition),
        **form(modules, package),
    }


def main() -> None:
    """Count and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    options = parser.parse_args()
    common.write_result(
        "house",
        {"before": figures(options.before, OWN_BEFORE), "after": figures(options.after, OWN)},
        "python benchmarks/house.py BEFORE AFTER",
    )


if __name__ == "__main__":
    main()
