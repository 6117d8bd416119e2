"""The connections of ``Sql``: pooled, made anew when dropped, left alone by forked children, never waited for without end.

Decisions. Each statement commits by itself, which saves the trips that begin and end a transaction. A table that is
missing is an empty one to who reads, and is made for who writes. The driver's own error is what passes: SQLAlchemy wraps
it into the statement and its values, which are nobody's business.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from threading import RLock
from time import monotonic
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError, ProgrammingError

from .. import _forks
from .._living import Living
from ..errors import OptionError
from ._disk import make_folder

T = TypeVar("T")

PATIENCE = 60.0  # seconds that a fork waits for other threads' statements; each ends earlier by itself
CONNECTIONS = 16  # of one process at most: its threads wait for each other's
#: what each driver calls the seconds that it waits: for connecting, and for an answer where it can
_WAITS = {
    "mysql+pymysql": ("connect_timeout", "read_timeout", "write_timeout"),
    "mysql+mysqldb": ("connect_timeout", "read_timeout", "write_timeout"),
    "postgresql+psycopg2": ("connect_timeout",),
    "postgresql+pg8000": ("timeout",),
}

#: dialects in which each statement may commit by itself, and what they call a usual transaction
_COMMITTING = {
    "mariadb": "READ COMMITTED", "mysql": "READ COMMITTED", "postgresql": "READ COMMITTED", "sqlite": "SERIALIZABLE",
}  # fmt: skip

_all: Living[Database] = Living()
_inherited: list[object] = []  # of the parent of a forked child: neither used nor closed nor finalized there
_held: list[Any] = []  # turns that are taken during a fork


class Database:
    """``timeout``: seconds; None is 2 for a server, and 30 for the other writers of a SQLite file, which are no outage."""

    def __init__(self, place: str | sa.URL | sa.Engine, timeout: float | None) -> None:
        self.given = isinstance(place, sa.Engine)
        self.url = place.url if isinstance(place, sa.Engine) else _url(place)
        local = self.url.get_backend_name() == "sqlite"
        self.timeout = timeout or (30.0 if local else 2.0)
        path = self.url.database or "" if local and not self.given else ""
        self.file = "" if path == ":memory:" or path.startswith("file:") else path
        # one thread at a time in SQLite, which writes one at a time anyway: so a fork can wait for its turn
        self.turn = RLock() if local else None
        self.locks: Any = None  #: those of PostgreSQL
        self._use(place if isinstance(place, sa.Engine) else self._engine())
        _all.add(self)

    def _use(self, engine: sa.Engine) -> None:
        if engine.dialect.is_async:
            raise OptionError(
                f"{engine.url.drivername} is a driver for asyncio: name another, or none for the usual one"
            )
        self.engine = self.together = engine
        usual = _COMMITTING.get(engine.dialect.name)
        self.committing = usual is not None  # each statement by itself
        if usual is not None:
            self.together = engine.execution_options(isolation_level=usual)
            if self.given:
                self.engine = engine.execution_options(isolation_level="AUTOCOMMIT")

    def _engine(self) -> sa.Engine:
        name = self.url.drivername
        options: dict[str, Any] = {
            "poolclass": sa.QueuePool, "pool_size": CONNECTIONS, "max_overflow": 0, "pool_timeout": self.timeout,
        }  # fmt: skip
        if self.url.get_backend_name() in _COMMITTING:
            options["isolation_level"] = "AUTOCOMMIT"  # from the first moment of a connection, not each time it is used
        arguments: dict[str, Any] = dict.fromkeys(_WAITS.get(name, ()), max(1, round(self.timeout)))
        if self.url.get_backend_name() == "sqlite":
            options["pool_size"] = 1
            arguments = {"timeout": self.timeout, "check_same_thread": False}
        try:
            engine = sa.create_engine(self.url, connect_args=arguments, **options)
        except NoSuchModuleError as error:
            raise OptionError(f"{name}:// is no URL of SQLAlchemy: {error}") from None
        except ModuleNotFoundError as error:
            if error.name != "psycopg":
                raise
            raise ImportError('PostgreSQL needs the package psycopg: pip install "memo-persist[postgresql]"') from None
        if name == "postgresql+psycopg":
            from ._postgresql import prepare

            prepare(engine, self.timeout)
        return engine

    def run(self, table: sa.Table, work: Callable[[sa.Connection], T], *absent: T, together: bool = False) -> T:
        """What ``work(connection)`` returns. It may be called twice, after a dropped connection.

        ``absent``: what to return where there is no table; left out, the table is made. ``together``: one transaction.
        """
        with self.turn or nullcontext():
            return self._run(table, work, absent, together)

    def _run(self, table: sa.Table, work: Callable[[sa.Connection], T], absent: tuple[T, ...], together: bool) -> T:
        began, again, looked = monotonic(), False, False
        while True:
            try:
                if self.file and not os.path.exists(self.file):
                    if absent:
                        return absent[0]
                    self._make_file()
                alone = self.committing and not together
                with self.engine.connect() if alone else self.together.begin() as connection:
                    return work(connection)
            except DBAPIError as error:
                # a connection that was dropped is noticed at once, one that hangs is not
                dropped = error.connection_invalidated and monotonic() - began < self.timeout / 2
                if not again and (dropped or isinstance(error, IntegrityError)):
                    again = True
                elif not looked and (isinstance(error, ProgrammingError) or "no such table" in str(error.orig)):
                    looked = True  # if it is there, another process has just made it
                    if not self._has(table):
                        if absent:
                            return absent[0]
                        self._make_table(table)
                else:
                    raise (error.orig or error) from None

    def is_down(self, error: Exception) -> bool:
        driver: Any = self.engine.dialect.loaded_dbapi
        if not isinstance(error, (driver.OperationalError, driver.InterfaceError)):
            return isinstance(error, (OSError, sa.exc.TimeoutError))
        if self.engine.dialect.name == "sqlite":
            return "locked" in str(error)
        state = getattr(error, "sqlstate", None) or ""
        # it is reached where it says that it is out of space, over a limit or in a conflict; not by one client too many
        return state == "53300" or not state.startswith(("40", "53", "54"))

    def _has(self, table: sa.Table) -> bool:
        try:
            return sa.inspect(self.engine).has_table(table.name)
        except DBAPIError as error:
            raise (error.orig or error) from None

    def _make_table(self, table: sa.Table) -> None:
        try:
            table.metadata.create_all(self.together)
        except DBAPIError as error:
            if not self._has(table):  # else another process was faster
                raise (error.orig or error) from None

    def _make_file(self) -> None:
        make_folder(os.path.dirname(self.file))
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
        os.close(os.open(self.file, flags, 0o600))


def _url(text: str | sa.URL) -> sa.URL:
    try:
        url = sa.make_url(text)
    except ArgumentError:
        raise OptionError("this is no URL of SQLAlchemy, such as postgresql://user@host/database") from None
    if url.drivername in ("postgres", "postgresql"):
        return url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() == "sqlite" and url.database and not url.database.startswith((":", "file:")):
        return url.set(database=os.path.abspath(url.database))
    return url


# -- fork: a child has connections of its own


def _before_fork() -> None:
    # SQLite keeps locks in the process, its own and those that it believes to have on files: a child must inherit none
    for database in _all:
        if database.turn is not None and database.turn.acquire(timeout=PATIENCE):
            _held.append(database.turn)
            if database.file:
                database.engine.dispose()


def _after_fork_in_parent() -> None:
    while _held:
        _held.pop().release()


def _after_fork_in_child() -> None:
    _held.clear()
    for database in _all:
        database.turn = None if database.turn is None else RLock()
        _inherited.extend((database.engine, database.engine.pool))
        if database.locks is not None:
            _inherited.append(database.locks.forked())
        if database.given:
            database.engine.dispose(close=False)
        else:
            database._use(database._engine())


_forks.register(_before_fork, _after_fork_in_parent, _after_fork_in_child)
