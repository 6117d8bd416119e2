"""The canonical encoding, and its fast path: builtin containers of plain values, at the speed of C.

The encoding is that of ``marshal`` version 2 (no references, no interning: equal values, equal bytes; the same in
every version of Python) wherever marshal says everything, with tags of its own for the rest:

    plain value, list, tuple    what marshal writes: ``[`` or ``(``, length, items
    dict                        ``d``, sorted keys as a list, values as a list; ``D``, sorted pairs, for mixed keys
    set, frozenset              ``m``, ``z``, sorted list; ``M``, ``Z``, sorted encodings, for mixed items
    16 or more short rows       ``r``: a list of dicts or of lists, column by column
    everything else             ``=`` leaves and ``>`` nodes, see ``_node``; ``\\x03`` what is part of a cycle
    any of these that is long   ``\\x01`` and its digest, so that depth and sharing cost nothing
    a call                      ``\\x02``, the encodings of its values

Which form is taken follows from the value alone. ``flat`` gives up (None) on whatever it does not know, on depth, and on
width, and is so safe on cycles and on objects shared a million times; ``_graph`` then makes the same bytes.
"""

from __future__ import annotations

from _operator import itemgetter
from itertools import chain
from marshal import dumps

from ._digest import digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["digest", "encode", "encoding", "fingerprint"]

PLAIN = frozenset({int, str, float, bool, type(None), bytes, complex})
ORDERED = frozenset({int, str, bytes})  #: what ``sorted`` puts into one order only, for items of one type
SHORT = 512  #: bytes: a longer encoding of a container is replaced by its digest
LARGE = 1 << 16  #: bytes: longer bytes objects are hashed where they are
WIDE = 64  #: items: rows this short are taken apart into columns; nested containers this short are encoded here
MANY = 16  #: rows from which columns pay
LONG = 1 << 10  #: numbers from which looking at what marshal wrote is faster than at the type of each
FRONT = 1 << 10  #: bytes: a longer encoding of a call is replaced by its digest

#: Exact types of small immutable values that the standard library brings, filled in as they are met.
LEAVES: dict[type, Callable[[Any], Any]] = {}


def encode(parameters: tuple[str, ...], values: tuple[Any, ...]) -> bytes:
    """The canonical encoding of a call: equal for equal values, different for any others.

    Of plain values alone it is ``marshal.dumps(values, 2)``; no other call's encoding begins like that. Raises
    UnkeyableError, naming the parameter and the path inside its value.
    """
    if PLAIN.issuperset(map(type, values)):
        try:
            return dumps(values, 2)
        except ValueError:  # 2 GB or more
            pass
    parts: list[bytes] = []
    for value in values:
        part = flat(value)
        if part is None:
            from ._graph import encodings

            parts = encodings(values, parameters, parts)
            break
        parts.append(part)
    raw = b"\x02" + len(parts).to_bytes(4, "little") + b"".join(parts)
    return raw if len(raw) <= FRONT else b"\x01" + digest(raw)


def encoding(value: Any) -> bytes:
    """The canonical encoding of one value, as it is part of a call's: what a reference to it gives in its place."""
    part = flat(value)
    if part is None:
        from ._graph import encodings

        part = encodings((value,), ("value",), [])[0]
    return part


def fingerprint(value: Any, path: str = "value") -> bytes:
    """The digest (20 bytes) of one value's canonical encoding; ``path`` is what an UnkeyableError calls the value."""
    part = flat(value)
    if part is None:
        from ._graph import encodings

        part = encodings((value,), (path,), [])[0]
    return digest(part)


def fold(raw: bytes) -> bytes:
    return raw if len(raw) <= SHORT else b"\x01" + digest(raw)


def flat(value: Any, depth: int = 2) -> bytes | None:
    """The encoding of a value made of plain ones, at most ``depth`` containers deep (rows apart); None otherwise."""
    kind = type(value)
    if kind in PLAIN:
        return _atom(value, kind)
    if kind is dict:
        return _flat_dict(value, depth)
    if kind is list:
        return _flat_items(value, b"[", depth)
    if kind is tuple:
        return _flat_items(value, b"(", depth)
    if kind is set:
        return _flat_set(value, b"mM")
    if kind is frozenset:
        return _flat_set(value, b"zZ")
    leaf = LEAVES.get(kind)
    if leaf is not None:
        found = leaf(value)
        if type(found) is bytes:
            return found
    return None


def _atom(value: Any, kind: type) -> bytes:
    if kind is bytes and len(value) > LARGE:
        return b"=" + dumps(("bytes", len(value), digest(value)), 2)
    try:
        return dumps(value, 2)
    except ValueError:  # a text of 2 GB or more
        data = value.encode("utf-8", "surrogatepass")
        return b"=" + dumps(("str", len(data), digest(data)), 2)


def _numbers(items: list[Any] | tuple[Any, ...]) -> bytes | None:
    """Many ints of 32 bits, or many floats, by what marshal wrote; None for all others.

    It writes an exact int as ``i`` and four bytes and an exact float as ``g`` and eight; nothing else begins like that. If
    the first tag is there, the second item begins one width later, and so on: with the tag at every step all are of
    that type. marshal walks into containers, and shared ones time and again: ``fsum`` and ``hypot`` refuse them first.
    """
    kind, size = type(items[0]), len(items)
    if kind is not type(items[-1]):
        return None
    try:
        if kind is int:
            if items[0].bit_length() > 31 or items[-1].bit_length() > 31:
                return None
            from math import fsum

            fsum(items)
            tag, width = b"i", 5
        elif kind is float:
            from math import hypot

            hypot(*items)
            tag, width = b"g", 9
        else:
            return None
        raw = dumps(items, 2)
    except Exception:  # of the float() of whatever else is among them
        return None
    return raw if len(raw) == 5 + size * width and raw[5::width] == tag * size else None


def _run(items: list[Any] | tuple[Any, ...], kinds: set[type]) -> bytes | None:
    """A list or tuple of plain values, in one go."""
    if not kinds <= PLAIN:
        return None
    if bytes in kinds and max(len(item) for item in items if type(item) is bytes) > LARGE:
        return None
    try:
        return dumps(items, 2)
    except ValueError:
        return None


def _flat_items(items: list[Any] | tuple[Any, ...], opening: bytes, depth: int) -> bytes | None:
    if len(items) >= LONG:
        raw = _numbers(items)
        if raw is not None:
            return fold(raw)
    kinds = set(map(type, items))
    raw = _run(items, kinds)
    if raw is None:
        size = len(items)
        if size >= MANY:
            rows = _rows(items, kinds, 3)
            if rows is not None:
                return fold(b"r" + opening + rows)
        if size > WIDE or not depth:
            return None
        parts = []
        for item in items:
            part = flat(item, depth - 1)
            if part is None:
                return None
            parts.append(part)
        raw = opening + size.to_bytes(4, "little") + b"".join(parts)
    return fold(raw)


def sorted_keys(value: dict[Any, Any]) -> list[Any] | None:
    """The keys of a dict in the one order of their type; None when they have not one type with one order."""
    kinds = set(map(type, value))
    if len(kinds) > 1 or not kinds <= ORDERED:
        return None
    return sorted(value)


def _flat_dict(value: dict[Any, Any], depth: int) -> bytes | None:
    keys = sorted_keys(value)
    if keys is not None:
        values = _flat_items(list(map(value.__getitem__, keys)), b"[", depth)
        return None if values is None else fold(b"d" + dumps(keys, 2) + values)
    if not PLAIN.issuperset(map(type, value)) or (
        len(value) > WIDE and not PLAIN.issuperset(map(type, value.values()))
    ):
        return None
    pairs = []
    for key, item in value.items():
        part = flat(item, depth - 1) if depth else None
        if part is None:
            return None
        pairs.append(_atom(key, type(key)) + part)
    return fold(b"D" + len(pairs).to_bytes(4, "little") + b"".join(sorted(pairs)))


def _flat_set(value: set[Any] | frozenset[Any], tags: bytes) -> bytes | None:
    kinds = set(map(type, value))
    if not kinds <= PLAIN:
        return None
    if len(kinds) <= 1 and kinds <= ORDERED:
        return fold(tags[:1] + dumps(sorted(value), 2))
    parts = sorted([_atom(item, type(item)) for item in value])
    return fold(tags[1:] + len(parts).to_bytes(4, "little") + b"".join(parts))


def _rows(items: list[Any] | tuple[Any, ...], kinds: set[type], depth: int) -> bytes | None:
    """Short rows of one type (dicts with text keys, lists, tuples) whose values are plain or again such rows."""
    if not depth or len(kinds) > 1:
        return None
    if kinds == {dict}:
        return _dict_rows(items, depth)
    if kinds != {list} and kinds != {tuple}:
        return None
    lengths = list(map(len, items))
    if max(lengths) > WIDE:
        return None
    column = _column(list(chain.from_iterable(items)), depth)
    return None if column is None else (b"[" if kinds == {list} else b"(") + dumps(lengths, 2) + column


def _dict_rows(items: list[Any] | tuple[Any, ...], depth: int) -> bytes | None:
    if set(map(type, chain.from_iterable(items))) != {str}:
        return None
    names = set(items[0])
    if len(names) > WIDE:
        return None
    if set(map(len, items)) == {len(names)}:
        try:
            return _columns(items, sorted(names), depth)
        except KeyError:  # as many keys, but others
            pass
    names = set(chain.from_iterable(set(map(tuple, items))))
    return _columns(items, sorted(names), depth, everywhere=False) if len(names) <= WIDE else None


def _columns(items: list[Any] | tuple[Any, ...], names: list[str], depth: int, everywhere: bool = True) -> bytes | None:
    """One column for each name; before it, where not every row has all names, which ones have this one."""
    parts = [b"{", dumps((len(items), names), 2)]
    for name in names:
        if everywhere:
            present, values = None, list(map(itemgetter(name), items))
        else:
            present = bytes([name in item for item in items])
            values = [item[name] for item in items if name in item]
        column = _column(values, depth)
        if column is None:
            return None
        parts += (dumps(present, 2), column)
    return b"".join(parts)


def _column(items: list[Any], depth: int) -> bytes | None:
    raw = _numbers(items) if len(items) >= LONG else None
    if raw is not None:
        return raw
    kinds = set(map(type, items))
    raw = _run(items, kinds)
    if raw is None and items:
        raw = _rows(items, kinds, depth - 1)
        if raw is not None:
            raw = b"r" + raw
    return raw
