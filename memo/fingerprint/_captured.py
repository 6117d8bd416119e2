"""Captured values: which can't change, which carry code, and what those that do are made of."""

from __future__ import annotations

import sys
from types import FunctionType, MethodType

from .._tuples import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


ATOMS = frozenset({type(None), bool, int, float, complex, str, bytes, type(...), type(NotImplemented), range})
_IMMUTABLE = frozenset(
    {
        ("datetime", "datetime"),
        ("datetime", "date"),
        ("datetime", "time"),
        ("datetime", "timedelta"),
        ("datetime", "timezone"),
        ("decimal", "Decimal"),
        ("fractions", "Fraction"),
        ("uuid", "UUID"),
        ("re", "Pattern"),
        ("pathlib", "PurePath"),
        ("pathlib", "PurePosixPath"),
        ("pathlib", "PureWindowsPath"),
        ("pathlib", "PosixPath"),
        ("pathlib", "WindowsPath"),
        ("zoneinfo", "ZoneInfo"),
        ("ipaddress", "IPv4Address"),
        ("ipaddress", "IPv6Address"),
    }
)


class Mutable(NamedTuple):
    """A captured value that may change in place."""

    label: str  #: as it stands in the digest
    value: Any
    shared: bool  #: a module's name; else a cell, a default, an attribute of the node of that number
    shown: str  #: for reports


def is_immutable(value: Any, depth: int = 0) -> bool:
    kind = type(value)
    if kind in ATOMS:
        return True
    if kind is tuple or kind is frozenset:
        return depth < 20 and all(is_immutable(v, depth + 1) for v in value)
    module = kind.__module__
    if module == "numpy":
        base = kind.__base__
        return kind.__name__ != "void" and base is not None and any(c.__name__ == "generic" for c in kind.__mro__)
    return (module.partition(".")[0], kind.__name__) in _IMMUTABLE


def frozen_fields(value: Any) -> tuple[Any, ...] | None:
    """The fields of a frozen dataclass or named tuple whose fields can't change either; None for anything else."""
    kind = type(value)
    params = kind.__dict__.get("__dataclass_params__")
    if params is not None and params.frozen:
        names = list(kind.__dataclass_fields__)
        if len(getattr(value, "__dict__", ())) > len(names):
            return None
        fields = tuple(getattr(value, name, None) for name in names)
    elif isinstance(value, tuple) and "_fields" in kind.__dict__ and not getattr(value, "__dict__", None):
        fields = tuple(value)
    else:
        return None
    return fields if all(map(is_immutable, fields)) else None


def carries_code(value: Any) -> bool:
    """Whether an installed wrapper's cell is worth following: library state is the library's, code may be ours."""
    return isinstance(value, (FunctionType, type, MethodType, property, staticmethod, classmethod)) or (
        type(value).__name__ in ("partial", "_lru_cache_wrapper") and type(value).__module__ == "functools"
    )


def unwrapped(function: Any) -> Any:
    """A function persisted by memo counts as what it wraps; so does memo's descriptor of it in a class."""
    if type(function).__module__ == "memo._handle" and type(function).__name__ == "Method":
        return function.__wrapped__
    while type(function) is FunctionType and function.__code__.co_filename.startswith("<memo "):
        inner = function.__dict__.get("__wrapped__")
        if inner is None:
            break
        function = inner
    return function


def is_functools(value: Any) -> bool:
    kind = type(value)
    return kind.__module__ == "functools" and kind.__name__ in (
        "partial",
        "partialmethod",
        "cached_property",
        "_lru_cache_wrapper",
        "singledispatchmethod",
    )


def is_member(value: Any) -> bool:
    enum = sys.modules.get("enum")
    return enum is not None and isinstance(value, enum.Enum) and value._name_ is not None


def parts_of(node: Any) -> dict[str, Any]:
    """What an object that carries code is made of."""
    kind = type(node)
    if kind is MethodType:
        return {"function": node.__func__, "self": node.__self__}
    if kind is property:
        return {"get": node.fget, "set": node.fset, "delete": node.fdel}
    if kind in (staticmethod, classmethod):
        return {"function": node.__func__}
    if kind is tuple:
        return {f"{index:09}": value for index, value in enumerate(node)}
    if kind is frozenset:
        ordered = sorted(
            node,
            key=lambda v: (type(v).__qualname__, getattr(v, "__qualname__", ""), ascii(v) if is_immutable(v) else ""),
        )
        return {f"{index:09}": value for index, value in enumerate(ordered)}
    name = kind.__name__
    if kind.__module__ == "functools":
        if name in ("partial", "partialmethod"):
            own = {"attributes": vars(node)} if getattr(node, "__dict__", None) else {}
            keywords = {f"={k}": v for k, v in node.keywords.items()}
            return {"function": node.func, "args": node.args, **keywords, **own}
        if name == "cached_property":
            return {"function": node.func}
        if name == "singledispatchmethod":
            return {"function": node.dispatcher}
    return {"wrapped": node.__wrapped__}
