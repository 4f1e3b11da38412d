"""Components by name: the one place that turns settings into objects and objects into settings.

A component is a class under ``@component(kind, name)``. Its constructor signature declares its
options; validation, configuration files, command-line overrides and help are derived from it.
Saved files refer to components by their registered name, never by an import path.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from vocabula import signatures
from vocabula.errors import OptionError, UnknownNameError, UnknownOptionError, suggest
from vocabula.signatures.records import RECORD as _RECORD
from vocabula.signatures.sources import Declared, Sources
from vocabula.signatures.values import converted

C = TypeVar("C", bound=type)

_COMPONENTS: dict[str, dict[str, type]] = {}
#: ``{"same_as": i}`` in a list of components is the i-th component itself, not a copy of it.
SAME = "same_as"
OWN = "; if it is your own, import the module that registers it (vocabula --import MODULE ...)"
_NAME = "_component_name"
#: The class's options of later releases; `spec` leaves them out while empty, as earlier ones did.
_ADDED = "added_options"


@dataclass(frozen=True)
class Option:
    """One option of a component, read from its constructor's signature and docstring.

    Attributes:
        name: the option's name.
        annotation: its type.
        default: the default value, or `inspect.Parameter.empty` if a value is required.
        help: the description in the component's docstring, or an empty string.
    """

    name: str
    annotation: Any
    default: Any
    help: str

    @property
    def accepted(self) -> str:
        """The accepted type and range, in words."""
        return signatures.describe(self.annotation, names)

    @functools.cached_property
    def kind(self) -> str | None:
        """The kind of component that it takes, one or a list of them; None for a plain value."""
        return signatures.kind_of(self.annotation)

    @property
    def listed(self) -> bool:
        """Whether it takes a list."""
        return signatures.is_sequence(self.annotation)

    @property
    def required(self) -> bool:
        """Whether a value must be given."""
        return self.default is inspect.Parameter.empty


def component(kind: str, name: str) -> Callable[[C], C]:
    """Register a class under `kind` and `name`, and check and record its constructor's arguments.

    Arguments are checked against the annotations (`typing.Annotated` with ``annotated_types``
    bounds, `typing.Literal`, plain types). A parameter annotated with a class that has a
    ``component_kind`` also accepts a registered name or a ``{"name": ...}`` mapping.

    Args:
        kind: what it is: ``"quantizer"``, ``"encoder"``, ``"learning"``, ...
        name: its name in configuration files.

    Raises:
        ValueError: if the name is taken (a programming error).
    """

    def decorate(cls: C) -> C:
        table = _COMPONENTS.setdefault(kind, {})
        ours = {} if cls.__module__.startswith("vocabula.") else SOURCES.declared.get(kind, {})
        if name in ours or (name in table and table[name].__qualname__ != cls.__qualname__):
            raise ValueError(f"component {kind} {name!r} is already registered")
        table[name] = recorded(cls, kind, name)
        return cls

    return decorate


def recorded(cls: C, kind: str, name: str) -> C:
    """The class, whose constructor now checks its arguments and records them for `spec`."""
    original = cls.__init__  # type: ignore[misc]

    @functools.wraps(original)
    def checked_init(self: Any, *args: Any, **kwargs: Any) -> None:
        if type(self) is not cls:
            original(self, *args, **kwargs)
            return
        options = _bind(cls, args, kwargs)
        original(self, **options)
        object.__setattr__(self, _RECORD, options)

    cls.__init__ = checked_init  # type: ignore[misc]
    setattr(cls, _NAME, (kind, name))
    return cls


SOURCES = Sources(recorded)
"""What the package's own sources declare."""


def names(kind: str) -> list[str]:
    """The names of a kind, sorted: registered names and those that our sources declare."""
    return sorted({*_COMPONENTS.get(kind, {}), *SOURCES.declared.get(kind, {})})


def is_name(kind: str, name: str) -> bool:
    """Whether a component of a kind has a name."""
    return name in _COMPONENTS.get(kind, {}) or name in SOURCES.declared.get(kind, {})


def lookup(kind: str, name: str, path: str = "") -> type:
    """The class registered under `kind` and `name`.

    Raises:
        OptionError: if there is none; the message lists the names and the nearest one.
    """
    if name not in _COMPONENTS.get(kind, {}):
        importlib.import_module(_declared(kind, name, path).module)
    return _COMPONENTS[kind][name]


def signature(kind: str, name: str, path: str = "") -> type:
    """The class to read options from: as in `lookup`, or as its source declares it, not imported.

    Raises:
        OptionError: see `lookup`.
    """
    return _COMPONENTS.get(kind, {}).get(name) or _declared(kind, name, path).cls


def _declared(kind: str, name: str, path: str) -> Declared:
    found = SOURCES.declared.get(kind, {}).get(name)
    if found is None:
        known = names(kind)
        expected = f"one of {', '.join(known)}" if known else f"a {kind}"
        advice = suggest(str(name), known) or OWN
        raise UnknownNameError(f"{path or kind}: expected {expected}, got {name!r}{advice}")
    return found


def options(kind: str, name: str) -> list[Option]:
    """The options of a component, in the order of its constructor."""
    return list(_options(signature(kind, name)))


@functools.cache
def _options(cls: type) -> tuple[Option, ...]:
    described = signatures.argument_help(cls)
    hints = signatures.hints(cls)
    return tuple(
        Option(
            name=p.name,
            annotation=hints.get(p.name, Any),
            default=p.default,
            help=described.get(p.name, ""),
        )
        for p in signatures.parameters(cls)
    )


def build(kind: str, spec: Any, *, path: str = "", **wired: Any) -> Any:
    """Make a component from a name, a ``{"name": ..., option: value}`` mapping or an instance.

    Args:
        kind: the kind of component.
        spec: its name, its settings, or the ready-made object, which is returned as it is.
        path: where the settings stand, for error messages.
        wired: options that the caller supplies if the settings leave them out.

    Raises:
        OptionError: unknown name or option, a missing or a wrong value.
    """
    if not isinstance(spec, (str, Mapping)):
        return spec
    name, values = _split(kind, spec, path or kind)
    cls = lookup(kind, name, path or kind)
    for key, value in wired.items():
        if any(p.name == key for p in signatures.parameters(cls)):
            values.setdefault(key, value)
    return cls(**_checked(cls, values, path or kind, missing_allowed=()))


def check(kind: str, spec: Any, *, path: str = "", wired: Sequence[str] = ()) -> None:
    """Validate settings without building anything.

    Args:
        kind: the kind of component.
        spec: a name or a ``{"name": ..., option: value}`` mapping.
        path: where the settings stand, for error messages.
        wired: options that will be supplied later, so that they may be missing.

    Raises:
        OptionError: unknown name or option, a missing or a wrong value.
    """
    name, values = _split(kind, spec, path or kind)
    cls = signature(kind, name, path or kind)
    _checked(cls, values, path or kind, missing_allowed=wired, build_parts=False)


def spec(obj: Any) -> dict[str, Any]:
    """The settings from which `build` makes an equal component: names and plain values.

    Raises:
        OptionError: if the object is not a component or holds something that cannot be saved,
            such as a function.
    """
    record = getattr(obj, _RECORD, None)
    if record is None:
        raise OptionError(
            f"{type(obj).__name__}: expected a registered component, got a plain object; "
            "put @component(kind, name) on its class (of a wrapped network: "
            '@component("network", name)) so that it can be saved'
        )
    _, name = getattr(type(obj), _NAME)
    added = getattr(type(obj), _ADDED, ())
    kept = {k: v for k, v in record.items() if v or k not in added}
    return {"name": name, **{k: _plain(v, f"{name}.{k}") for k, v in kept.items()}}


def name_of(obj: Any) -> str:
    """The registered name of a component, or an empty string for anything else."""
    return str(getattr(type(obj), _NAME, ("", ""))[1])


def shown_options(obj: Any) -> list[str]:
    """``name=value`` of a component's choices by name, and of options that are not default."""
    record, cls = getattr(obj, _RECORD, {}), cast(type, type(obj))
    defaults = {p.name: p.default for p in signatures.parameters(cls)} if record else {}
    shown = []
    for name, value in record.items():
        inside = hasattr(value, "state_dict") or isinstance(value, (list, tuple))
        chosen = isinstance(value, str) or hasattr(value, "component_kind")
        if not inside and (chosen or value != defaults.get(name)):
            shown.append(f"{name}={getattr(value, '__name__', None) or repr(value)}")
    return shown


def _plain(value: Any, path: str) -> Any:
    if hasattr(value, _RECORD) or hasattr(value, "state_dict"):
        return spec(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(k): _plain(v, f"{path}.{k}") for k, v in value.items()}
    if isinstance(value, Iterable):
        items = list(value)
        first = [next(j for j, other in enumerate(items) if other is item) for item in items]
        return [
            {SAME: j} if j < i and hasattr(item, _RECORD) else _plain(item, path)
            for i, (item, j) in enumerate(zip(items, first, strict=True))
        ]
    raise OptionError(
        f"{path}: expected a value that can be saved, got {type(value).__name__}; "
        "use a registered component or a name instead"
    )


def _split(kind: str, spec: Any, path: str) -> tuple[str, dict[str, Any]]:
    if isinstance(spec, str):
        return spec, {}
    if not isinstance(spec, Mapping):
        raise OptionError(f"{path}: expected a name or a table of options, got {spec!r}")
    values = dict(spec)
    if "name" not in values:
        known = names(kind)
        if len(known) != 1:
            raise OptionError(f"{path}.name: expected one of {', '.join(known)}, got nothing")
        return known[0], values
    return str(values.pop("name")), values


def _bind(cls: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Constructor arguments by name, defaults filled in, checked and converted."""
    positional = [p for p in signatures.parameters(cls) if p.kind is not p.KEYWORD_ONLY]
    if len(args) > len(positional):
        raise OptionError(
            f"{cls.__name__}: expected at most {len(positional)} positional arguments, "
            f"got {len(args)}; name the options"
        )
    values = {p.name: value for p, value in zip(positional, args, strict=False)}
    if twice := values.keys() & kwargs.keys():
        raise OptionError(f"{cls.__name__}.{sorted(twice)[0]}: expected one value, got two")
    return _checked(cls, values | kwargs, cls.__name__, missing_allowed=())


def _checked(
    cls: type,
    values: Mapping[str, Any],
    path: str,
    *,
    missing_allowed: Sequence[str],
    build_parts: bool = True,
) -> dict[str, Any]:
    parameters = {p.name: p for p in signatures.parameters(cls)}
    for key in values:
        if key not in parameters:
            elsewhere = getattr(cls, "foreign_options", {}).get(key)
            advice = f"; write {elsewhere}" if elsewhere else suggest(key, parameters)
            known = ", ".join(parameters) or "none"
            text = f"{path}.{key}: unknown option of {cls.__name__}, expected one of {known}"
            raise UnknownOptionError(text + advice)
    result = {}
    for key, parameter in parameters.items():
        where = f"{path}.{key}"
        if key in values:
            annotation = signatures.hints(cls).get(key, Any)
            result[key] = _convert(annotation, values[key], where, build_parts)
        elif parameter.default is not inspect.Parameter.empty:
            result[key] = parameter.default
        elif key not in missing_allowed:
            accepted = signatures.describe(signatures.hints(cls).get(key, Any), names)
            missing = [
                p.name
                for p in parameters.values()
                if p.default is p.empty and p.name not in {*values, *missing_allowed}
            ]
            advice = f"; {cls.__name__} needs {', '.join(missing)}" if missing[1:] else ""
            raise OptionError(f"{where}: expected {accepted}, got nothing{advice}; give a value")
    return result


def _convert(annotation: Any, value: Any, where: str, build_parts: bool) -> Any:
    """`value` converted to the annotation; names and tables become components."""
    if signatures.accepts_none(annotation) and (value is None or value == "none"):
        return None
    kind, listed = signatures.kind_of(annotation), signatures.literals(annotation)
    component = isinstance(value, Mapping) or (isinstance(value, str) and value not in listed)
    if kind and component and (not listed or isinstance(value, Mapping) or is_name(kind, value)):
        if build_parts:
            return build(kind, value, path=where)
        check(kind, value, path=where)
        return value
    if kind is not None and signatures.is_sequence(annotation) and isinstance(value, Iterable):
        return _convert_list(annotation, value, where, build_parts)
    try:
        return converted(annotation, value)
    except ValueError:
        hint = suggest(value, signatures.literals(annotation)) if isinstance(value, str) else ""
        accepted = signatures.describe(annotation, names)
        raise OptionError(f"{where}: expected {accepted}, got {value!r}{hint}") from None


def _convert_list(
    annotation: Any, values: Iterable[Any], where: str, build_parts: bool
) -> list[Any]:
    item = typing.get_args(signatures.bare(annotation))[0]
    made: list[Any] = []
    for i, value in enumerate(values):
        if isinstance(value, Mapping) and set(value) == {SAME}:
            if value[SAME] not in range(i):
                raise OptionError(f"{where}[{i}].{SAME}: expected an index below {i}, got {value}")
            made.append(made[value[SAME]] if build_parts else value)
        else:
            made.append(_convert(item, value, f"{where}[{i}]", build_parts))
    return made
