"""What one persisted function did in this process; outlives the function, since closures come and go.

Counted without a lock, by ``itertools.count``, whose steps no thread can lose. A front does not know how long its
results took to compute, so its hits count as the mean of what this process has seen of the function.

What hits cost is measured where a look at the clock is little: keys of arguments that are not plain, and hits below the
front. A hit loses if it took longer than computing did. Most must have lost, more than once over, before a function is
named: the pause of a disk is no evidence.
"""

from __future__ import annotations

from itertools import count

from . import events
from .errors import CostlyCacheWarning

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SLOW = 0.0002  #: seconds; keys that took less are not weighed one by one
_EVIDENCE = 20  #: hits that lost, at least, before anything is said
_LOSS = 1.0  #: seconds, in all


class Counts:
    """``front`` is advanced by the generated wrapper, ``misses`` by whoever computes, ``later`` by hits below the front."""

    __slots__ = (
        "_largest", "_lost", "_seen", "_seen_seconds", "_won", "bytes", "front", "key_seconds", "later", "later_seconds",
        "load_seconds", "misses", "name",
    )  # fmt: skip

    def __init__(self, name: str) -> None:
        self.name = name
        self.front, self.later, self.misses, self._seen = count(), count(), count(), count()
        self.later_seconds, self._seen_seconds = 0.0, 0.0
        self.bytes = 0  #: stored by this process
        #: for keys of arguments that are not plain, and for hits below the front
        self.key_seconds = self.load_seconds = 0.0
        self._lost = self._won = 0
        self._largest = 0.0
        _all.append(self)

    def stored(self, seconds: float, size: int) -> None:
        next(self._seen)
        self._seen_seconds += seconds
        self.bytes += size

    def slow_key(self, took: float) -> None:
        """Making a key took long: as long as this, to be weighed."""
        mean = self._mean()
        if took <= mean:
            self._won += 1
        elif mean:
            self._lose(took)

    def hit(self, seconds: float, took: float = 0.0) -> None:
        """A hit below the front. Computing it took ``seconds`` (0: it was set by hand), finding it so long (0: not known)."""
        next(self.later)
        self.later_seconds += seconds
        if took:
            self.load_seconds += took
            if took <= seconds:
                self._won += 1
            elif seconds:
                self._lose(took)

    def _lose(self, took: float) -> None:
        self._lost = lost = self._lost + 1
        if took > self._largest:
            self._largest = took
        if lost & (lost - 1) or lost < _EVIDENCE or lost < 9 * self._won or not (hits := self.hits):
            return  # looked at more closely at 32, 64, 128, ...
        keys = self.key_seconds * hits / (hits + read(self.misses))
        saved = self.seconds_saved
        if keys + self.load_seconds - self._largest > saved + _LOSS:
            from ._units import show_seconds

            events.warn_once(
                f"{self.name}:costly",
                f"hits of {self.name} cost more than running it: {hits:,} of them took {show_seconds(keys)} for keys and"
                f" {show_seconds(self.load_seconds)} for loading, and saved {show_seconds(saved)} of computing. Take"
                f" @persist off, keep only what takes long (store_if_slower_than=), or let less count (key=, ignore=)",
                CostlyCacheWarning,
            )

    def _mean(self) -> float:
        known = read(self.later) + read(self._seen)
        return (self.later_seconds + self._seen_seconds) / known if known else 0.0

    @property
    def hits(self) -> int:
        return read(self.front) + read(self.later)

    @property
    def seconds_saved(self) -> float:
        return self.later_seconds + read(self.front) * self._mean()


_all: list[Counts] = []


def read(counter: Any) -> int:
    return int(repr(counter)[6:-1])  # "count(7)": looks without counting, on every Python


def _totals() -> list[events.Totals]:
    return [
        events.Totals(c.name, c.hits, read(c.misses), c.seconds_saved, c.bytes, c.key_seconds, c.load_seconds)
        for c in _all
    ]


events.register(_totals)
