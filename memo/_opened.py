"""An open place: a storage, its abilities resolved once, and what the threads and processes on it share."""

from __future__ import annotations

import os
from time import monotonic, time

from . import _abilities, _upkeep, events
from ._flight import Flights
from ._living import Living
from ._lockfile import LockFile
from ._opening import PLACE
from ._opening import open_place as open_place
from ._place import MARKER, is_url, lock_path, new_marker, text_of
from ._sweep import used_name
from .errors import DamagedError, UnreachableError
from .model import Call, Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from typing import Any

    from ._limits import Limits, Room
    from ._state import State
    from .protocols import Storage


class Opened:
    """``place`` is a folder, a URL, or "" for a storage object, which has its own place.

    Without any locks only the threads and tasks of this process share a computation.
    """

    def __init__(self, storage: Storage, place: str = "", limits: Limits | None = None) -> None:
        self.storage, self.place = storage, place
        self.words = _abilities.words(storage)
        self.heads = _abilities.heads(storage)
        self.batch = _abilities.batch(storage)
        self.look, self.asks = _abilities.look(storage), _abilities.has_look(storage)
        url = is_url(place)
        self.flights, lock_file = _shared_flights(place, url and _abilities.has_locks(storage))
        self.flights.storage = storage
        self.pause = 0.02  #: seconds, at most, between two tries to get a key for this process
        self.lock_file = lock_file or LockFile("")
        self._lock: Callable[[str], AbstractContextManager[bool]] | None = None
        if lock_file is not None:
            self._lock = lock_file.lock
        if _abilities.has_locks(storage):
            self._lock = lambda name: storage.lock(name, 0)
            self.pause = 0.2  # each try is a trip
        self.room: Room | None = None
        known = _rooms.get(place)
        if known is not None:
            self.room = known  # one for all caches of a place: what it notes of uses is for all
        elif limits is not None:
            from ._limits import Room

            self.room = Room(limits, storage, "" if url else place, lambda name: self.take(name, _unheard))
            if place:
                _rooms[place] = self.room
        self.states: Living[State] = Living()  #: made from what is read here
        single = place and not url and os.path.isfile(place)  # a file that memo export made
        self._marker = place if single else os.path.join(place, MARKER) if place and not url else ""
        self._unmarked = url
        self.sweep_at = 0.0  #: when to sweep next, by the monotonic clock
        self._named: set[str] = set()  #: functions whose full names are known to be kept
        self.histories: dict[str, Any] = {}  #: of the functions that computed something here, for explain

    def gone(self) -> bool:
        """Whether the folder was deleted, or replaced by something else, since it was opened."""
        return bool(self._marker) and not os.access(self._marker, os.F_OK)

    def retire(self) -> None:
        """Nothing that was seen here holds any more: words of a deleted folder never change again."""
        for state in list(self.states):
            state.seen = state.edits = -1
        self.look_again()
        self.lock_file.close()
        _rooms.pop(self.place, None)

    def look_again(self) -> None:
        """What this process did to a storage whose words can't be watched, its own fronts must see at once."""
        for state in list(self.states):
            state.trusted_until = 0.0

    def name(self, call: Call) -> None:
        """Keep the function's full name once, so that people can read a listing: keys hold only what is safe."""
        if call.function not in self._named:
            self.mark()
            name = f"names/{call.scope}"
            if not self._is_there(name):
                body = call.function.encode("utf-8", "surrogatepass")
                self.storage.write(name, [body], lambda: b"", size=len(body), mark=0)
            self._named.add(call.function)

    def _is_there(self, name: str) -> bool:
        """Whether there is such a record; a damaged one is written anew."""
        try:
            return self.heads.head(name) is not None
        except DamagedError:
            return False

    def mark(self) -> None:
        """What is behind a URL says, like a folder, who made it; without it the command line takes it for foreign."""
        if self._unmarked and not self._is_there(PLACE):
            text = text_of(new_marker(self.place.partition("://")[0]))
            self.storage.write(PLACE, [text], lambda: b"", size=len(text), mark=0)
        self._unmarked = False

    def ahead(self, prefix: str) -> Callable[[str], Record | None] | None:
        """A ``read`` for names of that prefix which may give what was there at any time since now; None without one."""
        ahead = getattr(self.storage, "ahead", None)
        return None if ahead is None else ahead(prefix)

    def head(self, name: str) -> tuple[bytes, int] | None:
        """What is there under a name, without its body and without a verdict."""
        try:
            return self.heads.head(name)
        except Exception:
            return None  # the look-up has already said what is wrong

    def take(self, name: str, trouble: Callable[[str, Exception], object]) -> AbstractContextManager[bool] | bool:
        """Tries to get a name for this process alone: its lock, entered, to be given to `let_go`.

        False while another process has it; True where there is no lock to be had: it saves work, no more.
        """
        if self._lock is None:
            return True
        lock = self._lock(name)
        try:
            return lock if lock.__enter__() else False
        except Exception as error:
            trouble("lock", error)
            return True

    def let_go(self, lock: AbstractContextManager[bool]) -> None:
        try:
            lock.__exit__(None, None, None)
        except Exception:
            return  # a result was made all the same; what a dead server still holds runs out

    def used(self, call: Call) -> float:
        """When an entry was last used, in seconds since the epoch; 0 where nobody has noted it."""
        found = self.heads.head(used_name(call.key))
        return 0.0 if found is None else found[1] / 1000

    def use(self, call: Call, now: float) -> None:
        """Note a use, as the mark of an empty record: storages know no heads that change. Lost where it can't be noted."""
        try:
            self.storage.write(used_name(call.key), (), bytes, size=0, mark=int(now * 1000))
        except Exception:
            return

    def words_of(
        self, scope: str, trouble: Callable[[str, Exception], object]
    ) -> tuple[Sequence[int] | None, int, int] | None:
        """(the watched word or None, what it is, the function's mark); None when they can't be read."""
        try:
            watch = self.words.watch(f"{scope}.edits")
            # read before the truth, so that a change in between shows as one
            seen = self.words.word(f"{scope}.edits") if watch is None else watch[0]
            return watch, seen, self.words.word(scope)
        except Exception as error:
            trouble("read", error)
            return None

    def words_with(
        self, name: str, scope: str, trouble: Callable[[str, Exception], object]
    ) -> tuple[int, int, Callable[[str], Record | None]] | None:
        """(the word of edits, the function's mark, what reads the entry ``name``), all of it in one trip."""
        try:
            record, (edits, mark) = self.look(name, (f"{scope}.edits", scope), True)
            return edits, mark, lambda _: record
        except DamagedError:  # of the entry: reading it once more says so
            words = self.words_of(scope, trouble)
            return None if words is None else (*words[1:], self.storage.read)
        except Exception as error:
            trouble("read", error)
            return None

    def overtaken(self, call: Call, mark: int, before: tuple[bytes, int] | None) -> bool:
        """Whether the function was cleared, or this very key written or deleted, since its computation began."""
        try:
            record, (word,) = self.look(call.key, (call.scope,), False)
            return word != mark or (record and record[:2]) != before
        except Exception:
            return False  # the store will say what is wrong

    def touch(self, scope: str) -> None:
        """Fronts of every process look again."""
        self.words.bump(f"{scope}.edits")
        self.look_again()

    def clear(self, scope: str) -> None:
        _upkeep.forget(self.storage, scope)
        self.look_again()

    def purge(self, scope: str, mark: int, limit: int) -> bool:
        """Remove some dead entries; whether there may be more."""
        try:
            return _abilities.purge(self.storage).purge(scope, mark, limit) >= limit
        except Exception:
            return False

    def sweep(self) -> None:
        """Once an hour, with a store: takes away what killed processes left behind. Nothing to warn of where it can't."""
        from . import _litter
        from ._aside import STALE

        self.sweep_at = monotonic() + STALE
        try:
            if not self._marker:
                _litter.sweep(self.storage, "", self.lock_file.path)
            elif time() - os.lstat(self._marker).st_mtime > STALE:  # nothing is that old in a new place
                _litter.sweep(self.storage, self.place, self.lock_file.path)
        except Exception:
            return

    def heal(self, error: Exception) -> None:
        """A ruined database is set aside and made anew, so that the next call stores again."""
        if isinstance(error, UnreachableError):  # a server may come back with nothing in it
            self._named.clear()
            self._unmarked = is_url(self.place)
        reset = getattr(self.storage, "reset", None)
        if reset is not None and getattr(self.storage, "ruined", bool)(error):
            try:
                reset()
                self._named.clear()
                self.histories.clear()
            except Exception as failure:
                events.warn_once(
                    f"{self.place}:reset", f"the ruined cache at {self.place} could not be rebuilt: {failure}"
                )


def _unheard(doing: str, error: Exception) -> None:
    """Where no lock is to be had for a turn, limits hold a little less well: nothing to warn of."""


_rooms: dict[str, Room] = {}
_flights: dict[str, tuple[Flights, LockFile | None]] = {}


def places() -> list[str]:
    """The folders of the places that were opened by this process."""
    return [place for place in list(_flights) if place and not is_url(place)]


def _shared_flights(place: str, beyond: bool) -> tuple[Flights, LockFile | None]:
    """``beyond``: the storage has locks of its own, for all hosts."""
    # two Cache objects on one place share it: a computation of the one is waited for by the other
    if not place:
        return Flights(), None
    if place not in _flights:
        path = "" if beyond else lock_path(place) if is_url(place) else os.path.join(place, "flights.lock")
        if os.path.isfile(place):  # nothing is stored there, so nobody waits for anybody
            path = ""
        _flights.setdefault(place, (Flights(), LockFile(path) if path else None))
    return _flights[place]
