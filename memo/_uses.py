"""How often results were served, for people who ask later: one small record a function, ``<scope>/uses``.

A hit writes nothing, so what a process served is added when it ends, for each function of which it served something. What
two processes add at the same instant, and what a killed one served, may be lost: a figure less, never a result.
"""

from __future__ import annotations

import os

from ._tuples import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .protocols import Storage


class Uses(NamedTuple):
    hits: int = 0
    seconds: float = 0.0  #: what computing again would have taken
    last: float = 0.0  #: when a process that served something ended, seconds since the epoch


def uses(storage: Storage, scope: str) -> Uses:
    """What has been noted of a function; nothing where that can't be read."""
    import json

    try:
        record = storage.read(f"{scope}/uses")
        if record is None:
            return Uses()
        hits, seconds, last = json.loads(bytes(record.body))
        return Uses(int(hits), float(seconds), float(last))
    except Exception:  # whatever a storage raises
        return Uses()


class _Noted:
    """A function in a place, and what of its counts is written already."""

    __slots__ = ("counts", "hits", "opened", "scope", "seconds")

    def __init__(self, opened: Any, scope: str, counts: Any) -> None:
        from weakref import ref

        self.opened, self.scope, self.counts = ref(opened), scope, counts
        self.skip()

    def skip(self) -> None:
        """What was counted so far is somebody else's to write."""
        self.hits, self.seconds = self.counts.hits, self.counts.seconds_saved

    def write(self, now: float) -> None:
        import json

        opened, hits = self.opened(), self.counts.hits - self.hits
        if opened is None or hits <= 0 or opened.gone():
            return
        before = uses(opened.storage, self.scope)
        seconds = max(self.counts.seconds_saved - self.seconds, 0.0)
        body = json.dumps((before.hits + hits, before.seconds + seconds, now)).encode()
        opened.storage.write(f"{self.scope}/uses", [body], bytes, size=len(body), mark=0)
        self.skip()


_noted: dict[tuple[int, str], _Noted] = {}


def note(opened: Any, scope: str, counts: Any) -> None:
    """From now on ``counts`` (``hits``, ``seconds_saved``) are those of this function in this place."""
    if not _noted:
        import atexit

        atexit.register(write_all)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_after_fork)
    key = id(counts), opened.place
    if key not in _noted or _noted[key].opened() is not opened:
        _noted[key] = _Noted(opened, scope, counts)


def write_all() -> None:
    from time import time

    for one in list(_noted.values()):
        try:
            one.write(time())
        except Exception:  # a place that can only be read, a server that is gone: not worth a word
            continue


def _after_fork() -> None:
    for one in _noted.values():
        one.skip()
