"""Policies by questions of the user: whether an entry is still valid, whether a result is worth keeping."""

from __future__ import annotations

from math import inf
from time import perf_counter
from typing import Any

from memo._units import seconds, show_seconds
from memo.errors import OptionError
from memo.model import Fresh, Raised, Stale

from ._common import lru, misplaced

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from memo.model import Call, Head


class Validate:
    """Good while ``valid(head)`` says so, which is asked at every call; the head tells ``created``, ``seconds``, ``size``."""

    def __init__(self, valid: Callable[[Head], Any]) -> None:
        self.valid = _function("validate", valid, "head")

    def __repr__(self) -> str:
        return f"Validate({_named(self.valid)})"

    def begin(self, call: Call, /) -> Any:
        return None

    def seal(self, token: Any, outcome: Any, /) -> bytes | None:
        return b""

    def fresh(self, stamp: bytes, head: Head, call: Call, now: float, /) -> Fresh | Stale:
        if stamp:
            return Stale("stored under another policy")
        if stale := misplaced(head, now):
            return stale
        return Fresh(0.0) if self.valid(head) else Stale(f"not valid by {_named(self.valid)}")

    rank = staticmethod(lru)


class StoreIf:
    """Stored only if ``wanted(value)`` says so; exceptions are none of its business."""

    def __init__(self, wanted: Callable[[Any], Any]) -> None:
        self.wanted = _function("store_if", wanted, "value")

    def __repr__(self) -> str:
        return f"StoreIf({_named(self.wanted)})"

    def begin(self, call: Call, /) -> Any:
        return None

    def seal(self, token: Any, outcome: Any, /) -> bytes | None:
        return b"" if isinstance(outcome, Raised) or self.wanted(outcome) else None

    def fresh(self, stamp: bytes, head: Head, call: Call, now: float, /) -> Fresh | Stale:
        return Stale("stored under another policy") if stamp else misplaced(head, now) or Fresh(inf)

    rank = staticmethod(lru)


class SlowerThan:
    """Stored only if computing it took at least so long: seconds, a ``timedelta`` or text such as "50ms".

    ``clock`` gives seconds that never go back.
    """

    def __init__(self, least: str | float | timedelta, *, clock: Callable[[], float] = perf_counter) -> None:
        self.least, self.clock = seconds(least, "store_if_slower_than"), clock

    def __repr__(self) -> str:
        return f"SlowerThan({show_seconds(self.least)!r})"

    def begin(self, call: Call, /) -> float:
        return self.clock()

    def seal(self, token: float, outcome: Any, /) -> bytes | None:
        return b"" if self.clock() - token >= self.least else None

    def fresh(self, stamp: bytes, head: Head, call: Call, now: float, /) -> Fresh | Stale:
        return Stale("stored under another policy") if stamp else misplaced(head, now) or Fresh(inf)

    rank = staticmethod(lru)


def _function(option: str, given: Any, of: str) -> Callable[[Any], Any]:
    if not callable(given) or isinstance(given, type):
        raise OptionError(f"{option} must be a function of the {of}, not {given!r}")
    checked: Callable[[Any], Any] = given
    return checked


def _named(function: Callable[[Any], Any]) -> str:
    return str(getattr(function, "__qualname__", function))
