"""Where two values differ, in value or in type: the check that what was stored is what comes back."""

from __future__ import annotations

from typing import Any


def changed_in(one: Any, other: Any) -> tuple[str, str] | None:
    """Where two values differ, in value or in type, and how."""
    kind = type(one)
    if kind is not type(other):
        return "", f"is of type {named(kind)} and would be {named(type(other))}"
    if kind in (list, tuple) or (issubclass(kind, tuple) and hasattr(kind, "_fields")):
        if len(one) != len(other):
            return "", f"has {len(one)} items and would have {len(other)}"
        pairs = zip(range(len(one)), zip(one, other, strict=True), strict=True)
        return _first((f"[{index}]", *both) for index, both in pairs)
    if kind is dict:
        if len(one) != len(other):
            return "", f"has {len(one)} keys and would have {len(other)}"
        keys = _first((f" key {mine!r}", mine, its) for mine, its in zip(one, other, strict=True))
        return keys or _first((f"[{key!r}]", one[key], other[key]) for key in one)
    if kind in (set, frozenset):
        mine = {item: item for item in one}
        if one != other:
            return "", f"is {one!r} and would be {other!r}"
        return _first((f" item {item!r}", mine[item], item) for item in other)
    if kind is float:
        return None if one.hex() == other.hex() else ("", f"is {one!r} and would be {other!r}")
    if (parts := _parts(one)) is not None:
        theirs = _parts(other)
        assert theirs is not None
        if parts.keys() != theirs.keys():
            return "", f"has {', '.join(parts)} and would have {', '.join(theirs)}"
        return _first((f".{name}", parts[name], theirs[name]) for name in parts)
    return None if one is other or (one == other and repr(one) == repr(other)) else (
        "", f"is {one!r} and would be {other!r}"
    )  # fmt: skip


def _first(pairs: Any) -> tuple[str, str] | None:
    for path, one, other in pairs:
        if one is not other and (found := changed_in(one, other)):
            return path + found[0], found[1]
    return None


def _parts(value: Any) -> dict[str, Any] | None:
    """What an instance of a class with fields consists of; None for all other values."""
    kind = type(value)
    if not (is_record(kind) or hasattr(kind, "__pydantic_fields__")):
        return None
    parts = dict(getattr(value, "__dict__", {}))
    names = [*getattr(kind, "__struct_fields__", ()), *getattr(kind, "__dataclass_fields__", ())]
    names += [each.name for each in getattr(kind, "__attrs_attrs__", ())]
    parts |= {name: getattr(value, name) for name in names if hasattr(value, name)}
    for own in ("__pydantic_extra__", "__pydantic_private__", "__pydantic_fields_set__"):
        if hasattr(value, own):
            parts[own] = getattr(value, own)
    return parts


def is_record(kind: type) -> bool:
    marks = ("__dataclass_fields__", "__struct_fields__", "__attrs_attrs__", "__total__", "_fields")
    return any(hasattr(kind, mark) for mark in marks)


def named(kind: type) -> str:
    module = "__main__" if kind.__module__ == "__mp_main__" else kind.__module__  # a spawned worker's is the script's
    return kind.__qualname__ if module in ("builtins", "types") else f"{module}.{kind.__qualname__}"
