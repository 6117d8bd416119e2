"""One SQLite database in a folder: how it is made, opened by each thread, left before a fork, and set aside when ruined.

Decisions. Every writer, in every process, waits in one queue in front of SQLite (a lock on a file): SQLite before 3.51.3
can lose or damage a write-ahead log that two connections write and checkpoint at once, and a store may be shared with a
Python that links an old one; the queue is fairer than SQLite's own waiting, too. A database is made aside and renamed
into place, so one that can be seen is whole. Connections are closed before a fork: SQLite keeps what a process has
locked in that process's memory, and a child that inherits it believes that it holds locks that it does not.
"""

from __future__ import annotations

import atexit
import os
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from .. import _forks, _group
from .._aside import discard, set_aside, unlink
from .._living import Living
from ..errors import PlaceError
from ._disk import make_folder
from ._lock import FolderLock, HeldOverForks
from ._payload import sync

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    T = TypeVar("T")

FORMAT = 2  # 1 kept other bits of the digest in the key
LOG = 4000  # pages of the write-ahead log before a writer carries them over: each time waits for the disk
PATIENCE = 5.0  # seconds that a fork or close waits for other threads' statements

SCHEMA = f"""
PRAGMA journal_mode=WAL;
CREATE TABLE prefixes(id INTEGER PRIMARY KEY, prefix TEXT NOT NULL UNIQUE);
CREATE TABLE entries(
    k INTEGER PRIMARY KEY, prefix INTEGER NOT NULL, size INTEGER NOT NULL, mark INTEGER NOT NULL, written INTEGER NOT NULL,
    last TEXT, record BLOB NOT NULL
);
CREATE TABLE words(scope TEXT PRIMARY KEY, word INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE ranks(k INTEGER PRIMARY KEY, rank REAL, written INTEGER);
PRAGMA user_version={FORMAT};
"""

_all: Living[Database] = Living()
_forking = threading.RLock()  # held from before a fork until after it: nothing is opened meanwhile
_inherited: list[sqlite3.Connection] = []  # in use while a fork went on: never closed in the child
_ended: list[sqlite3.Connection] = []  # of threads that have ended, to be closed


class Connection:
    """What one thread has open. ``execute`` is a cursor's own method, or the function that opens it first."""

    __slots__ = (
        "__weakref__",
        "busy",
        "counting",
        "db",
        "execute",
        "inode",
        "opener",
        "prefixes",
        "thread",
        "writable",
    )

    def __init__(self, opener: Callable[[Connection, str, Sequence[Any]], Any]) -> None:
        self.busy = False
        self.thread = threading.get_ident()
        self.opener = opener
        self.closed()

    def unopened(self, sql: str, values: Sequence[Any] = ()) -> Any:
        return self.opener(self, sql, values)

    def closed(self) -> None:
        self.db: sqlite3.Connection | None = None
        self.inode: tuple[int, int] | None = None
        self.writable = self.counting = False
        self.prefixes: dict[str, int] = {}
        self.execute: Callable[..., Any] = self.unopened

    def __del__(self) -> None:
        if self.db is not None:
            _ended.append(self.db)
            if _close_ended is not None:  # a module's names are gone at exit
                _close_ended()


def _close_ended() -> None:
    """Closes what ended threads had open, unless there is a fork: a child must not be made inside SQLite.

    Never waits: this may be the collector, in a thread that has whatever lock.
    """
    if _forking.acquire(blocking=False):
        forking = _forking
        try:
            while _ended:
                _ended.pop().close()
        finally:
            forking.release()


class _Here(threading.local):
    def __init__(self, database: Database) -> None:
        self.connection = database.enlist()


class Rows:
    """What a query gives where nothing is open; none where there is no database yet."""

    rowcount = 0

    def __init__(self, rows: list[Any]) -> None:
        self._rows = rows

    def fetchone(self) -> Any:
        return self._rows[0] if self._rows else None

    def fetchall(self) -> list[Any]:
        return self._rows


class Database:
    def __init__(self, folder: str, timeout: float, durable: bool = False) -> None:
        self.folder, self.durable = folder, durable
        self.path = os.path.join(folder, "entries.db")
        self.timeout = timeout
        self.queue = FolderLock(os.path.join(folder, "entries.lock"), timeout)
        self._connections: Living[Connection] = Living()
        self._last: tuple[int, int] | None = None  # the file that was opened last
        self.here = _Here(self)

    def enlist(self) -> Connection:
        connection = Connection(self._first)
        self._connections.add(connection)
        _all.add(self)
        return connection

    # -- opening

    def inode(self) -> tuple[int, int] | None:
        try:
            found = os.lstat(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return found.st_dev, found.st_ino if stat.S_ISREG(found.st_mode) else -1  # of a link, a folder: no file of ours

    def _first(self, connection: Connection, sql: str, values: Sequence[Any]) -> Any:
        try:
            return connection.execute(sql, values) if self.open(connection) else Rows([])
        except sqlite3.OperationalError:
            rows = self._read_alone(sql, values) if connection.db is None and sql.startswith("SELECT") else None
            if rows is None:
                raise
            return Rows(rows)

    def _read_alone(self, sql: str, values: Sequence[Any]) -> list[Any] | None:
        """Rows of a database that can't be opened for want of room: even reading begins with files beside it.

        For one statement only, since what is read so may not change meanwhile. None where that can't be done: a log
        that has something in it may only be read with the others.
        """
        how = _how(self.path, writable=False)
        if "immutable" not in how:
            return None
        with _forking:
            db = self._connect(self.path, how)
            try:
                self._check(db)
                return db.execute(sql, values).fetchall()
            except sqlite3.DatabaseError:  # no verdict on what may be changing just now
                return None
            finally:
                db.close()

    def open(self, connection: Connection) -> bool:
        """False where there is nothing to open."""
        busy, connection.busy = connection.busy, False  # a fork that is being waited for must not wait for this
        with _forking:
            connection.busy = busy
            _close_ended()
            while (inode := self.inode()) is not None:
                self._last = inode
                if inode[1] < 0:  # SQLite would follow a link
                    raise sqlite3.DatabaseError(f"{self.path} is not a file")
                writable = os.access(self.path, os.W_OK) and os.access(self.folder, os.W_OK)
                try:
                    db = self._connect(self.path, _how(self.path, writable))
                except sqlite3.OperationalError:
                    if self.inode() == inode:
                        raise
                    continue
                try:
                    if self.inode() != inode:
                        continue
                    self._check(db)
                    db.execute("PRAGMA cache_size=-16384")  # KB; taken as it is needed
                    if writable:
                        db.execute(f"PRAGMA synchronous={'FULL' if self.durable else 'NORMAL'}")
                        db.execute(f"PRAGMA wal_autocheckpoint={LOG}")
                        db.execute(f"PRAGMA journal_size_limit={LOG * 4096}")
                    connection.inode, connection.db, connection.writable = inode, db, writable
                    connection.execute = db.cursor().execute
                    return True
                finally:
                    if connection.db is not db:
                        db.close()
            return False

    def _connect(self, path: str, how: str) -> sqlite3.Connection:
        quoted = path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
        return sqlite3.connect(
            os.fsencode(f"file:{quoted}?{how}"),
            uri=True,
            timeout=self.timeout,
            isolation_level=None,
            check_same_thread=False,  # a fork closes those of other threads
        )

    def _check(self, db: sqlite3.Connection) -> None:
        made = db.execute("PRAGMA user_version").fetchone()[0]
        if made > FORMAT:
            raise PlaceError(
                f"{self.path} was made by a newer memo (format {made}, this one knows {FORMAT}): upgrade memo or use another"
                " location"
            )
        if made != FORMAT:
            raise sqlite3.DatabaseError(f"{self.path} is not a database of memo, or one of an older format ({made})")
        try:
            db.execute("SELECT 1 FROM entries LIMIT 0")
        except UnicodeDecodeError:  # of SQLite's message, which quotes what the damage has made of the schema
            raise sqlite3.DatabaseError(f"{self.path} has a schema that can't be read") from None

    def make(self) -> None:
        """In the queue: the database, whole from its first moment on."""
        if os.path.lexists(self.path):
            return
        make_folder(self.folder)
        new = self.path + ".new"
        for rest in ("", "-wal", "-shm", "-journal"):  # of a maker that was killed
            unlink(new + rest)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
        os.close(_group.opened(new, os.open(new, flags, 0o600)))
        with _forking:
            db = self._connect(new, "mode=rw")
            try:
                db.executescript("PRAGMA synchronous=OFF;" + SCHEMA)
            finally:
                db.close()
        if self.durable:
            sync(new)
        os.rename(new, self.path)
        if self.durable:
            sync(self.folder)

    # -- writing

    def change(self, sql: str, values: Sequence[Any]) -> Any:
        """One statement as a transaction of its own, in the queue: its first row (of RETURNING), or how many rows."""
        return self.transact(lambda connection: _outcome(connection.execute(sql, values)))

    def transact(self, work: Callable[[Connection], T]) -> T:
        """``work(connection)`` in the queue; once more where the database was replaced under the open connection."""
        connection = self.here.connection
        with self.queue:
            try:
                self.ready(connection)
                return work(connection)
            except sqlite3.OperationalError:
                if connection.db is None or connection.inode == self.inode():
                    raise
        self.leave(connection)
        with self.queue:
            self.ready(connection)
            return work(connection)

    def ready(self, connection: Connection) -> None:
        if connection.db is None:
            self.make()
            self.open(connection)
        if not connection.writable:
            raise PermissionError(f"{self.folder} can't be written to")

    def is_moved(self) -> bool:
        """Whether what this thread has open is no longer what lies at the path; it is let go then."""
        connection = self.here.connection
        if connection.db is None or connection.inode == self.inode():
            return False
        self.leave(connection)
        return True

    def leave(self, connection: Connection) -> None:
        db = connection.db
        connection.closed()
        if db is not None:
            with _forking:
                db.close()
        self.queue.close()

    def rows(self, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[Any]:
        """All rows at once: a statement left open would hold up everybody's checkpoints."""
        connection = self.here.connection
        connection.busy = True
        try:
            return connection.execute(sql, values).fetchall()  # type: ignore[no-any-return]
        finally:
            connection.busy = False

    # -- leaving

    def leave_all(self) -> None:
        """Everything closed; the next use opens again."""
        if self.queue.mutex.acquire(timeout=PATIENCE):
            try:
                self.close()
            finally:
                self.queue.mutex.release()
            self.queue.close()

    def close(self) -> None:
        """Closes what every thread has open, with the queue's mutex held; leaves what is busy for too long."""
        until = time.monotonic() + PATIENCE
        for connection in self._connections:
            db, execute = connection.db, connection.execute
            if db is None:
                continue
            connection.execute = connection.unopened  # no statement begins from here on
            while connection.busy and time.monotonic() < until and connection.thread != threading.get_ident():
                time.sleep(0.0001)
            if connection.busy:
                connection.execute = execute
            else:
                connection.closed()
                db.close()

    def drop(self) -> None:
        """In a forked child: what could not be closed before the fork is neither used nor closed."""
        for connection in self._connections:
            if connection.db is not None:
                _inherited.append(connection.db)
                connection.closed()
            connection.busy = False

    def reset(self) -> None:
        """Sets a ruined database aside as ``entries.db.damaged-<n>``, unless another process already has.

        One such set of files is kept, the newest. The next write makes a new database.
        """
        ruined = self._last
        with self.queue:
            self.close()
            if ruined is not None and self.inode() != ruined:
                return
            number = 1
            for name in os.listdir(self.folder):
                if name.startswith("entries.db.damaged-"):
                    digits = name.removeprefix("entries.db.damaged-").partition("-")[0]
                    number = max(number, int(digits) + 1) if digits.isdigit() else number
                    discard(os.path.join(self.folder, name))
            aside = f"{self.path}.damaged-{number}"
            for rest in ("-wal", "-shm", ""):  # the log first: it must never meet a new database
                try:
                    set_aside(self.path + rest, aside + rest)
                except FileNotFoundError:
                    pass

    def set_aside(self) -> list[str]:
        """Ruined databases that were moved out of the way, with what belongs to them."""
        try:
            names = os.listdir(self.folder)
        except OSError:
            return []
        return [os.path.join(self.folder, name) for name in names if name.startswith("entries.db.damaged-")]

    def compact(self) -> None:
        """Gives the room of removed entries back to the disk. Others go on reading; writers wait."""

        def work(connection: Connection) -> None:
            connection.execute("DELETE FROM ranks WHERE k NOT IN (SELECT k FROM entries)")
            # prefixes stay, also those of nothing: every open connection knows them by their numbers
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

        if self.inode() is not None:
            self.transact(work)


def _outcome(cursor: Any) -> Any:
    row = cursor.fetchone()
    return cursor.rowcount if row is None else row


def _how(path: str, writable: bool) -> str:
    if writable:
        return "mode=rw"
    log = path + "-wal"
    return "mode=ro" if os.path.exists(log) and os.path.getsize(log) else "mode=ro&immutable=1"


# -- fork: every writer's turn is waited for, everything is closed, the child starts afresh

_queues = HeldOverForks(PATIENCE)


def _before_fork() -> None:
    held = _queues.take([database.queue for database in _all])
    _forking.acquire()  # last: a writer opens with the mutex held
    for database in _all:
        if database.queue in held:
            database.close()
    _close_ended()


def _after_fork_in_parent() -> None:
    try:
        _forking.release()
    finally:
        _queues.give()


def _after_fork_in_child() -> None:
    global _forking
    _forking = threading.RLock()
    _queues.forget()
    _inherited.extend(_ended)
    _ended.clear()
    for database in _all:
        database.drop()


def _at_exit() -> None:
    for database in _all:
        database.leave_all()


_forks.register(_before_fork, _after_fork_in_parent, _after_fork_in_child)

atexit.register(_at_exit)
