"""Limits of a place: room is made before an entry is written, so that they hold at every moment, in any number of processes.

Who stores takes the place's turn, makes room, writes, and lets the next one go. How full the place is is kept in a small
mapped file that only stores count up and only evictions count down: it is never too low. (Beside it is counted what was
evicted, by whatever process.) What is cleared or replaced meanwhile makes it too high, so before anything is evicted the
storage is asked for the truth. A twentieth more than is needed goes at once, 500 entries at most, so that on a full place
most stores evict nothing, and none waits for long.

Which goes first is the rank's to say: by last use ("lru"), or by the seconds that an entry saves for each of its bytes,
with what was evicted last as the floor for new ones, so that old riches fade ("cost": GreedyDual-Size, Cao and Irani,
1997). Uses are noted in this process and written down together; hits in a front are not seen.
"""

from __future__ import annotations

import os
from _thread import RLock
from atexit import register
from collections import Counter
from contextlib import contextmanager
from time import monotonic, sleep, time

from . import _abilities, _group, events
from ._entry import unpack
from ._living import Living
from ._units import show_bytes
from .errors import DamagedError
from .model import Cheap, Event, Item

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from typing import Any

    from .model import Head
    from .protocols import Storage

PATIENCE = 30.0  #: seconds that a store waits for its turn
SHORT = 0.1  #: seconds that it waits after it has been in vain for so long, until somebody gets a turn again
_FILE, _COUNTS = "limits.map", 32  #: four numbers of eight bytes
_SLACK, _MOST = 20, 500  #: one in so many entries, or bytes, goes more than is needed; so many entries at most
_BATCH = 200  #: entries taken out between two looks
_PENDING, _EVERY = 100, 5.0  #: uses kept until they are written together, and seconds
_NEVER = float("-inf")  #: the rank of what was never ranked
_YOUNG = 10.0  #: seconds in which another process may not have written down the rank of what it has just stored


class Limits:
    """``max_size`` in bytes, ``max_entries``; None: no limit. ``evict`` is "lru" or "cost"."""

    def __init__(self, max_size: int | None, max_entries: int | None, evict: str) -> None:
        self.max_size, self.max_entries, self.evict = max_size, max_entries, evict

    def __bool__(self) -> bool:
        return self.max_size is not None or self.max_entries is not None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Limits) and self.kept() == other.kept()

    __hash__ = None  # type: ignore[assignment]

    def kept(self) -> dict[str, Any]:
        """What the place's marker holds of it."""
        return {"max_size": self.max_size, "max_entries": self.max_entries, "evict": self.evict} if self else {}

    def __str__(self) -> str:
        parts = [] if self.max_size is None else [f"max_size={show_bytes(self.max_size)}"]
        parts += [] if self.max_entries is None else [f"max_entries={self.max_entries:,}"]
        return ", ".join([*parts, f"evict={self.evict}"]) if parts else "no limits"


def limits_of(kept: dict[str, Any]) -> Limits | None:
    """Those that a place's marker holds."""
    return Limits(kept.get("max_size"), kept.get("max_entries"), kept.get("evict", "lru")) if kept else None


class Room:
    """The limits at work in one open place."""

    def __init__(self, limits: Limits, storage: Storage, folder: str, take: Callable[[str], Any]) -> None:
        """``take(name)`` tries to get a lock between processes: an entered one, False where another has it, or True."""
        self.limits, self.storage, self.ranks = limits, storage, _abilities.ranks(storage)
        self._path = os.path.join(folder, _FILE) if folder else ""
        #: whether the storage goes by the time of writing where no use was noted
        self._timed = limits.evict == "lru" and hasattr(storage, "cheapest")
        self._heads, self._remove = _abilities.heads(storage), _abilities.remover(storage)
        self._take, self.turn = take, RLock()  # a finalizer or a signal handler may come in between
        self._impatient_until = 0.0
        self._count: Any = None  # entries, bytes, and how many and how much was evicted
        self._uses: dict[str, float] = {}
        self._written = monotonic()
        self._floor: float | None = None
        self.evicted: dict[str, int] = {}  #: entries by scope, by this process
        self._names: dict[str, str] = {}
        _all.add(self)

    @contextmanager
    def taken(self, name: str, size: int) -> Iterator[bool]:
        """While it lasts an entry of ``size`` bytes may be written; False: it is larger than the limit, and may not."""
        limits = self.limits
        if limits.max_size is not None and size > limits.max_size:
            yield False
            return
        with self.turn:
            lock = self._alone()
            try:
                count = self._count or self._counted()
                if self._over(count[0] + 1, count[1] + size):
                    count[0], count[1] = self.ranks.totals("")
                    if self._heads.head(name) is not None:
                        count[0] -= 1  # it is replaced
                    if self._over(count[0] + 1, count[1] + size):
                        self._make_room(count, name, size)
                count[0] += 1
                count[1] += size
                yield True
            finally:
                if not isinstance(lock, bool):
                    lock.__exit__(None, None, None)

    def stored(self, name: str, head: Head) -> None:
        if not self._timed:
            self.used(name, head, head.created)

    def used(self, name: str, head: Head, now: float) -> None:
        """Note that an entry was served, or came from elsewhere."""
        self._uses[name] = self._rank(head, now)
        if len(self._uses) >= _PENDING or monotonic() - self._written > _EVERY:
            self.flush()

    def flush(self) -> None:
        uses, self._uses, self._written = self._uses, {}, monotonic()
        if uses:
            self.ranks.rank(uses)

    # -- inside

    def _alone(self) -> AbstractContextManager[bool] | bool:
        """The place's turn among processes: a lock, entered, or True where there is none to be had."""
        lock: AbstractContextManager[bool] | bool = self._take("limits/turn")
        if lock is False:
            pause = 0.0002
            until = monotonic() + (PATIENCE if monotonic() > self._impatient_until else SHORT)
            while (lock := self._take("limits/turn")) is False:
                if monotonic() > until:
                    self._impatient_until = monotonic() + 10 * PATIENCE
                    raise TimeoutError(f"another process kept others from storing for {PATIENCE:g} s: is it stopped?")
                sleep(pause)
                pause = min(pause * 1.5, 0.01)
        self._impatient_until = 0.0
        return lock

    def _over(self, entries: int, size: int) -> bool:
        limits = self.limits
        return (limits.max_entries is not None and entries > limits.max_entries) or (
            limits.max_size is not None and size > limits.max_size
        )

    def _make_room(self, count: Any, name: str, size: int) -> None:
        limits = self.limits
        mean = count[1] // max(count[0], 1)
        entries = count[0] + 1 + min((limits.max_entries or 0) // _SLACK, _MOST)
        need = count[1] + size + min((limits.max_size or 0) // _SLACK, _MOST * mean)
        gone = freed = 0
        self.flush()
        while self._over(entries - gone, need - freed):
            most = _BATCH if limits.max_size is not None else min(_BATCH, entries - gone - (limits.max_entries or 0))
            batch, take_out = self._lowest(name, most)
            if not batch:
                break  # nothing that could go: another process has emptied it meanwhile
            going = []
            for one in batch:
                if not self._over(entries - gone, need - freed):
                    break
                going.append(one)
                gone, freed = gone + 1, freed + one.size
                self._floor = max(self._floor or 0.0, one.rank)
            take_out(going)
            self._tell(going)
        count[0] -= gone
        count[1] -= freed
        count[2] += gone
        count[3] += freed

    def _tell(self, gone: list[Cheap]) -> None:
        for scope, entries in Counter(one.scope for one in gone).items():
            self.evicted[scope] = self.evicted.get(scope, 0) + entries
            events.count(self._function(scope), evicted=entries)
        if events.wanted("evict"):
            for one in gone:
                key = one.ticket.name if type(one.ticket) is Item else one.scope
                events.emit(Event("evict", self._function(one.scope), key, str(self.limits), 0.0, one.size))

    def _function(self, scope: str) -> str:
        function = self._names.get(scope)
        if function is None:
            record = self.storage.read(f"names/{scope}")
            function = scope if record is None else bytes(record.body).decode("utf-8", "surrogatepass")
            self._names[scope] = function
        return function

    def _lowest(self, name: str, most: int) -> tuple[list[Cheap], Callable[[list[Cheap]], object]]:
        """What goes first, never the entry that is being replaced, and what takes it out.

        What has no rank goes first, except what was stored just now, by a process that has yet to write down its rank.
        """
        storage: Any = self.storage
        briefly = hasattr(storage, "cheapest") and not events.wanted("evict")  # which tells their names
        found: list[Cheap] | None = storage.cheapest(most, name, self._timed) if briefly else None
        take_out = self._take_out if found is None else storage.take_out
        if found is None:
            found = [one for one in self._ranked(most + 1) if one.ticket.name != name]
        if all(one.rank != _NEVER for one in found):
            return found, take_out
        newest = max((one.written for one in found), default=0.0)
        first = [one for one in found if one.rank != _NEVER or one.written < newest - _YOUNG]
        return first or found, take_out

    def _take_out(self, gone: list[Cheap]) -> None:
        self._remove([one.ticket.name for one in gone])

    def _ranked(self, n: int) -> list[Cheap]:
        ranked: Any = getattr(self.ranks, "ranked", None)
        if ranked is None:
            found = [(0.0, 0.0, item) for item in self.ranks.lowest("", n)]
        else:
            found = ranked("", n, timed=True) if self._timed else ranked("", n)
        return [
            Cheap(rank, written or _created(item), item.size, item.name.partition("/")[0], item)
            for rank, written, item in found
        ]

    def _rank(self, head: Head, now: float) -> float:
        if self.limits.evict == "lru":
            return time() if self._timed else now
        if self._floor is None:  # where those before this process had got to
            self._floor = max((one.rank for one in self._ranked(1) if one.rank != _NEVER), default=0.0)
        return self._floor + head.seconds / max(head.size, 1)

    def _counted(self) -> Any:
        if self._count is None:
            self._count = self._mapped() if self._path else [*self.ranks.totals(""), 0, 0]
        return self._count

    def _mapped(self) -> Any:
        from mmap import mmap

        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
        file = _group.opened(self._path, os.open(self._path, flags, 0o600))
        try:
            there = os.fstat(file).st_size
            if there < _COUNTS:
                os.ftruncate(file, _COUNTS)
            count = memoryview(mmap(file, _COUNTS)).cast("q")
        finally:
            os.close(file)
        if there < 16:
            count[0], count[1] = self.ranks.totals("")
        return count


def evicted(folder: str) -> tuple[int, int]:
    """(entries, bytes) that were evicted from a place since it was made, by whatever process; zeros without limits."""
    try:
        with open(os.path.join(folder, _FILE), "rb") as file:
            counts = memoryview(file.read(_COUNTS).ljust(_COUNTS, b"\0")).cast("q")
    except OSError:
        return 0, 0
    return counts[2], counts[3]


_all: Living[Room] = Living()


def _after_fork() -> None:
    for room in _all:
        room.turn = RLock()  # the thread that held it is not there to let go


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@register
def _at_exit() -> None:
    for room in _all:
        try:
            room.flush()
        except Exception:
            continue  # last uses may be lost


def _created(item: Item) -> float:
    try:
        return unpack(item.head).created if item.head else 0.0
    except DamagedError:
        return 0.0
