"""The in-process tier: what serves a repeated hit without I/O.

It never keeps an object that a caller holds: a plain value is immutable, a flat list, dict or set is kept as a copy
and copied at each hit, everything else is kept as its serialized bytes and loaded at each hit. So what one caller does
to a result never shows in the next hit. Bounded in bytes per function, oldest half out first: no work on a hit.
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

    ``timed`` holds (until, load, kept, head) of what is good until a time only, or must be asked about at every call
    (until 0: the payload stays here, the policy is asked with the head). ``read`` is the storage's way to read ahead: what
    it gives may be as old as this front, which goes when a word changes, as all that is in here.

    ``direct`` is (types of the arguments, get of a dictionary by the arguments themselves): two thirds of a hit would else
    go into their encoding. Values that are equal and not the same (``0.0 == -0.0``, ``1 == True``) must not meet there, so
    it is of the types of the first call alone, holds what ``plain`` or ``kept`` does not, and never a zero of floats.
    """

    __slots__ = ("_direct", "direct", "kept", "plain", "read", "size", "timed")

    def __init__(self, read: Callable[[str], Record | None] | None = None, direct: int = -1) -> None:
        """``direct``: how many arguments count, where they may be a key as they are."""
        self.read = read
        self._direct: dict[tuple[Any, ...], Any] | None = {} if direct >= 0 else None
        self.direct: tuple[tuple[type | None, ...], Callable[..., Any]] = (None,) * direct, {}.get
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
        """``body`` is what ``load`` makes an equal value from; it is kept when it is bytes, and not too many."""
        kind, forever = type(value), until == _FOREVER
        direct = self._direct if self._direct is not None and forever and self._is_direct(arguments) else None
        if kind in PLAIN:
            self.size += len(value) if kind in (str, bytes) else 0
            if direct is not None:
                direct[arguments] = value
            elif forever:
                self.plain[key] = value
            else:
                self.timed[key] = (until, _itself, value, head)
        else:
            copy = _FLAT.get(kind)
            if copy is not None and _flat(value):
                entry: tuple[Callable[[Any], Any], Any] = (copy, copy(value))
                self.size += 100 * len(value)
            elif type(body) is bytes and len(body) <= BODY:
                entry = (load, body)
                self.size += len(body)
            else:
                return
            if direct is not None:
                direct[arguments] = entry
            elif forever:
                self.kept[key] = entry
            else:
                self.timed[key] = (until, *entry, head)
        self.size += len(key) + _OVERHEAD
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
        tables: tuple[dict[Any, Any], ...] = (self.plain, self.kept, self.timed, self._direct or {})
        for table in tables:
            for key in list(islice(table, (len(table) + 1) // 2)):
                table.pop(key, None)
        self.size //= 2

    def drop(self, key: bytes) -> None:
        for table in (self.plain, self.kept, self.timed):
            table.pop(key, None)


def _itself(value: Any) -> Any:
    return value


def _flat(value: Any) -> bool:
    if len(value) > 1000:
        return False
    if type(value) is dict:
        return PLAIN.issuperset(map(type, value)) and PLAIN.issuperset(map(type, value.values()))
    return PLAIN.issuperset(map(type, value))
