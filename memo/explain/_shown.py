"""What is remembered of a call's arguments: four bytes a parameter, and short texts of the values inside.

The four bytes are a checksum of the parameter's canonical encoding, cut out of the encoding that the key was made from:
an argument is never encoded a second time, and a large one is there as its digest already. Zero means unknown.
The texts are leaves with their paths (``cfg["lr"]`` -> ``0.1``), bounded whatever the size of the value.
"""

from __future__ import annotations

from binascii import crc32
from collections import deque
from io import BytesIO
from marshal import dumps, load, loads
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType

from memo._call import main_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

MANY = 48  #: leaves a call
LONG = 80  #: characters a leaf
TOTAL = 2000  #: characters of a call, paths included
_PLAIN = frozenset((int, str, float, bool, type(None), bytes, complex))
_SMALL = _PLAIN - {str, bytes}
_EDGE = 4096  #: bytes or characters at each end of a long text that its checksum is made of
_REPR = frozenset(("datetime", "decimal", "fractions", "uuid", "pathlib", "ipaddress", "zoneinfo", "_pydatetime"))
_SECRET = ("password", "passwd", "secret", "api_key", "apikey", "access_token", "auth_token", "private_key")
UNKNOWN = b"\0\0\0\0"


def plain_notes(values: Iterable[Any]) -> list[bytes]:
    """Of values of plain types; this is what most misses pay."""
    return [crc32(dumps(value, 2)).to_bytes(4, "little") for value in values]


def small(values: tuple[Any, ...]) -> tuple[list[bytes], tuple[Any, ...]] | None:
    """Notes and a copy for later, for what is small and made of plain values, lists, tuples and dicts; else None.

    Most calls are of this kind, and texts that nobody may ever read need not be made while they run.
    """
    from memo.fingerprint._values import flat

    found, copies = [], []
    for value in values:
        copy, room = _copy(value, MANY)
        part = flat(value) if room >= 0 else None
        if part is None:
            return None
        found.append(crc32(part).to_bytes(4, "little"))
        copies.append(copy)
    return found, tuple(copies)


def _copy(value: Any, room: int) -> tuple[Any, int]:
    """(a copy, how much room is left); below zero where it is not small or not of these types."""
    kind = type(value)
    if kind in _SMALL:
        return value, room
    if kind is str or kind is bytes:
        return value, room if len(value) <= 4 * LONG else -1
    if kind is dict:
        items: Any = value.values()
    elif kind is list or kind is tuple:
        items = value
    else:
        return None, -1
    room -= len(value)
    if room < 0:
        return None, room
    if not _SMALL.issuperset(map(type, items)):
        copies = []
        for item in items:
            if type(item) not in _SMALL:
                item, room = _copy(item, room)
                if room < 0:
                    return None, room
            copies.append(item)
        items = copies
    elif kind is dict:
        return value.copy(), room
    return (dict(zip(value, items, strict=True)) if kind is dict else kind(items)), room


def notes(key: bytes, values: tuple[Any, ...] | None) -> list[bytes]:
    """Four bytes a parameter. ``values`` are those that ``key`` encodes; None where only the encoding is known."""
    if key[:1] == b"\x02":  # the parts of a call, one after the other
        found: list[bytes] = []
        start = 5
        try:
            for value in values or [None] * int.from_bytes(key[1:5], "little"):
                end = _end(key, start)
                # by its ends if it is plain, so that a long text has the same note whatever stands beside it
                long = type(value) in (str, bytes)
                found.append(_edges(value) if long else crc32(key[start:end]).to_bytes(4, "little"))
                start = end
            if start == len(key):
                return found
        except (ValueError, EOFError, TypeError, IndexError):
            pass  # a form that is not known here
    if key[:1] == b"(":
        return plain_notes(loads(key))
    # only the digest of the whole is left, or a form not known here: what is small can be told all the same
    return [_alone(value) for value in values or ()]


def _alone(value: Any) -> bytes:
    if type(value) in _PLAIN:
        return _edges(value)
    found = small((value,))
    return found[0][0] if found else UNKNOWN


def _edges(value: Any) -> bytes:
    if type(value) in (str, bytes) and len(value) > 2 * _EDGE:
        value = (len(value), value[:_EDGE], value[-_EDGE:])
    return crc32(dumps(value, 2)).to_bytes(4, "little")


def _end(raw: bytes, at: int) -> int:
    """Where the encoding that begins there ends. Raises ValueError for forms that hold others in a way of their own."""
    tag = raw[at : at + 1]
    if tag in (b"\x01", b"\x03"):
        return at + 21
    if tag in (b"[", b"("):
        return _skip(raw, at + 5, int.from_bytes(raw[at + 1 : at + 5], "little"))
    if tag == b">":
        (_, _, children), at = _loaded(raw, at + 1)
        return _skip(raw, at, children)
    if tag == b"d":
        return _end(raw, _loaded(raw, at + 1)[1])
    if tag == b"D":
        return _skip(raw, at + 5, 2 * int.from_bytes(raw[at + 1 : at + 5], "little"))
    if tag in (b"M", b"Z"):
        return _skip(raw, at + 5, int.from_bytes(raw[at + 1 : at + 5], "little"))
    if tag == b"r":
        raise ValueError("rows")
    if tag in (b"m", b"z"):
        return _loaded(raw, at + 1)[1]
    return _loaded(raw, at + 1 if tag == b"=" else at)[1]


def _skip(raw: bytes, at: int, count: int) -> int:
    for _ in range(count):
        at = _end(raw, at)
    return at


def _loaded(raw: bytes, at: int) -> tuple[Any, int]:
    stream = BytesIO(raw)
    stream.seek(at)
    return load(stream), stream.tell()


# ------------------------------------------------------------------------------------------------------------ leaves


def leaves(names: Iterable[str], values: Iterable[Any]) -> dict[str, str]:
    """Path -> short text, breadth first, so that a large argument leaves room for the others."""
    found: dict[str, str] = {}
    room = TOTAL
    todo: deque[tuple[str, Any]] = deque(zip(names, values, strict=False))
    while todo and len(found) < MANY and room > 0:
        path, value = todo.popleft()
        if path.lower().endswith(_SECRET) or path == "token":
            found[path] = "(not kept)"
            continue
        kind = type(value)
        if kind in _PLAIN:
            text = plain(value)
        else:
            text = _label(value, kind)
            if len(todo) < MANY:
                todo.extend(_inside(path, value, kind))
        found[path] = text
        room -= len(path) + len(text)
    return found


def plain(value: Any) -> str:
    kind = type(value)
    if kind is int and value.bit_length() > 4 * LONG:
        return f"an int of {value.bit_length():,} bits"
    if kind in (str, bytes) and len(value) > LONG:
        unit = "characters" if kind is str else "bytes"
        return f"{value[: LONG - 20]!r}… ({len(value):,} {unit})"
    return cut(repr(value))


def cut(text: str) -> str:
    return text if len(text) <= LONG else text[: LONG - 1] + "…"


def _label(value: Any, kind: type) -> str:
    """What a value is, without asking code of the user: nobody expects a cache to print their objects."""
    if kind is list or kind is tuple or kind is dict:
        return f"{kind.__name__} of {len(value)}"
    if kind is set or kind is frozenset:
        if len(value) <= 16 and all(type(item) in _PLAIN for item in value):
            return cut(f"{kind.__name__}({{{', '.join(sorted(map(plain, value)))}}})")
        return f"{kind.__name__} of {len(value)}"
    if kind in (FunctionType, BuiltinFunctionType, MethodType) or isinstance(value, type):
        return cut(f"{module_of(value)}.{value.__qualname__}")
    if kind is ModuleType:
        return cut(f"module {value.__name__}")
    module = kind.__module__.partition(".")[0]
    if module in _REPR:
        return cut(repr(value))
    name = value.__dict__.get("_name_") if hasattr(kind, "__members__") and hasattr(value, "__dict__") else None
    if type(name) is str:
        return cut(f"{kind.__qualname__}.{name}")
    text = f"{module_of(kind)}.{kind.__qualname__}"
    if module in ("numpy", "pandas", "polars", "scipy", "torch", "pyarrow"):
        text = _array(value, text)
    return cut(text)


def module_of(value: Any) -> str:
    """A script's functions go by the name that it would be imported under, as their results do."""
    return main_name() if value.__module__ == "__main__" else str(value.__module__)


def _array(value: Any, text: str) -> str:
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if dtype is not None:
        text += f" {dtype}"
    if shape is not None:
        text += f" {tuple(shape)}"
        if dtype is not None and getattr(dtype, "kind", "O") in "biufc" and getattr(value, "size", 99) <= 8:
            text += f" {value.tolist()}"
    return text


def _inside(path: str, value: Any, kind: type) -> Iterator[tuple[str, Any]]:
    items: Iterable[tuple[str, Any]]
    if kind is dict:
        items = ((f"{path}[{_key(key)}]", item) for key, item in value.items())
    elif kind is list or kind is tuple:
        items = ((f"{path}[{index}]", item) for index, item in enumerate(value))
    elif isinstance(value, (type, FunctionType, ModuleType, MethodType)) or hasattr(kind, "__members__"):
        return
    else:
        fields = getattr(kind, "_fields", None)  # a named tuple
        if isinstance(value, tuple) and isinstance(fields, tuple):
            items = ((f"{path}.{name}", item) for name, item in zip(fields, tuple(value), strict=False))
        elif kind.__module__.partition(".")[0] in ("numpy", "pandas", "polars", "scipy", "torch", "pyarrow"):
            return
        else:
            inner = getattr(value, "__dict__", None)
            if type(inner) is not dict:
                return
            items = ((f"{path}.{name}", item) for name, item in inner.items() if type(name) is str)
    for count, item in enumerate(items):
        if count == MANY:
            return
        yield item


def _key(key: Any) -> str:
    if type(key) is str and key.isprintable() and '"' not in key and len(key) <= LONG:
        return f'"{key}"'
    return plain(key) if type(key) in _PLAIN else f"<{type(key).__name__}>"
