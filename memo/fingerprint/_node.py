"""What a value is made of: a leaf (bytes) or a node (a head and further values).

The handlers of all families return one of these and never encode a child themselves, so that one place, ``_graph``,
answers for depth, sharing, cycles and the paths in messages. Heads and leaves delimit themselves: one is never the
beginning of another.
"""

from __future__ import annotations

from marshal import dumps

from .._tuples import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, TypeAlias

# How the encodings of the children are put together, and how a path names them.
ITEMS = 0  #: in order; value[3]
KEYED = 1  #: in order; value["key"], from names
FIELDS = 2  #: in order; value.field, from names
BARE = 3  #: in order; they add nothing to the path
SET = 4  #: sorted; value[...]
PAIRS = 5  #: keys, then as many values; sorted by pair; value["key"]
ROOT = 6  #: in order; the names themselves


class Node(NamedTuple):
    head: bytes
    children: Sequence[Any]  #: values, or nodes
    kind: int = ITEMS
    names: Sequence[Any] = ()


Described: TypeAlias = "bytes | Node"
Handler: TypeAlias = "Callable[[Any], Described]"


class Refusal(Exception):
    """Raised by a handler for a value without a canonical encoding; becomes an UnkeyableError with its path."""


def leaf(name: str, *content: Any) -> bytes:
    """A value that plain ones (or tuples of them) say completely."""
    return b"=" + dumps((name, *content), 2)


def node(name: str, children: Sequence[Any], kind: int = BARE, names: Sequence[Any] = (), content: Any = None) -> Node:
    """A value made of ``children``; ``content`` is what plain values can say of it."""
    return Node(b">" + dumps((name, content, len(children)), 2), children, kind, names)


def combine(kind: int, head: bytes, parts: Sequence[bytes]) -> bytes:
    if kind == SET:
        parts = sorted(parts)
    elif kind == PAIRS:
        half = len(parts) // 2
        parts = sorted(map(bytes.__add__, parts[:half], parts[half:]))
    return head + b"".join(parts)


def step(kind: int, names: Sequence[Any], index: int) -> str:
    """How the path of a message names child ``index``."""
    if kind == ITEMS:
        return f"[{index}]"
    if kind == KEYED:
        return f"[{_shown(names[index])}]"
    if kind == FIELDS:
        return f".{names[index]}" if names[index] else ""
    if kind == PAIRS:
        return f"[{_shown(names[index % len(names)])}]"
    if kind == SET:
        return "[...]"
    return str(names[index]) if kind == ROOT else ""


def _shown(key: object) -> str:
    if type(key) is str:
        text = f'"{key}"' if key.isprintable() and '"' not in key else ascii(key)
    elif type(key) in (int, float, bool, bytes, type(None)):
        text = repr(key)
    else:
        return f"<{type(key).__name__}>"
    return text if len(text) <= 60 else text[:59] + "…"
