"""References: a stored result that is not loaded, small enough to travel, and as an argument worth its value.

The key of a call must be the same whether a value or a reference to it is given, and making it must not load the value.
So the canonical encoding of the value (some 20 bytes where it is long) is kept beside the entry, in the small record
``shelved/<digest of the key>``, bound to the very head that it was made of. A value without a canonical encoding counts
by the entry itself. What is kept for an entry that is gone goes with the next ``prune``.
"""

from __future__ import annotations

from math import inf

from . import _entry
from ._items import Replay
from ._sweep import shelved_name
from ._tuples import NamedTuple
from .errors import NotCachedError, UnkeyableError
from .model import Call, Fresh, Head, Hit, Miss

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._cache import Cache
    from ._opened import Opened

_PLAIN = (int, str, float, bool, type(None), bytes, complex)
_SHORT = 1 << 16  #: bytes of a plain value that a reference carries itself


class Reference(NamedTuple):
    """A stored result: ``get()`` loads it, ``key`` is where it lives, ``head`` what is known without loading it.

    ``encoding`` is the value's part of a key. ``plain`` holds the value itself where that is short and plain, or where
    there was no cache to store it in.
    """

    cache: Any
    function: str
    key: str
    encoding: bytes
    plain: tuple[Any, ...]

    def get(self) -> Any:
        """The value, loaded anew, even if a call would compute it again by now. NotCachedError where it is not stored."""
        if self.plain:
            return self.plain[0]
        call = Call(self.function, self.key, (), ())
        opened = self.cache.ready()
        if opened is None:
            raise NotCachedError(Miss(call, "the cache can't be used"))
        mark = opened.words.word(call.scope)
        outcome = self.cache.lookup(call, mark, self.cache.clock(), _AsItIs(), 0.0, None, b"")
        if isinstance(outcome, Hit):
            return outcome.value
        raise NotCachedError(outcome)

    @property
    def head(self) -> Head | None:
        """When it was computed, how long that took, its size; None where it is not stored any more."""
        opened = self.cache.ready()
        before = None if opened is None else opened.head(self.key)
        return None if before is None or not before[0] else _entry.unpack(before[0], self.function)

    def __repr__(self) -> str:
        return f"<reference to a result of {self.function}, {self.key.rpartition('/')[2]}>"


class _AsItIs:
    """A reference is to that very result: whether a call would still take it (its age, its tags, ...) is not asked."""

    def begin(self, call: Call, /) -> None:
        return None

    def seal(self, token: Any, outcome: Any, /) -> bytes | None:
        return None

    def fresh(self, stamp: bytes, head: Head, call: Call, now: float, /) -> Fresh:
        return Fresh(inf)

    def rank(self, head: Head, uses: int, /) -> float:
        return head.created


def known(cache: Cache, opened: Opened, call: Call, mark: int) -> Reference | None:
    """The reference to what is stored, if that is known without loading it."""
    try:
        head = opened.head(call.key)
        if head is None or not head[0] or head[1] != mark:
            return None
        record = opened.storage.read(shelved_name(call.key))
    except Exception as error:
        cache.trouble("read", error)
        return None
    body = b"" if record is None else bytes(record.body)
    if body[:16] != _digest(head[0]):
        return None
    return _made(cache, call, body[16:])


def shelved(cache: Cache, opened: Opened, call: Call, value: Any) -> Reference:
    """The reference to ``value``, which has just been stored or loaded."""
    head = opened.head(call.key)
    if head is None or not head[0]:  # it could not be stored
        return Reference(cache, call.function, call.key, b"", (value,))
    encoded = _encoded(value) or b"=" + b"=reference" + _digest(call.key.encode() + head[0])
    try:
        body = _digest(head[0]) + encoded
        opened.storage.write(shelved_name(call.key), [body], bytes, size=len(body), mark=0)
    except Exception as error:
        cache.trouble("store", error, call=call)
    return _made(cache, call, encoded)


def _encoded(value: Any) -> bytes:
    """Empty where it has no canonical encoding."""
    from .fingerprint import encoding

    if type(value) in _PLAIN:
        from marshal import dumps

        # calls of plain values alone have an encoding of their own: there the value itself must stand
        dumped = dumps(value, 2)
        return b"+" + dumped if len(dumped) <= _SHORT else b"!"
    try:
        return b"" if type(value) is Replay else b"=" + encoding(value)
    except UnkeyableError:
        return b""


def _made(cache: Cache, call: Call, encoded: bytes) -> Reference:
    if encoded[:1] == b"+":
        from marshal import loads

        return Reference(cache, call.function, call.key, encoded[1:], (loads(encoded[1:]),))
    return Reference(cache, call.function, call.key, encoded[1:], ())  # of "!" nothing: it is loaded for its key


def unwrapped(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """References to plain values as these values, since calls of plain values alone have an encoding of their own."""
    return tuple(
        one.get() if type(one) is Reference and not (one.encoding and not one.plain) else one for one in values
    )


def _digest(data: bytes) -> bytes:
    from blake3 import blake3

    return blake3(data).digest(16)
