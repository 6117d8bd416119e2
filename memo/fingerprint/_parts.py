"""Captured values with something in them that has no value: a dict with a lock, an object with a logger.

Such a part counts by where it hangs and its type; everything around it counts as ever, so that a configuration object
does not go blind because it holds a connection. For captures only: an argument like that is refused.
"""

from __future__ import annotations

from typing import Any

from ..errors import UnkeyableError


def _fingerprint(value: Any, path: str) -> bytes:
    from . import fingerprint

    return fingerprint(value, path)


def _inside(value: Any) -> list[tuple[str, Any]] | None:
    """(label, part) of a container or a plain object; None when it can't be taken apart."""
    kind = type(value)
    if kind in (list, tuple):
        return [(str(index), part) for index, part in enumerate(value)]
    if kind is dict:
        return sorted(((_label(key), part) for key, part in value.items()), key=lambda item: item[0])
    if kind in (set, frozenset):
        return sorted(((_label(part), part) for part in value), key=lambda item: item[0])
    own = getattr(value, "__dict__", None)
    if isinstance(own, dict) and kind.__module__ not in ("builtins", "_thread", "threading", "logging"):
        return sorted((str(name), part) for name, part in own.items()) if len(own) else None
    return None


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
    todo: list[tuple[str, Any]] = [("", value)]
    for label, part in todo:  # grows while it is read
        out.append(label.encode("utf-8", "surrogatepass"))
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
        out.append(f"{kind.__module__}:{kind.__qualname__}".encode())
        inside = _inside(part)
        if inside is None:
            by_type.append(f"{shown}{label} ({kind.__module__}.{kind.__qualname__})")
            continue
        if kind.__module__ != "builtins":
            from ._code import code_of

            out.append(code_of(kind))
        out.append(b"%d" % len(inside))
        todo.extend((f"{label}.{name}", inner) for name, inner in inside)
    return blake3(b"\0".join(out)).digest(20), by_type, whole


def by_parts(value: Any, shown: str) -> bytes:
    return _walk(value, shown)[0]


def unkeyable_parts(value: Any, shown: str) -> tuple[bool, list[str]]:
    """(whether the value counts by its type only, what in it does)."""
    _, by_type, whole = _walk(value, shown)
    return whole, by_type
