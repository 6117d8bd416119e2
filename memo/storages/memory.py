"""A dictionary: for tests, for tiers, and where there is no disk. Gone with the process; pickles as empty."""

from __future__ import annotations

import os
import threading
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence

from .._abilities import ScannedRanks
from .._living import Living
from ..model import Buffer, Item, Record
from ._parts import join


class Memory:
    """Entries in this process. Bodies are kept as bytes, so nobody can change what is stored."""

    def __init__(self) -> None:
        self._entries: dict[str, Record] = {}
        self._words: dict[str, array[int]] = {}
        self.forked()
        self._written: dict[str, float] = {}
        ranks = ScannedRanks(self, self._listed)
        self.rank, self.lowest, self.ranked, self.totals = ranks.rank, ranks.lowest, ranks.ranked, ranks.totals

        _all.add(self)

    def forked(self) -> None:
        """In a forked child: the thread that held the lock is not there to let go."""
        self._lock = threading.RLock()  # a finalizer or a signal handler may come in between

    def __reduce__(self) -> tuple[type[Memory], tuple[()]]:
        return Memory, ()

    def read(self, name: str, /) -> Record | None:
        return self._entries.get(name)

    def write(
        self,
        name: str,
        parts: Iterable[Buffer],
        head: Callable[[], bytes],
        /,
        *,
        size: int,
        mark: int,
        suffix: str = "",
    ) -> None:
        body = join(parts, size)
        record = Record(head(), mark, body)
        with self._lock:
            self._entries[name] = record
            self._written[name] = time.time()

    def remove(self, name: str, /) -> None:
        with self._lock:
            self._entries.pop(name, None)
            self._written.pop(name, None)

    def stamp(self, name: str, /) -> Record | None:
        """What tells this write of a name from any other."""
        return self._entries.get(name)

    def remove_if(self, name: str, stamp: Record | None, /) -> None:
        """Removes the entry if it is still that of ``stamp``, in one step."""
        with self._lock:
            if self._entries.get(name) is stamp:
                self._entries.pop(name, None)
                self._written.pop(name, None)

    def scan(self, prefix: str = "", /) -> Iterator[Item]:
        start = prefix + "/" if prefix else ""
        with self._lock:
            entries = list(self._entries.items())
        for name, (head, mark, body, _) in entries:
            if name.startswith(start):
                yield Item(name, len(head) + len(body), mark, head)

    def _listed(self, prefix: str) -> Iterator[tuple[float, Item]]:
        return ((self._written.get(item.name, 0.0), item) for item in self.scan(prefix))

    def word(self, scope: str, /) -> int:
        return self._slot(scope)[0]

    def bump(self, scope: str, /) -> int:
        slot = self._slot(scope)
        with self._lock:
            slot[0] += 1
            return slot[0]

    def watch(self, scope: str, /) -> Sequence[int] | None:
        return self._slot(scope)

    def _slot(self, scope: str) -> array[int]:
        try:
            return self._words[scope]
        except KeyError:
            return self._words.setdefault(scope, array("q", [0]))


_all: Living[Memory] = Living()


def _after_fork() -> None:
    for one in _all:
        one.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
