"""What one persisted function did in this process; outlives the function, since closures come and go.

Counted without a lock, by ``itertools.count``, whose steps no thread can lose. A front does not know how long its
results took to compute, so its hits count as the mean of what this process has seen of the function.
"""

from __future__ import annotations

from itertools import count

from . import events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Counts:
    """``front`` is advanced by the generated wrapper, ``misses`` by whoever computes, ``later`` by hits below the front."""

    __slots__ = ("_seen", "_seen_seconds", "bytes", "front", "later", "later_seconds", "misses", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.front, self.later, self.misses, self._seen = count(), count(), count(), count()
        self.later_seconds, self._seen_seconds = 0.0, 0.0
        self.bytes = 0  #: stored by this process
        _all.append(self)

    def stored(self, seconds: float, size: int) -> None:
        next(self._seen)
        self._seen_seconds += seconds
        self.bytes += size

    @property
    def hits(self) -> int:
        return read(self.front) + read(self.later)

    @property
    def seconds_saved(self) -> float:
        known = read(self.later) + read(self._seen)
        mean = (self.later_seconds + self._seen_seconds) / known if known else 0.0
        return self.later_seconds + read(self.front) * mean


_all: list[Counts] = []


def read(counter: Any) -> int:
    return int(repr(counter)[6:-1])  # "count(7)": looks without counting, on every Python


def _totals() -> list[events.Totals]:
    return [events.Totals(c.name, c.hits, read(c.misses), c.seconds_saved, c.bytes) for c in _all]


events.register(_totals)
