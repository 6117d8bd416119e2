"""Policies that look at the age of an entry. What is set in code is not remembered, so that a change applies at once."""

from __future__ import annotations

from math import inf
from struct import Struct

from memo._units import seconds, show_seconds
from memo.errors import OptionError
from memo.model import Fresh, Raised, Stale

from ._common import SKEW, lru, misplaced

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime, timedelta
    from typing import Any

    from memo.model import Call, Head

_TAG, _OWN = b"ttl:", Struct("<4sd")  # the stamp of an entry that was given a time of its own


class Ttl:
    """Good for so long after it was computed.

    ``ttl`` is a number of seconds, a ``timedelta`` or text such as "90s", "7d"; a ``datetime``, until which results are
    good, whenever they were computed; or a function of the result that gives a duration, or None for ever. What that
    function gave is remembered with each result.

    Raises OptionError for anything else.
    """

    idle = 0.0  #: said, since looking for what is not there takes longer

    def __init__(self, ttl: str | int | float | timedelta | datetime | Callable[[Any], Any]) -> None:
        self.seconds, self.end = inf, inf
        self.of = ttl if callable(ttl) else None
        if hasattr(ttl, "timestamp"):
            self.end = ttl.timestamp()
        elif not callable(ttl):
            self.seconds = seconds(ttl, "ttl")

    def __repr__(self) -> str:
        if self.of is not None:
            return f"{type(self).__name__}({getattr(self.of, '__qualname__', self.of)})"
        if self.end != inf:
            return f"{type(self).__name__}(until {_moment(self.end)})"
        return f"{type(self).__name__}({self.seconds:g})"

    @property
    def good_for(self) -> float:
        """Seconds, where they are the same for all results."""
        return self.seconds

    def begin(self, call: Call, /) -> None:
        return None

    def seal(self, token: None, outcome: Any, /) -> bytes | None:
        if self.of is None or isinstance(outcome, Raised):
            return b""
        given = self.of(outcome)
        try:
            own = inf if given is None else seconds(given)
        except OptionError as error:
            raise OptionError(f"ttl={getattr(self.of, '__qualname__', self.of)} gave no duration: {error}") from None
        return _OWN.pack(_TAG, own) if own > 0 else None

    def fresh(self, stamp: bytes, head: Head, call: Call, now: float, /) -> Fresh | Stale:
        ttl = self.seconds
        if stamp:
            if len(stamp) != _OWN.size or stamp[:4] != _TAG:
                return Stale("stored under another policy")
            if self.of is not None:
                ttl = _OWN.unpack(stamp)[1]
        elif self.of is not None and head.serializer != "raised":
            return Stale("stored under another policy, without a ttl of its own")
        until = min(head.created + ttl, self.end)
        if now < until:
            return misplaced(head, now) or Fresh(until)
        limit = f"ttl {show_seconds(ttl)}" if until < self.end else f"ttl until {_moment(self.end)}"
        return Stale(f"expired {show_seconds(now - until)} ago ({limit})", until)

    rank = staticmethod(lru)


class Forever(Ttl):
    """Good until it is cleared: the default."""

    def __init__(self) -> None:
        super().__init__(inf)

    def __repr__(self) -> str:
        return "Forever()"

    def fresh(self, stamp: bytes, head: Head, call: Call, now: float, /) -> Fresh | Stale:
        # the same answer as Ttl's, on the shortest way: this is asked at every first touch
        return super().fresh(stamp, head, call, now) if stamp or head[1] > now + SKEW else _FOREVER


_FOREVER = Fresh(inf)


class IdleTtl:
    """Good until nobody has used it for so long: a number of seconds, a ``timedelta`` or text such as "30d".

    The engine reads ``idle`` and keeps each entry's last use, to a twentieth of it: an entry may go that much early.
    """

    def __init__(self, idle_ttl: str | int | float | timedelta) -> None:
        self.idle = seconds(idle_ttl, "idle_ttl")

    def __repr__(self) -> str:
        return f"IdleTtl({self.idle:g})"

    def begin(self, call: Call, /) -> None:
        return None

    def seal(self, token: None, outcome: Any, /) -> bytes | None:
        return b""

    def fresh(self, stamp: bytes, head: Head, call: Call, now: float, /) -> Fresh | Stale:
        if stamp:
            return Stale("stored under another policy")
        used = max(head.created, head.used) if head.used <= now + SKEW else head.created
        if now < used + self.idle:
            # a front asks again soon, so that uses are noticed
            return misplaced(head, now) or Fresh(min(used + self.idle, now + self.idle / 20))
        return Stale(f"not used for {show_seconds(now - used)} (idle_ttl {show_seconds(self.idle)})", used + self.idle)

    rank = staticmethod(lru)


def _moment(timestamp: float) -> str:
    from datetime import datetime

    return datetime.fromtimestamp(timestamp).isoformat(" ", "seconds")
