"""Whether a loaded module holds what its file says: whether something else was put in the place of a definition.

Two questions. ``is_as_written`` is asked of a module whose loading is taken for granted, and trusts what it sees first
of values that a call made. ``is_surely_as_written`` is asked of a module that was loaded before memo looked: only what the
text alone says completely is sure, and nothing else can be told from what somebody changed.
"""

from __future__ import annotations

import _ast
import sys
from collections.abc import Callable
from types import FunctionType

from ._class import counts
from ._project import is_project
from ._source import Source
from ._tree import constant
from ._values import flat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: What was first seen under a name, and whether it still is what it was: where only running the module can tell.
_seen: dict[tuple[str, str], tuple[Source, Any, Callable[[], bool], bytes | None]] = {}


def is_as_written(value: Any, name: str, source: Source, form: str, namespace: dict[str, Any]) -> bool:
    if form[:1] == "=":
        plain = type(value) in (type(None), bool, int, float, complex, str, bytes, type(...))
        return plain and "=" + constant(value) == form
    if form == "def":
        while type(value) is FunctionType and value.__code__.co_filename.startswith("<memo "):
            value = value.__wrapped__  # type: ignore[attr-defined]
        return _is_function_as_written(value, source, namespace)
    if form == "class" and not (isinstance(value, type) and _is_class_as_written(value, name, source, namespace)):
        return False
    key = (namespace["__name__"], name)  # of what is decorated or made by a call nothing more is known
    seen = _seen.get(key)
    if seen is None or seen[0] is not source:
        from ._check import Snapshot

        seen = _seen[key] = source, value, Snapshot(value) if isinstance(value, type) else bool, flat(value)
    if seen[1] is value:
        return not isinstance(value, type) or seen[2]()
    return seen[3] is not None and seen[3] == flat(value)


def _is_function_as_written(value: Any, source: Source, namespace: dict[str, Any]) -> bool:
    return (
        type(value) is FunctionType and value.__globals__ is namespace and source.definition(value.__code__) is not None
    )


def _is_class_as_written(cls: type, name: str, source: Source, namespace: dict[str, Any]) -> bool:
    """As far as its name and its methods can tell."""
    if cls.__module__ != namespace["__name__"] or cls.__qualname__ != name:
        return False
    for value in list(vars(cls).values()):
        function = getattr(value, "__func__", value)
        if type(function) is not FunctionType or function.__code__.co_filename[:1] == "<":
            continue
        if is_project(function.__globals__) and not _is_function_as_written(function, source, namespace):
            return False
    return True


def seen_class(module: str, name: str) -> Callable[[], bool]:
    """Whether a class still is what it was when it was first seen."""
    return _seen[module, name][2]


def is_surely_as_written(value: Any, name: str, source: Source, namespace: dict[str, Any]) -> bool:
    """Whether loading the file gives just this: constants, literals, plain functions and classes of these, imports."""
    if not source.parse():
        return False
    found = [node for node in source.tree.body if name in _names_bound(node)]
    if len(found) != 1:
        return False
    node = found[0]
    kind = type(node)
    if kind is _ast.Import or kind is _ast.ImportFrom:
        return any(value is given for given in _imported(node, name, namespace))
    if kind is _ast.FunctionDef or kind is _ast.AsyncFunctionDef:
        return _is_surely_function(value, node, source, namespace)
    if kind is _ast.ClassDef:
        return isinstance(value, type) and _is_surely_class(value, node, source, namespace)
    return node.value is not None and _is_literal(node.value, value)


def _names_bound(node: Any) -> tuple[str, ...]:
    kind = type(node)
    if kind in (_ast.FunctionDef, _ast.AsyncFunctionDef, _ast.ClassDef):
        return (node.name,)
    if kind is _ast.Import or kind is _ast.ImportFrom:
        return tuple(alias.asname or alias.name.partition(".")[0] for alias in node.names)
    if kind is _ast.Assign:
        return tuple(target.id for target in node.targets if type(target) is _ast.Name)
    return (node.target.id,) if kind is _ast.AnnAssign and type(node.target) is _ast.Name else ()


def _imported(node: Any, name: str, namespace: dict[str, Any]) -> list[Any]:
    found: list[Any] = []
    for alias in node.names:
        if (alias.asname or alias.name.partition(".")[0]) != name:
            continue
        if type(node) is _ast.Import:
            found.append(sys.modules.get(alias.name if alias.asname else name))
            continue
        module = node.module or ""
        if node.level:
            package = str(namespace.get("__package__") or "").split(".")
            module = ".".join([*package[: len(package) + 1 - node.level], *([module] if module else [])])
        inside = getattr(sys.modules.get(module), "__dict__", {})
        found += [inside.get(alias.name, found), sys.modules.get(f"{module}.{alias.name}", found)]
    return [value for value in found if value is not None]


def _is_literal(node: Any, value: Any) -> bool:
    from ast import literal_eval

    try:
        wanted = flat(literal_eval(node))
        return wanted is not None and wanted == flat(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False


def _is_surely_function(value: Any, node: Any, source: Source, namespace: dict[str, Any]) -> bool:
    """An undecorated one whose defaults are literals."""
    while type(value) is FunctionType and value.__code__.co_filename.startswith("<memo "):
        value = value.__wrapped__  # type: ignore[attr-defined]
    if not _is_function_as_written(value, source, namespace) or value.__dict__ or value.__closure__:
        return False
    if any(True for d in node.decorator_list if not _is_of_memo(d, source)):
        return False
    defaults = value.__defaults__ or ()
    keywords = {a.arg: d for a, d in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True) if d is not None}
    given = value.__kwdefaults__ or {}
    return (
        len(defaults) == len(node.args.defaults)
        and all(map(_is_literal, node.args.defaults, defaults))
        and given.keys() == keywords.keys()
        and all(_is_literal(keywords[name], given[name]) for name in given)
    )


def _is_of_memo(decorator: Any, source: Source) -> bool:
    while type(decorator) in (_ast.Call, _ast.Attribute):
        decorator = decorator.func if type(decorator) is _ast.Call else decorator.value
    return type(decorator) is _ast.Name and decorator.id in source.own


def _is_surely_class(cls: type, node: Any, source: Source, namespace: dict[str, Any]) -> bool:
    """An undecorated one of bases that are names, whose body holds nothing but literals and such functions."""
    if type(cls) is not type or node.decorator_list or node.keywords or cls.__module__ != namespace["__name__"]:
        return False
    bases = [base.id if type(base) is _ast.Name else "" for base in node.bases] or ["object"]
    if [base.__qualname__ for base in cls.__bases__] != bases:
        return False
    written = {name: inner for inner in node.body for name in _names_bound(inner)}
    for name, value in list(vars(cls).items()):
        if not counts(cls, name, value) or type(value).__name__ in ("getset_descriptor", "member_descriptor"):
            continue
        inner = written.pop(name, None)
        if type(inner) is _ast.FunctionDef or type(inner) is _ast.AsyncFunctionDef:
            if not _is_surely_function(value, inner, source, namespace):
                return False
        elif inner is None or getattr(inner, "value", None) is None or not _is_literal(inner.value, value):
            return False
    return not any(getattr(inner, "value", inner) is not None for inner in written.values())
