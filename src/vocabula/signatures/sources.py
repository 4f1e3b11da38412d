"""Components as declared in source files, read without running them or heavy imports.

    source --parse--> class, cut down to its constructor's signature --run--> declared class

A declared class has the name, docstring, bases, ``component_kind`` and constructor signature of the
real one, so that options are read from both in the same way; it can do nothing else. Names in its
signature are looked up in the same way, and names from outside the standard library are
placeholders.
"""

from __future__ import annotations

import ast
import builtins
import functools
import importlib
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union

_PACKAGE = __name__.partition(".")[0]
_ROOT = Path(__file__).parents[1]
_REAL = {*sys.stdlib_module_names, "annotated_types"}
"""Packages that are imported where a signature names something of theirs: they are light."""
_KIND = "component_kind"


_COMPONENT = re.compile(rb'^@component\("(\w+)", "(\w+)"\)\r?$', re.MULTILINE)
"""How every source declares a component: kind and name."""


@dataclass(frozen=True, slots=True)
class Declared:
    """A component in a source file, which is parsed when its class is asked for.

    Attributes:
        kind: what it is.
        name: its registered name.
        module: the module to import for the real class.
        sources: what parses it.
    """

    kind: str
    name: str
    module: str
    sources: Sources

    @property
    def cls(self) -> type:
        """The declared class."""
        module = self.sources.module(self.module)
        wanted = [self.kind, self.name]
        found: type = next(
            module.value(node.name)
            for node in module.tree.body
            if isinstance(node, ast.ClassDef)
            and (call := _component_call(node)) is not None
            and [ast.literal_eval(argument) for argument in call.args] == wanted
        )
        return found


class Sources:
    """The package's own sources, each parsed when it is first needed.

    Args:
        record: makes a component from a class, its kind and its name.
    """

    def __init__(self, record: Callable[[type, str, str], type]) -> None:
        self.record = record
        self._modules: dict[str, _Module] = {}

    @functools.cached_property
    def declared(self) -> dict[str, dict[str, Declared]]:
        """The components that the sources declare, by kind and name."""
        found: dict[str, dict[str, Declared]] = {}
        for path in sorted(_ROOT.rglob("*.py")):
            for match in _COMPONENT.finditer(path.read_bytes()):
                kind, name = match[1].decode(), match[2].decode()
                module = ".".join((_PACKAGE, *path.relative_to(_ROOT).with_suffix("").parts))
                found.setdefault(kind, {})[name] = Declared(kind, name, module, self)
        return found

    def module(self, name: str) -> _Module:
        """The names of a module."""
        if name not in self._modules:
            self._modules[name] = _Module(name, self)
        return self._modules[name]


class _Outside:
    """A name from a package that is not imported: not a base; its attributes are the same kind."""

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def __getattr__(self, name: str) -> _Outside:
        if name.startswith("_"):
            raise AttributeError(name)
        return _Outside(name)

    def __getitem__(self, item: Any) -> _Outside:
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> _Outside:
        return self

    def __or__(self, other: Any) -> Any:
        return Union[self, other]  # noqa: UP007, or it would call itself

    def __ror__(self, other: Any) -> Any:
        return Union[other, self]  # noqa: UP007

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        return ()


class _Module:
    """The names in a module's source, each evaluated on demand."""

    def __init__(self, name: str, sources: Sources) -> None:
        self._sources = sources
        path = _ROOT.joinpath(*name.split(".")[1:])
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        self.name = name
        self.tree = ast.parse(path.read_text(encoding="utf-8"))
        self._nodes = dict(_names(self.tree.body))
        self._values: dict[str, Any] = {}

    def value(self, name: str) -> Any:
        """The value of a name.

        Raises:
            KeyError: the module has no such name.
        """
        if name not in self._values:
            self._values[name] = self._find(name)
        return self._values[name]

    def _find(self, name: str) -> Any:
        node = self._nodes[name]
        if isinstance(node, ast.ClassDef):
            return self._class(node)
        if isinstance(node, ast.expr):
            return eval(self._compiled(ast.Expression(node), "eval"), self._globals(node))
        if isinstance(node, ast.FunctionDef):
            return _Outside(name)
        alias = next(a for a in node.names if (a.asname or a.name).partition(".")[0] == name)
        return self._imported(node, alias)

    def _class(self, node: ast.ClassDef) -> type:
        """The class with its bases and constructor signature, without code that runs."""
        decorators = [d for d in node.decorator_list if _called(d) == "dataclass"]
        body = [kept for statement in node.body for kept in _declaring(statement, decorators)]
        cut = ast.ClassDef(node.name, node.bases, [], body or [ast.Pass()], decorators)
        space = self._globals(cut)
        exec(self._compiled(ast.Module([cut], []), "exec"), space)
        cls: type = space[node.name]
        cls.__doc__ = ast.get_docstring(node, clean=False)
        if cls.__init__ is object.__init__:  # type: ignore[misc]
            cls.__init__ = _no_arguments  # type: ignore[misc]
        call = _component_call(node)
        if call is not None:
            cls = self._sources.record(cls, *(ast.literal_eval(argument) for argument in call.args))
        return cls

    def _imported(self, node: ast.Import | ast.ImportFrom, alias: ast.alias) -> Any:
        origin = node.module if isinstance(node, ast.ImportFrom) else alias.name
        package = str(origin).partition(".")[0]
        if package == _PACKAGE and isinstance(node, ast.ImportFrom):
            return self._sources.module(str(origin)).value(alias.name)
        if package not in _REAL:
            return _Outside(alias.asname or alias.name)
        module = importlib.import_module(str(origin))
        return getattr(module, alias.name) if isinstance(node, ast.ImportFrom) else module

    def _globals(self, node: ast.AST) -> dict[str, Any]:
        used = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
        known = {name: self.value(name) for name in used if name in self._nodes}
        return {"__name__": f"{self.name} (declared)", "__builtins__": builtins, **known}

    def _compiled(self, tree: Any, mode: str) -> Any:
        # annotations are evaluated at once, so this needs no future import
        return compile(ast.fix_missing_locations(tree), self.name, mode, dont_inherit=True)


def _no_arguments(self: object) -> None:
    """The constructor of a class whose bases are not imported and that has none of its own."""


def _names(body: list[ast.stmt]) -> Iterator[tuple[str, Any]]:
    """The names that statements define, each with the node that gives its value."""
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node.name, node
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                yield (alias.asname or alias.name).partition(".")[0], node
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            yield node.target.id, node.value
        elif isinstance(node, ast.If):  # if TYPE_CHECKING
            yield from _names(node.body)


def _declaring(node: ast.stmt, decorators: list[ast.expr]) -> Iterator[ast.stmt]:
    """The statement of a class body, reduced to its declaration of constructor or kind."""
    if isinstance(node, ast.FunctionDef) and node.name == "__init__":
        yield ast.FunctionDef("__init__", node.args, [ast.Pass()], [], None)
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        if decorators or node.target.id == _KIND:
            yield node
    elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == _KIND:
        yield node


def _called(node: ast.expr) -> str:
    """The name of a decorator, called or not."""
    return getattr(node.func if isinstance(node, ast.Call) else node, "id", "")


def _component_call(node: ast.AST) -> ast.Call | None:
    for decorator in getattr(node, "decorator_list", []):
        if isinstance(decorator, ast.Call) and _called(decorator) == "component":
            return decorator
    return None
