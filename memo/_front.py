"""The in-process tier: what serves a repeated hit without I/O.

It never keeps an object that a caller holds: a plain value is immutable, a flat list, dict or set is kept as a copy
and copied at each hit, everything else is kept as its serialized bytes and loaded at each hit. So what one caller does
to a result never shows in the next hit. Bounded in bytes per function, oldest half out first: no work on a hit.

Most results are asked for once in a process. So the first touch only leaves the bytes here, and the second one makes of
them what later hits are served from: a run that asks for many keys does not wait for copies that nobody takes.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from operator import is_

from ._wrapper import PLAIN
from .model import Head, Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LIMIT = 16 << 20  #: bytes a function, keys and overhead included
BODY = 1 << 18  #: bytes; a larger body is read again from the storage, which maps it
_FOREVER = float("inf")
_OVERHEAD = 200  #: bytes, what an entry costs in the dictionaries besides its bytes

_ATOMS = frozenset((int, str, float, bool, type(None)))
_TEXT = 200  #: characters; longer ones would be hashed at each call

_FLAT: dict[type, Callable[[Any], Any]] = {list: list.copy, dict: dict.copy, set: set.copy}


class Front:
    """``plain`` and ``kept`` are read by the generated wrapper: the value itself, or (load, kept) to make it from.

    ``once`` holds (load, body) of what was touched once, which `again` turns into one of the others.

    ``timed`` holds (until, load, kept, head) of what is good until a time only, or must be asked about at every call
    (until 0: the payload stays here, the policy is asked with the head). ``read`` is the storage's way to read ahead: what
    it gives may be as old as this front, which goes when a word changes, as all that is in here.

    ``direct`` is (types of the arguments, get of a dictionary by the arguments themselves): two thirds of a hit would else
    go into their encoding. Values that are equal and not the same (``0.0 == -0.0``, ``1 == True``) must not meet there, so
    it is of the types of the first call alone, holds what ``plain`` or ``kept`` does not, and never a zero of floats.
    """

    __slots__ = ("_direct", "direct", "kept", "once", "plain", "read", "size", "timed")

    def __init__(self, read: Callable[[str], Record | None] | None = None, direct: int = -1) -> None:
        """``direct``: how many arguments count, where they may be a key as they are."""
        self.read = read
        self._direct: dict[tuple[Any, ...], Any] | None = {} if direct >= 0 else None
        self.direct: tuple[tuple[type | None, ...], Callable[..., Any]] = (None,) * direct, {}.get
        self.once: dict[bytes, tuple[Callable[[Any], Any], bytes]] = {}
        self.plain: dict[bytes, Any] = {}
        self.kept: dict[bytes, tuple[Callable[[Any], Any], Any]] = {}
        self.timed: dict[bytes, tuple[float, Callable[[Any], Any], Any, Head]] = {}
        self.size = 0

    def put(
        self,
        key: bytes,
        value: Any,
        head: Head,
        until: float,
        load: Callable[[Any], Any],
        body: object,
        arguments: tuple[Any, ...] = (),
    ) -> None:
        """``body`` is what ``load`` makes an equal value from; it is kept when it is bytes, and not too many.

        Replaces what was held of that call: a refreshed result may lie in another table than the one before.
        """
        self.drop(key, arguments)
        if until == _FOREVER:
            if type(body) is bytes and len(body) <= BODY:
                self.once[key] = load, body
                self._grow(len(key) + len(body))
            else:
                self._keep(key, value, load, body, arguments)
        elif (made := _made(value, load, body)) is not None:
            load, kept, size = made
            self.timed[key] = until, load, kept, head
            self._grow(len(key) + size)

    def again(self, key: bytes, arguments: tuple[Any, ...]) -> Any:
        """The value of what was touched once before, which is now kept for more; Ellipsis where there is none.

        Raises what loading it raises.
        """
        found = self.once.get(key)
        if found is None:
            return ...
        load, body = found
        value = load(body)
        if self.once.pop(key, None) is found:  # no other thread was faster, or has put another in its place
            self.size -= len(key) + len(body) + _OVERHEAD
            self._keep(key, value, load, body, arguments)
        return value

    def _keep(
        self, key: bytes, value: Any, load: Callable[[Any], Any], body: object, arguments: tuple[Any, ...]
    ) -> None:
        made = _made(value, load, body)
        if made is None:
            return
        load, kept, size = made
        if self._direct is not None and self._is_direct(arguments):
            self._direct[arguments] = kept if load is _itself else (load, kept)
        elif load is _itself:
            self.plain[key] = kept
        else:
            self.kept[key] = load, kept
        self._grow(len(key) + size)

    def _grow(self, size: int) -> None:
        self.size += size + _OVERHEAD
        if self.size > LIMIT:
            self._halve()

    def _is_direct(self, arguments: tuple[Any, ...]) -> bool:
        kinds = self.direct[0]
        if None in kinds:  # the first call that fits says what fits
            kinds = tuple(map(type, arguments))
            if not _ATOMS.issuperset(kinds):
                return False
            assert self._direct is not None
            self.direct = kinds, self._direct.get
        if not all(map(is_, map(type, arguments), kinds)):
            return False
        if float in kinds or str in kinds:
            for value in arguments:
                kind = type(value)
                if (kind is float and (value == 0 or value != value)) or (kind is str and len(value) > _TEXT):
                    return False
        return True

    def at(self, arguments: tuple[Any, ...]) -> Any:
        """What the wrapper would find by these arguments themselves: a plain value, a tuple as in ``kept``, or Ellipsis."""
        kinds, get = self.direct
        return (
            get(arguments, ...) if len(arguments) == len(kinds) and all(map(is_, map(type, arguments), kinds)) else ...
        )

    def _halve(self) -> None:
        tables: tuple[dict[Any, Any], ...] = (self.once, self.plain, self.kept, self.timed, self._direct or {})
        for table in tables:
            for key in list(islice(table, (len(table) + 1) // 2)):
                table.pop(key, None)
        self.size //= 2

    def drop(self, key: bytes, arguments: tuple[Any, ...]) -> None:
        """Whatever is held of a call, in whichever table."""
        self.once.pop(key, None)
        self.plain.pop(key, None)
        self.kept.pop(key, None)
        self.timed.pop(key, None)
        if self._direct and self.at(arguments) is not ...:
            self._direct.pop(arguments, None)


def _itself(value: Any) -> Any:
    return value


def _made(value: Any, load: Callable[[Any], Any], body: object) -> tuple[Callable[[Any], Any], Any, int] | None:
    """(load, kept, bytes of it): what gives equal values that share nothing which could change."""
    kind = type(value)
    if kind in PLAIN:
        return _itself, value, len(value) if kind in (str, bytes) else 0
    copy = _FLAT.get(kind)
    if copy is not None and _flat(value):
        return copy, copy(value), 100 * len(value)
    return (load, body, len(body)) if type(body) is bytes and len(body) <= BODY else None


def _flat(value: Any) -> bool:
    if len(value) > 1000:
        return False
    if type(value) is dict:
        return PLAIN.issuperset(map(type, value)) and PLAIN.issuperset(map(type, value.values()))
    return PLAIN.issuperset(map(type, value))
