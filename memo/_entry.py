"""The bytes of a head, and the one digest that guards an entry.

A head is a fixed part, the variable texts, and 16 bytes of blake3 over *body, head, name*. So whatever lies in a
storage (torn, truncated, swapped with another entry, written by another format) is recognised before anything of it is
decoded, with a single pass over the body. Layout, little-endian, format 1:

    magic "\\x93m" | format u8 | flags u8 (1: signed) | created f64 s | seconds f32 | body size u64 | length of names u8 |
    length of stamp u16 | names of serializer and codecs, joined by "," | stamp | notes ... | digest 16 bytes

A signed entry has the same layout; its digest is keyed (blake3's own mode for that), so only who has the key can make it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from struct import Struct, error

from .errors import DamagedError
from .model import Buffer, Head, Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array
    from typing import Any, Literal

FORMAT = 1
DIGEST = 16  #: bytes
_MAGIC = b"\x93m"
_FIXED = Struct("<4sdfQBH")
_FIXED_SIZE, _unpack_fixed = _FIXED.size, _FIXED.unpack_from  # looked up once: every first touch unpacks a head
_LENGTHS = 24  #: where the two lengths begin
_PREFIX = _MAGIC + bytes((FORMAT, 0))
_SIGNED = _MAGIC + bytes((FORMAT, 1))
_THREADED = 8 << 20  #: bytes from which blake3 gains by more threads, and hashing by a thread of its own


def signing_key(secret: str | bytes) -> bytes:
    """The 32 bytes that blake3 takes, from a secret of any length."""
    from blake3 import blake3

    data = secret.encode() if isinstance(secret, str) else bytes(secret)
    return blake3(data, derive_key_context="memo-persist 2026-11-24 signature of an entry").digest()


def sealing(name: str, parts: Sequence[Buffer], head: Head, key: bytes | None = None) -> Callable[[], bytes]:
    """What makes the head's bytes once the body is written: at once for small bodies, on the way for large ones.

    ``key`` signs it: 32 bytes, see `signing_key`.
    """
    _, created, seconds, serializer, codecs, size, stamp, notes, _ = head
    names = (",".join((serializer, *codecs)) if codecs else serializer).encode()
    fixed = _FIXED.pack(_SIGNED if key else _PREFIX, created, seconds, size, len(names), len(stamp))
    fields = b"".join((fixed, names, stamp, notes))
    if size < _THREADED:
        packed = fields + _digest(parts, fields, name, key)
        return lambda: packed
    # blake3 and the write both release the interpreter: they cost the longer of the two, not the sum
    from threading import Thread

    digest: list[bytes] = []
    thread = Thread(
        target=lambda: digest.append(_digest(parts, fields, name, key, spare=1)),  # a core for who writes meanwhile
        name="memo-digest",
        daemon=True,
    )
    thread.start()

    def finish() -> bytes:
        thread.join()
        return fields + digest[0]

    return finish


_blake3: Any = None


def _hasher() -> Any:
    # bound once: an import statement on the way of every hit would cost as much as the digest of a small entry
    global _blake3
    from blake3 import blake3

    _blake3 = blake3
    return blake3


def _digest(parts: Sequence[Buffer], fields: bytes, name: str, key: bytes | None = None, spare: int = 0) -> bytes:
    blake3 = _blake3 or _hasher()
    if len(parts) == 1 and len(parts[0]) < _THREADED:
        return blake3(b"".join((parts[0], fields, name.encode())), key=key).digest(DIGEST)  # type: ignore[no-any-return]
    large = sum(len(part) for part in parts) >= _THREADED
    hasher = blake3(key=key, max_threads=max(_threads() - spare, 1) if large else 1)
    for part in parts:
        hasher.update(part)
    return hasher.update(fields).update(name.encode()).digest(DIGEST)  # type: ignore[no-any-return]


def _threads() -> int:
    # Always a number: with blake3.AUTO its threads are the process's, and a forked child waits for them for ever.
    return min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, 16)


def is_signed(data: bytes) -> bool:
    return data[:4] == _SIGNED


def with_stamp(
    name: str, data: bytes, body: Buffer, stamp: bytes, key: bytes | None = None, new_name: str = ""
) -> bytes:
    """The head of an entry, sealed anew with another stamp, and for another name if one is given.

    What the head says of the body must have been verified. A signed one needs ``key``.
    """
    head = unpack(data)._replace(stamp=stamp)
    return sealing(new_name or name, (body,), head, key if is_signed(data) else None)()


_new = tuple.__new__
#: what the variable texts of a head say, by their bytes: a cache has few combinations of serializer, codecs and stamp
_texts: dict[bytes, tuple[str, tuple[str, ...], bytes]] = {}


def unpack(data: bytes, function: str = "") -> Head:
    """The head, not yet verified against its body: enough for listing. Raises DamagedError."""
    try:
        start, created, seconds, size, names, stamp = _unpack_fixed(data)
        if start != _PREFIX and start != _SIGNED:
            raise ValueError("another format")
        end = _FIXED_SIZE + names + stamp
        texts = data[_LENGTHS:end]
        serializer, codecs, stamp = _texts.get(texts) or _read_texts(texts, names)
    except (error, ValueError) as problem:
        raise _unreadable(data, problem) from problem
    if end + DIGEST > len(data):
        raise DamagedError("the head is too short")
    return _new(Head, (function, created, seconds, serializer, codecs, size, stamp, data[end:-DIGEST], 0.0))


def _unreadable(data: bytes, problem: Exception) -> DamagedError:
    """What is wrong with a head that can't be read, in words."""
    if data[:2] != _MAGIC or len(data) < 4:
        return DamagedError("not an entry of memo")
    if data[:4] != _PREFIX and data[:4] != _SIGNED:
        return DamagedError(f"written in format {data[2]}.{data[3]}, this memo reads format {FORMAT}")
    return DamagedError(f"the head can't be read: {problem}")


BEGINNING = 32  #: bytes of a head that `beginnings` takes: it needs 16, SQLite gives 32 faster


def beginnings(heads: bytes) -> tuple[int, float, list[float]]:
    """Of the first bytes of many heads: how many can't be read; the seconds of the others, in all; the first and last time.

    The two times are left out where there are none.
    """
    count, good = len(heads) // BEGINNING, (_PREFIX, _SIGNED)
    heads = heads[: count * BEGINNING]
    if memoryview(heads).cast("I")[:: BEGINNING // 4].tobytes() != _PREFIX * count:
        starts = (heads[at : at + BEGINNING] for at in range(0, len(heads), BEGINNING))
        heads = b"".join(start for start in starts if start[:4] in good)
    times, seconds = _column(heads, "d", 4), _column(heads, "f", 12)
    return count - len(times), sum(seconds), [min(times), max(times)] if times else []


def _column(heads: bytes, kind: Literal["d", "f"], at: int) -> list[float]:
    """The numbers that lie ``at`` this byte of each, all at once: a step of Python for each takes far longer."""
    from array import array

    column: array[float] = array(kind)
    size = column.itemsize
    start = at % size  # what lies so is no multiple of its size from the beginning
    view = memoryview(heads)[start : len(heads) - (size - start) % size].cast(kind)
    column.frombytes(view[at // size :: BEGINNING // size].tobytes())
    if sys.byteorder == "big":
        column.byteswap()
    return column.tolist()


def _read_texts(texts: bytes, length: int) -> tuple[str, tuple[str, ...], bytes]:
    at = _FIXED_SIZE - _LENGTHS
    serializer, *codecs = texts[at : at + length].decode().split(",")
    read = serializer, tuple(codecs), texts[at + length :]
    if len(texts) < 30 and len(_texts) < 100:
        _texts[texts] = read
    return read


def is_head(data: bytes) -> bool:
    """Whether it begins as heads do, of whatever format."""
    return data[:2] == _MAGIC and len(data) >= 4


def is_unsigned(data: bytes) -> bool:
    """Whether it says of itself that it is of this format and not signed."""
    return data[:4] == _PREFIX


def verify(name: str, record: Record, keys: Sequence[bytes] = ()) -> None:
    """Raises DamagedError unless head and body are, to the bit, what was written under this name, signed with a key of these."""
    from hmac import compare_digest

    head = record[0]
    if bool(keys) == (head[:4] == _SIGNED):
        for key in keys or (None,):
            if compare_digest(_digest((record[2],), head[:-DIGEST], name, key), head[-DIGEST:]):
                return
    raise _unlike(head, bool(keys))


def _unlike(head: bytes, signing: bool) -> DamagedError:
    """What is wrong with an entry whose digest does not fit, in words."""
    try:
        unpack(head)
    except DamagedError as error:
        return error
    if head[:4] == _SIGNED and not signing:
        return DamagedError("it is signed, and this cache has no key: give sign= or MEMO_SIGNING_KEY")
    if signing and head[:4] != _SIGNED:
        return DamagedError("it is not signed, and this cache takes only what is (sign=, MEMO_SIGNING_KEY)")
    if signing:
        return DamagedError("its signature does not fit: it was changed, or signed with another key")
    return DamagedError("its digest does not fit its content")


def verified(name: str, head: bytes, body: Buffer, function: str) -> Head:
    """The head of a small entry, verified with its body; one step, since every first touch takes it."""
    fields = head[:-DIGEST]
    if (_blake3 or _hasher())(b"".join((body, fields, name.encode()))).digest(DIGEST) != head[-DIGEST:]:
        raise _unlike(head, False)
    return unpack(head, function)
