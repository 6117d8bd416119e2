"""Entries as rows of one table, in any database that SQLAlchemy speaks to: for those who run one, and for sharing.

Decisions. Every verb is one statement and one trip. The words lie in the same table, as entries ``words/<scope>`` whose
mark is the word. What is done by SQL is in ``_sql_table``, how the database is reached in ``_sql_database``, what only
PostgreSQL has and needs in ``_postgresql``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import inf
from typing import Any

try:
    import sqlalchemy as sa
except ImportError:
    raise ImportError('the storage Sql needs the package SQLAlchemy: pip install "memo-persist[sqlalchemy]"') from None

from .._abilities import EntryWords
from ..errors import DamagedError
from ..model import Buffer, Item, Record
from ._parts import join
from ._sql_database import Database
from ._sql_table import NEVER, PIECE, Statements, bounds

_PAGE = 1000  # rows of a listing or of a batch in one trip


class Sql:
    """Entries of ``table`` in the database of a SQLAlchemy URL; ``postgres://`` and ``postgresql://`` take psycopg 3.

    Nothing is connected to before the first use, and nothing is made by reading. ``timeout``: seconds that a server may
    be silent (2 by default), or that other writers of a SQLite file are waited for (30 by default). An engine, given
    instead of a URL, keeps its own pool and timeouts, and pickles as its URL. The errors of the database's driver pass.

    Raises:
        ImportError: the driver that the URL asks for is not installed.
        OptionError: the URL can't be right.
    """

    def __init__(
        self, url_or_engine: str | sa.URL | sa.Engine, *, table: str = "memo", timeout: float | None = None
    ) -> None:
        self._database = Database(url_or_engine, timeout)
        self.table, self.timeout = table, self._database.timeout
        dialect = self._database.engine.dialect
        self._do = Statements(table, dialect)
        if self._do.bump is None:
            self.bump = EntryWords(self).bump  # type: ignore[method-assign]  # right without such a statement
        self._most = 0
        if dialect.name == "postgresql":
            from ._postgresql import MOST, AdvisoryLocks

            self._most = MOST
            self._database.locks = AdvisoryLocks(lambda: self._database.engine, f"{table}/", self.timeout)
            self.lock = self._database.locks.lock  # an ability of PostgreSQL alone

    def __reduce__(self) -> tuple[Callable[..., Sql], tuple[str, str, float]]:
        return _sql, (self._database.url.render_as_string(hide_password=False), self.table, self.timeout)

    def __repr__(self) -> str:
        return f"Sql({self._database.url.render_as_string()!r})"

    # -- the four verbs

    def read(self, name: str, /) -> Record | None:
        return self._records(self._do.read, {"named": name}).get(name)

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
        if 0 < self._most < size:
            raise ValueError(f"a body of {size} bytes is more than PostgreSQL takes as one value (1 GB)")
        body = join(parts, size)
        heading = head()
        row = self._row(name, mark) | {"size": size + len(heading), "head": heading, "body": body}
        put = self._do.put
        self._database.run(self._do.table, lambda c: put(c, row), together=self._do.upsert is None)

    def remove(self, name: str, /) -> None:
        self._change(self._do.delete, {"named": name})

    def scan(self, prefix: str = "", /) -> Iterator[Item]:
        limits = bounds(prefix)
        full = True
        while full:  # a page that is not ends it, however many entries are written meanwhile
            items = self._items(self._do.page, limits | {"n": _PAGE})
            yield from items
            if full := len(items) == _PAGE:
                limits["low"] = items[-1].name

    # -- what it does better than a fall-back could

    def head(self, name: str, /) -> tuple[bytes, int] | None:
        rows = self._rows(self._do.head, {"named": name})
        return (rows[0][0], rows[0][1]) if rows else None

    def read_many(self, names: Sequence[str], /) -> Mapping[str, Record]:
        found: dict[str, Record] = {}
        for at in range(0, len(names), _PAGE):
            found.update(self._records(self._do.read_many, {"names": list(names[at : at + _PAGE])}))
        return found

    def word(self, scope: str, /) -> int:
        found = self.head(f"words/{scope}")
        return found[1] if found else 0

    def look(self, name: str, scopes: Sequence[str], whole: bool, /) -> tuple[Record | None, Sequence[int]]:
        names = {"names": [name, *(f"words/{scope}" for scope in scopes)]}
        if whole:
            found = self._records(self._do.read_many, names)
        else:
            found = {of: Record(head, mark, b"") for of, head, mark in self._rows(self._do.heads, names)}
        words = [found[f"words/{scope}"].mark if f"words/{scope}" in found else 0 for scope in scopes]
        return found.get(name), words

    def bump(self, scope: str, /) -> int:
        # begins above the words of a table that was dropped since
        row = self._row(f"words/{scope}", time.time_ns()) | {"size": 0, "head": b"", "body": b""}
        return self._database.run(self._do.table, lambda c: int(c.execute(self._do.bump, row).scalar_one()))

    def watch(self, scope: str, /) -> Sequence[int] | None:
        return None

    def rank(self, ranks: Mapping[str, float], /) -> None:
        # in one order everywhere: two processes that rank the same entries must not wait for each other
        values = [{"named": name, "rank": rank} for name, rank in sorted(ranks.items())]
        if values:
            self._change(self._do.rank, values, together=True)

    def lowest(self, scope: str, n: int, /) -> list[Item]:
        return [item for _, _, item in self.ranked(scope, n)]

    def ranked(self, scope: str, n: int, /) -> list[tuple[float, float, Item]]:
        """The lowest with their ranks (-inf: never ranked) and times of writing in seconds."""
        rows = self._rows(self._do.lowest, bounds(scope) | {"n": n})
        return [(-inf if rank == NEVER else rank, written / 1e9, Item(*item)) for rank, written, *item in rows]

    def totals(self, scope: str, /) -> tuple[int, int]:
        rows = self._rows(self._do.totals, bounds(scope))
        return (int(rows[0][0]), int(rows[0][1])) if rows else (0, 0)

    def purge(self, scope: str, below_mark: int, limit: int, /) -> int:
        dead = [name for (name,) in self._rows(self._do.dead, bounds(scope) | {"below": below_mark, "n": limit})]
        removed = 0
        for at in range(0, len(dead), _PAGE):
            removed += self._change(self._do.purge, {"names": dead[at : at + _PAGE], "below": below_mark})
        return removed

    def down(self, error: Exception, /) -> bool:
        """Whether an error of this storage says that the database can't be reached or keeps us waiting."""
        return self._database.is_down(error)

    def close(self) -> None:
        """Lets go of the connections that are not in use; the next use connects again."""
        self._database.engine.dispose()

    # -- inside

    def _row(self, name: str, mark: int) -> dict[str, object]:
        return {"name": name, "mark": mark, "written": time.time_ns(), "rank_": NEVER}

    def _rows(self, statement: sa.Select[Any], values: Mapping[str, object]) -> Sequence[Any]:
        return self._database.run(self._do.table, lambda c: c.execute(statement, values).fetchall(), ())

    def _change(self, statement: sa.Executable, values: Any, together: bool = False) -> int:
        """How many rows; none where there is no table."""
        work = lambda c: int(c.execute(statement, values).rowcount)  # noqa: E731
        return self._database.run(self._do.table, work, 0, together=together)

    def _items(self, statement: sa.Select[Any], values: Mapping[str, object]) -> list[Item]:
        rows = self._rows(statement, values)
        return [Item(name, size, mark, head) for name, size, mark, head in rows if _fit(head, mark, size)]

    def _records(self, statement: sa.Select[Any], values: Mapping[str, object]) -> dict[str, Record]:
        found = {}
        for name, head, mark, size, written, body in self._rows(statement, values):
            if not _fit(head, mark, size) or isinstance(body, (str, int, float)):  # SQLite takes anything in any column
                raise DamagedError(f"the row of {name} is not as it was written")
            if body is None and (body := self._pieces(name, size - len(head), written)) is None:
                again = self.read(name)  # written anew while it was read
                if again is not None:
                    found[name] = again
                continue
            found[name] = Record(head, mark, body)
        return found

    def _pieces(self, name: str, length: int, written: int) -> bytearray | None:
        """A body too big for one answer, all of one write; None where that is there no more."""
        body = bytearray(length)
        for at in range(0, length, PIECE):
            rows = self._rows(self._do.piece, {"named": name, "at": written, "start": at + 1})
            if not rows:
                return None
            body[at : at + PIECE] = rows[0][0]
        return body


def _fit(head: Any, mark: Any, size: Any) -> bool:
    return isinstance(head, (bytes, memoryview)) and type(mark) is type(size) is int


def _sql(url: str, table: str, timeout: float) -> Sql:
    return Sql(url, table=table, timeout=timeout)
