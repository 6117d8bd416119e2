"""Policies that look at the age of an entry. They remember nothing, so that a ttl changed in code applies at once."""

from __future__ import annotations

from math import inf
from typing import Any

from memo._units import seconds, show_seconds
from memo.model import Fresh, Stale

from ._common import SKEW, lru, misplaced

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import timedelta

    from memo.model import Call, Head


class Ttl:
    """Good for so long after it was computed: a number of seconds, a ``timedelta``, or text such as "90s", "7d".

    Raises OptionError for anything else.
    """

    def __init__(self, ttl: str | int | float | timedelta) -> None:
        self.seconds = seconds(ttl, "ttl")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.seconds:g})"

    def begin(self, call: Call, /) -> None:
        return None

    def seal(self, token: None, outcome: Any, /) -> bytes | None:
        return b""

    def fresh(self, stamp: bytes, head: Head, call: Call, now: float, /) -> Fresh | Stale:
        if stamp:
            return Stale("stored under another policy")
        until = head.created + self.seconds
        if now < until:
            return misplaced(head, now) or Fresh(until)
        return Stale(f"expired {show_seconds(now - until)} ago (ttl {show_seconds(self.seconds)})")

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
