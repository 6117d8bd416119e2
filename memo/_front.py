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

from ._tuples import NamedTuple
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

_new = tuple.__new__  #: at each miss: two thirds of what making a named tuple costs is spared
_FLAT: dict[type, Callable[[Any], Any]] = {list: list.copy, dict: dict.copy, set: set.copy}


class Once(NamedTuple):
    """What was touched once."""

    load: Callable[[Any], Any]
    body: bytes


class Timed(NamedTuple):
    """What is good ``until`` a time only (0: the policy is to be asked at every call, with the head)."""

    until: float
    load: Callable[[Any], Any]
    kept: Any
    head: Head


class Front:
    """``held`` is read by the generated wrapper: by a call's encoded arguments, the plain value itself, or ``(load, kept)``.

    What is there as a `Once` or a `Timed` the wrapper leaves to ``get``. ``read`` is the storage's way to read ahead: what
    it gives may be as old as this front, which goes when a word changes, as all that is in here.

    ``direct`` is (types of the arguments, get of a dictionary by the arguments themselves): two thirds of a hit would else
    go into their encoding. Values that are equal and not the same (``0.0 == -0.0``, ``1 == True``) must not meet there, so
    it is of the types of the first call alone, holds what ``held`` does not, and never a zero of floats.
    """

    __slots__ = ("_direct", "direct", "held", "read", "size")

    def __init__(self, read: Callable[[str], Record | None] | None = None, direct: int = -1) -> None:
        """``direct``: how many arguments count, where they may be a key as they are."""
        self.read = read
        self._direct: dict[tuple[Any, ...], Any] | None = {} if direct >= 0 else None
        self.direct: tuple[tuple[type | None, ...], Callable[..., Any]] = (None,) * direct, {}.get
        self.held: dict[bytes, Any] = {}
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

        Replaces what was held of that call, also where this can't be held.
        """
        if until == _FOREVER and type(body) is bytes and len(body) <= BODY:
            self.held[key] = _new(Once, (load, body))
            self._drop_direct(arguments)  # in this order: `_keep` of another thread sees the new one, or is undone here
            self._grow(len(key) + len(body))
            return
        self.drop(key, arguments)
        if (made := _made(value, load, body)) is not None:
            if until == _FOREVER:
                self._keep(key, made, arguments)
            else:
                load, kept, size = made
                self.held[key] = Timed(until, load, kept, head)
                self._grow(len(key) + size)

    def get(self, key: bytes, arguments: tuple[Any, ...], fresh: Callable[[float, Head], bool], default: object) -> Any:
        """The value held of a call, or ``default``; ``fresh(until, head)`` says whether what is `Timed` is still good.

        Raises what loading it raises.
        """
        held = self.held.get(key, ...)
        if held is ...:
            held = self.at(arguments)
        kind = type(held)
        if kind is tuple:
            return held[0](held[1])
        if kind is Once:
            return self._again(key, held, arguments)
        if kind is Timed:
            return held.load(held.kept) if fresh(held.until, held.head) else default
        return default if held is ... else held

    def _again(self, key: bytes, once: Once, arguments: tuple[Any, ...]) -> Any:
        """The value of what was touched once before, which is now kept for more."""
        load, body = once
        value = load(body)
        if self.held.pop(key, None) is once:  # no other thread was faster, or has put another in its place
            self.size -= len(key) + len(body) + _OVERHEAD
            if (made := _made(value, load, body)) is not None:
                self._keep(key, made, arguments)
        return value

    def _keep(self, key: bytes, made: tuple[Callable[[Any], Any], Any, int], arguments: tuple[Any, ...]) -> None:
        """For the wrapper, unless another thread has put another by now."""
        load, kept, size = made
        held = kept if load is _itself else (load, kept)
        if self._direct is not None and self._is_direct(arguments):
            self._direct[arguments] = held
            if key in self.held:
                self._direct.pop(arguments, None)
        else:
            self.held.setdefault(key, held)
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
        """What the wrapper would find by these arguments themselves, as in ``held``; Ellipsis where there is nothing."""
        kinds, get = self.direct
        return (
            get(arguments, ...) if len(arguments) == len(kinds) and all(map(is_, map(type, arguments), kinds)) else ...
        )

    def _halve(self) -> None:
        tables: tuple[dict[Any, Any], ...] = (self.held, self._direct or {})
        for table in tables:
            for key in list(islice(table, (len(table) + 1) // 2)):
                table.pop(key, None)
        self.size //= 2

    def drop(self, key: bytes, arguments: tuple[Any, ...]) -> None:
        """Whatever is held of a call."""
        self.held.pop(key, None)
        self._drop_direct(arguments)

    def _drop_direct(self, arguments: tuple[Any, ...]) -> None:
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
