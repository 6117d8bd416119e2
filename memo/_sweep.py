"""Taking expired entries off the disk, a few with each store, and what others need to know to do the same.

A policy lives in the user's code. So that upkeep and the command line, which do not run that code, can tell what is
expired and which code is current, each function leaves a small record ``<scope>/current``: the code version used last,
and for how many seconds its results are good. It is written when it changes, at most once a process otherwise.
"""

from __future__ import annotations

from itertools import islice
from math import inf

from ._entry import unpack
from ._tuples import NamedTuple
from .errors import DamagedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .model import Head, Item
    from .protocols import Storage

_FEW = 20  #: entries looked at with each store
_PAUSE = 60.0  #: seconds at least between two walks


class Current(NamedTuple):
    """``version``: the code version used last; ``good_for`` and ``idle``: seconds, inf where nothing is said of it."""

    version: str = ""
    good_for: float = inf
    idle: float = inf

    @property
    def ends(self) -> bool:
        """Whether results are ever expired."""
        return min(self.good_for, self.idle) < inf


def current(storage: Storage, scope: str) -> Current:
    """What a function has left of itself; empty where it has not, or where that can't be read."""
    import json

    try:
        record = storage.read(f"{scope}/current")
        if record is None:
            return Current()
        found = json.loads(bytes(record.body))
        return Current(
            str(found["version"]),
            *(inf if found[name] is None else float(found[name]) for name in ("good_for", "idle")),
        )
    except Exception:  # whatever a storage raises: then nothing is known
        return Current()


def leave(storage: Storage, scope: str, now: Current) -> bool:
    """Write the record, where it says something else; whether it is of another code version. Raises what the storage raises."""
    before = current(storage, scope)
    if before != now:
        import json

        limits = {
            name: None if value == inf else value for name, value in (("good_for", now.good_for), ("idle", now.idle))
        }
        body = json.dumps({"version": now.version, **limits}).encode()
        storage.write(f"{scope}/current", [body], bytes, size=len(body), mark=0)
    return before.version != now.version


def used_name(key: str) -> str:
    """Where the last use of an entry is noted."""
    scope, version, arguments = key.split("/")
    return f"{scope}/used-{version}-{arguments}"


def shelved_name(key: str) -> str:
    """Where what a reference to an entry is worth as an argument is kept."""
    from blake3 import blake3

    return f"shelved/{blake3(key.encode()).hexdigest(16)}"


def is_expired(storage: Storage, name: str, head: Head, limits: Current, now: float, grace: float = 0.0) -> bool:
    """By age, or since nobody has used it; ``grace`` seconds after that it may still be served."""
    if now >= head.created + limits.good_for + grace:
        return True
    if now < head.created + limits.idle + grace:
        return False
    record = storage.read(used_name(name))
    used = head.created if record is None else max(head.created, record.mark / 1000)
    return now >= used + limits.idle + grace


class Sweep:
    """One function's walk over its entries, resumed with each store."""

    def __init__(self) -> None:
        self._walk: Iterator[Item] | None = None
        self._next = 0.0

    def step(self, storage: Storage, scope: str, limits: Current, now: float, grace: float) -> int:
        """Looks at a few entries and removes those that are expired; how many."""
        if self._walk is None:
            if now < self._next:
                return 0
            self._next = now + max(_PAUSE, min(limits.good_for, limits.idle) / 10)
            self._walk = iter(storage.scan(scope))
        few = list(islice(self._walk, _FEW))
        if len(few) < _FEW:
            self._walk = None
        gone = 0
        for item in few:
            if item.name.count("/") == 2 and item.head:
                try:
                    head = unpack(item.head)
                except DamagedError:
                    continue
                if is_expired(storage, item.name, head, limits, now, grace):
                    storage.remove(item.name)
                    if limits.idle < inf:
                        storage.remove(used_name(item.name))
                    gone += 1
        return gone
