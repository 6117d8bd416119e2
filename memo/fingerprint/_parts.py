"""Captured values with something in them that has no value: a dict with a lock, an object with a logger.

Such a part counts by where it hangs and its type; everything around it counts as ever, so that a configuration object
does not go blind because it holds a connection. For captures only: an argument like that is refused.
"""

from __future__ import annotations

from _thread import _local
from gc import get_referents
from itertools import count
from operator import itemgetter
from typing import Any

from ..errors import UnkeyableError
from ._captured import carries_code

_looks = count()


def _fingerprint(value: Any, path: str) -> bytes:
    from . import fingerprint

    return fingerprint(value, path)


def _inside(value: Any) -> list[tuple[str, Any]] | None:
    """(label, part) of a container or a plain object; None when it can't be taken apart."""
    kind = type(value)
    if kind in (list, tuple):
        return [(str(index), part) for index, part in enumerate(value)]
    if kind is dict:
        return sorted(((_label(key), part) for key, part in value.items()), key=itemgetter(0))
    if kind in (set, frozenset):
        return sorted(((_label(part), part) for part in value), key=itemgetter(0))
    weak = _referred(value, kind)
    if weak is not None:
        return weak
    if kind.__module__ == "threading" and kind.__name__ == "Event":
        return [("is_set()", value.is_set())]
    own = getattr(value, "__dict__", None)
    opaque = kind.__module__ in ("builtins", "_thread", "threading", "logging") and kind is not _local
    if isinstance(own, dict) and not opaque:
        held = sorted(((str(name), part) for name, part in list(own.items())), key=itemgetter(0))
        return held or _code_in(value) or []
    return _code_in(value)


def _referred(value: Any, kind: type) -> list[tuple[str, Any]] | None:
    """Of weak references what they lead to, while it is there."""
    if kind.__module__ not in ("weakref", "_weakref", "_weakrefset"):
        return None
    try:
        if kind.__name__ in ("ReferenceType", "WeakMethod", "KeyedRef"):
            return [("()", value())]
        if kind.__name__ in ("ProxyType", "CallableProxyType"):
            return [("()", value.__str__.__self__)]
        if kind.__name__ == "WeakSet":
            return _inside(set(value))
        return _inside(dict(value))
    except (ReferenceError, AttributeError):
        return None


def _code_in(value: Any) -> list[tuple[str, Any]] | None:
    """Functions and classes that compiled code keeps inside of an object, which only the garbage collector is told of."""
    found = [part for part in get_referents(value) if carries_code(part) and part is not type(value)]
    return sorted(((_label(part), part) for part in found), key=itemgetter(0)) or None


def is_used_up(value: Any) -> bool:
    """A generator, or an iterator of Python's own: looking at it is using it up, and using it changes it."""
    return type(value).__module__ in ("builtins", "itertools") and hasattr(type(value), "__next__")


def _label(key: Any) -> str:
    try:
        return _fingerprint(key, "key").hex()
    except UnkeyableError:
        return f"by type {type(key).__module__}:{type(key).__qualname__}"


def _walk(value: Any, shown: str) -> tuple[bytes, list[str], bool]:
    """(digest, parts that count by type, whether nothing else is left)."""
    from blake3 import blake3

    out: list[bytes] = []
    by_type: list[str] = []
    whole = True
    seen: dict[int, int] = {}
    optional: set[int] = set()  #: of a ``threading.local``
    todo: list[tuple[str, Any]] = [("", value)]
    for label, part in todo:  # grows while it is read
        own = label.encode("utf-8", "surrogatepass")
        out.append(own)
        if id(part) in seen:
            out.append(b"again %d" % seen[id(part)])
            continue
        try:
            out.append(_fingerprint(part, shown + label))
            whole = False
            continue
        except UnkeyableError:
            pass
        seen[id(part)] = len(seen)
        kind = type(part)
        if is_used_up(part):  # so that nothing is stored which depends on how much of it is left
            out.append(b"another %d" % next(_looks))
            by_type.append(
                f"{shown}{label} ({kind.__module__}.{kind.__qualname__}), which is used up: nothing is stored"
            )
            whole = False
            continue
        out.append(f"{kind.__module__}:{kind.__qualname__}".encode())
        inside = _inside(part)
        if inside is None and id(part) in optional:
            out[-2:] = []  # a connection that a thread keeps for its next call
        if inside is None:
            by_type.append(f"{shown}{label} ({kind.__module__}.{kind.__qualname__})")
            continue
        whole = False  # what it holds may be another thing later
        if kind.__module__ != "builtins":
            from ._code import code_of

            out.append(code_of(kind))
        if isinstance(part, _local):
            optional.update(id(inner) for _, inner in inside)
        else:
            out.append(b"%d" % len(inside))
        todo.extend((f"{label}.{name}", inner) for name, inner in inside)
    return blake3(b"\0".join(out)).digest(20), by_type, whole


def by_parts(value: Any, shown: str) -> bytes:
    return _walk(value, shown)[0]


def unkeyable_parts(value: Any, shown: str) -> tuple[bool, list[str]]:
    """(whether the value counts by its type only, what in it does)."""
    _, by_type, whole = _walk(value, shown)
    return whole, by_type
