"""Entries in a cache of diskcache (version 5), for those who have one or want one: bytes only, nothing is ever unpickled.

diskcache keeps each value in a way that its row names, a pickle among them, so whoever can write into such a cache can
run code in all that read it (CVE-2025-69872). The decision: entries are put there as bytes, through a connection of our
own whose ``Disk`` refuses every other kind of row before it looks at it, and every file name that is not diskcache's own.

An entry is one value, as in ``_value``, under the key ``memo:<name>``. Nothing expires. A cache that evicts may take words as well: they are times, so that what was cleared never comes back.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from typing import Any

from .. import _forks
from .._aside import STALE, age, discard, set_aside
from .._living import Living
from ..errors import DamagedError, OptionError
from ..model import Buffer, Item, Record
from ._disk import make_folder
from ._lease import Leases
from ._value import ABOUT, START, head_of, record_of, value_of

_LEASE = 15.0  #: seconds for which a lock outlives a holder that died
_TRIES = 20  #: an entry that is being replaced has no file for a moment


class Diskcache:
    """Entries in a ``diskcache.Cache`` or ``FanoutCache``, or in a new folder of that format.

    A cache that is given stays as it is set up, with its limit and eviction; only keys that begin with ``memo:`` are
    touched. A folder is set up not to evict. ``timeout``: seconds to wait for other writers, then diskcache's Timeout;
    sqlite3's errors pass. Nothing is opened or made before the first use, and nothing by reading a folder.

    Raises:
        ImportError: diskcache is not installed.
        OptionError: for anything else than a folder or such a cache.
    """

    def __init__(self, place: Any, *, timeout: float = 30.0) -> None:
        disk = _bytes_only()  # ImportError
        self.timeout, self._disk = timeout, disk
        self._own = isinstance(place, (str, os.PathLike))
        self._folders: tuple[str, ...]
        if self._own:
            self._folders = (os.path.abspath(place),)
            self.ruined, self.reset = _ruined, self._reset
        elif type(place).__module__.startswith("diskcache") and hasattr(place, "directory"):
            self._folders = tuple(one.directory for one in getattr(place, "_shards", (place,)))
        elif isinstance(place, tuple):  # pickled
            self._folders = place
        else:
            raise OptionError(f"Diskcache() takes a folder, a diskcache.Cache or a FanoutCache, not {place!r:.80}")
        if not self._own:  # a folder has locks beside it
            self.lock: Callable[[str, float], AbstractContextManager[bool]]
            self.lock = Leases(_LEASE, self._take, self._renew, self._free).lock
        self._caches: list[Any] = []

    def __reduce__(self) -> tuple[Callable[..., Diskcache], tuple[str | tuple[str, ...], float]]:
        return _diskcache, (self._folders[0] if self._own else self._folders, self.timeout)

    def __repr__(self) -> str:
        folder = self._folders[0]
        return f"Diskcache({(folder if len(self._folders) == 1 else os.path.dirname(folder))!r})"

    # -- the four verbs

    def read(self, name: str, /) -> Record | None:
        value = self._get("memo:" + name)
        return None if value is None else record_of(name, value)

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
        self._at("memo:" + name, make=True).set("memo:" + name, value_of(parts, head, size, mark))

    def remove(self, name: str, /) -> None:
        if found := self._at("memo:" + name):
            found.delete("memo:" + name)

    def scan(self, prefix: str = "", /) -> Iterator[Item]:
        start = f"memo:{prefix}/" if prefix else "memo:"
        for one in self._open(False):
            for key in one:
                # what is no text was put there by others
                if isinstance(key, str) and key.startswith(start) and ":" not in key[5:]:
                    try:
                        found = self._start(key)
                    except DamagedError:
                        continue
                    if found is not None:
                        yield Item(key[5:], found[2], found[1], found[0])

    # -- what it does better than a fall-back could

    def head(self, name: str, /) -> tuple[bytes, int] | None:
        found = self._start("memo:" + name)
        return found and found[:2]

    def word(self, scope: str, /) -> int:
        key = "memo:word:" + scope
        try:
            found = self._get(key)
        except DamagedError:
            found = ""
        if found is None:
            self._at(key, make=True).add(key, time.time_ns() // 1000)
            found = self._get(key)
        if (
            type(found) is not int
        ):  # what it was nobody knows: another one, so all that was stored under it counts as cleared
            found = time.time_ns() // 1000
            self._at(key, make=True).set(key, found)
        return found

    def bump(self, scope: str, /) -> int:
        key = "memo:word:" + scope
        return int(self._at(key, make=True).incr(key, 1, default=time.time_ns() // 1000))

    def watch(self, scope: str, /) -> Sequence[int] | None:
        return None

    def close(self) -> None:
        """Lets go of the database; the next use opens it again."""
        for one in self._caches:
            one.close()

    def sweep(self, orphaned: Callable[[str], bool] | None = None, /) -> None:
        """Takes away what was left behind, over an hour ago, by those who were killed while they made a folder."""
        for folder in self._folders if self._own else ():
            for name in os.listdir(folder):
                path = os.path.join(folder, name)
                if name.endswith(".new") and age(path) > STALE:
                    discard(path)

    def _reset(self) -> None:
        """Sets a ruined cache aside as ``<folder>.damaged``; the next write makes a new one."""
        with _opening:
            self.close()
            self._caches = []
            (folder,) = self._folders
            try:
                set_aside(folder, folder + ".damaged")
            except FileNotFoundError:
                pass  # another process was first

    # -- inside

    def _open(self, make: bool) -> list[Any]:
        if not self._caches:
            with _opening:
                if not self._caches and (make or all(os.path.exists(f"{each}/cache.db") for each in self._folders)):
                    self._caches = [self._opened(folder) for folder in self._folders]
        return self._caches

    def _opened(self, folder: str) -> Any:
        if not self._own:
            return _by_turns()(folder, timeout=self.timeout, disk=self._disk)
        make_folder(folder)
        if os.path.isdir(f"{folder}/cache.db"):  # out of the way
            set_aside(f"{folder}/cache.db", f"{folder}/cache.db.damaged")
        if not os.path.exists(f"{folder}/cache.db"):
            # for this user alone. It gets its name when it is closed: closing a file that SQLite has open in this process
            # would take SQLite's locks away
            new = f"{folder}/{os.urandom(8).hex()}.new"
            os.close(_new(new))
            try:
                os.link(new, f"{folder}/cache.db")
            except OSError:
                pass  # another was first; or a disk without links, where SQLite makes it
            os.unlink(new)
        return _by_turns()(folder, timeout=self.timeout, disk=self._disk, eviction_policy="none", cull_limit=0)

    def _at(self, key: str, make: bool = False) -> Any:
        """The cache that has a key, as a FanoutCache chooses it; None where there is nothing yet."""
        caches = self._open(make)
        return caches[zlib.adler32(key.encode()) % len(caches)] if caches else None

    def _get(self, key: str, read: bool = False) -> Any:
        found = self._at(key)
        if found is None:
            return None
        for _ in range(_TRIES):
            value = found.get(key, read=read)
            if value is not None or key not in found:
                return value
        return None

    def _start(self, key: str) -> tuple[bytes, int, int] | None:
        """(head, mark, size of head and body); the body of a large entry stays where it is."""
        value = self._get(key, read=True)
        if value is None:
            return None
        if not hasattr(value, "fileno"):
            found, size = head_of(key, value), len(value)
        else:
            with value:
                size, start = os.fstat(value.fileno()).st_size, value.read(START)
                found = head_of(key, start) or head_of(key, start + value.read(ABOUT.unpack_from(start)[0]))
        if found is None:
            raise DamagedError(f"the entry {key} is shorter than its head")
        return *found, size - ABOUT.size

    def _take(self, name: str, token: str) -> bool:
        key = "memo:lock:" + name
        found = self._at(key, make=True)
        return bool(found.add(key, token, expire=_LEASE)) or found.get(key) == token

    def _renew(self, name: str, token: str) -> None:
        key = "memo:lock:" + name
        found = self._at(key, make=True)
        with found.transact():
            if found.get(key) == token:
                found.touch(key, expire=_LEASE)

    def _free(self, name: str, token: str) -> None:
        key = "memo:lock:" + name
        found = self._at(key, make=True)
        with found.transact():
            if found.get(key) == token:
                found.delete(key)


def _diskcache(place: str | tuple[str, ...], timeout: float) -> Diskcache:
    return Diskcache(place, timeout=timeout)


def _ruined(error: Exception, /) -> bool:
    return type(error) is sqlite3.DatabaseError


@cache
def _bytes_only() -> Any:
    """The Disk through which all is read and written."""
    try:
        from diskcache import UNKNOWN, Disk
        from diskcache.core import MODE_BINARY, MODE_RAW
    except ImportError:
        raise ImportError('the storage Diskcache needs diskcache: pip install "memo-persist[diskcache]"') from None
    import re

    own = re.compile(r"[0-9a-f]{2}[/\\][0-9a-f]{2}[/\\][0-9a-f]{28}\.val").fullmatch

    class Bytes(Disk):  # type: ignore[misc]
        def __init__(self, directory: str, min_file_size: int = 0, pickle_protocol: int = 0, **others: Any) -> None:
            super().__init__(directory, min_file_size, pickle_protocol)  # others: settings of the user's own Disk

        def store(self, value: Any, read: bool, key: Any = UNKNOWN) -> tuple[int, int, str | None, Any]:
            if type(value) is not list:  # words and tokens
                return super().store(value, read, key=key)  # type: ignore[no-any-return]
            size = sum(map(len, value))
            if size < self.min_file_size:
                return super().store(b"".join(value), read, key=key)  # type: ignore[no-any-return]
            filename, path = self.filename(key, value)
            with open(_new(path), "wb") as file:
                file.writelines(value)
            return size, MODE_BINARY, filename, None

        def fetch(self, mode: int, filename: str | None, value: Any, read: bool) -> Any:
            if mode == MODE_RAW or (mode == MODE_BINARY and isinstance(filename, str) and own(filename)):
                return super().fetch(mode, filename, value, read)
            raise DamagedError("a row that memo did not write (it would be unpickled, or is not where it should be)")

        def get(self, key: Any, raw: bool) -> Any:
            return super().get(key, raw) if raw else None

        def remove(self, file_path: str) -> None:
            if own(file_path):
                super().remove(file_path)

    return Bytes


@cache
def _by_turns() -> Any:
    """A Cache with one connection for all threads, which take turns at it: so a fork can wait for its turn and close it.

    SQLite keeps in the process what it has locked. A child that was forked while another thread has a connection would
    wait for locks that nobody has, or believe that it has them.
    """
    from diskcache import Cache

    def by_turns(method: Callable[..., Any]) -> Callable[..., Any]:
        def in_turn(self: Any, *args: Any, **options: Any) -> Any:
            with self.turn:
                return method(self, *args, **options)

        return in_turn

    class ByTurns(Cache):  # type: ignore[misc]
        def __init__(self, directory: str, **options: Any) -> None:
            self.turn = threading.RLock()
            self.connection: Any = None
            super().__init__(directory, **options)
            _opened.add(self)

        @property
        def _con(self) -> Any:
            if self.connection is None:
                path = os.path.join(self.directory, "cache.db")
                self.connection = db = sqlite3.connect(
                    path, timeout=self.timeout, isolation_level=None, check_same_thread=False
                )
                try:
                    settings = db.execute("SELECT key, value FROM Settings").fetchall()
                except sqlite3.OperationalError:  # it is being made
                    settings = []
                for key, value in settings:
                    if key.startswith("sqlite_"):  # of a connection, not of the file
                        self.reset(key, value, update=False)
            return self.connection

        def close(self) -> None:
            connection, self.connection = self.connection, None
            if connection is not None:
                connection.close()

        def __iter__(self) -> Iterator[Any]:
            with self.turn:
                return iter(list(super().__iter__()))

        @contextmanager
        def transact(self, retry: bool = False) -> Iterator[None]:
            with self.turn, super().transact(retry):
                yield

    for name in ("__contains__", "add", "close", "delete", "get", "incr", "set", "touch"):
        setattr(ByTurns, name, by_turns(getattr(ByTurns, name)))
    return ByTurns


def _new(path: str) -> int:
    """A new file for this user alone. diskcache removes folders that are empty, maybe just then."""
    for left in reversed(range(10)):
        try:
            make_folder(os.path.dirname(path))
            return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            if not left:
                raise
    raise AssertionError


_opened: Living[Any] = Living()  # caches by turns
_opening = threading.RLock()
_held: list[threading.RLock] = []  # what is taken during a fork
_inherited: list[Any] = []  # of the parent of a forked child: neither used nor closed there


def _before_fork() -> None:
    if _opening.acquire(timeout=_forks.PATIENCE):  # first: who opens or sets aside takes turns, too
        _held.append(_opening)
    for one in _opened:
        if one.turn.acquire(timeout=_forks.PATIENCE):
            _held.append(one.turn)
            one.close()


def _after_fork_in_parent() -> None:
    while _held:
        _held.pop().release()


def _after_fork_in_child() -> None:
    global _opening
    _opening = threading.RLock()  # the thread that held it is not there to let go
    _held.clear()
    for one in _opened:
        _inherited.append(one.connection)
        one.turn, one.connection, one._txn_id = threading.RLock(), None, None


_forks.register(_before_fork, _after_fork_in_parent, _after_fork_in_child)
