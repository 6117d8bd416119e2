"""Entries as rows of one SQLite database: the fastest place for small results, many to a page."""

from __future__ import annotations

import os
import sqlite3
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from .._aside import discard
from ..errors import DamagedError
from ..model import Buffer, Bulk, Cheap, Item, Record
from . import _eviction
from ._ahead import Ahead
from ._database import Connection, Database
from ._mirror import Mirror
from ._rows import (
    DIGEST,
    LONG,
    LOW,
    SHORT,
    about,
    begin,
    fromhex,
    key_of,
    name_of,
    now,
    pack,
    salt,
    salts,
    seconds,
    split,
    unpack,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SELECT = "SELECT record FROM entries WHERE k=?"
_UPSERT = (
    "INSERT INTO entries(k, prefix, size, mark, written, last, record) VALUES(?,?,?,?,?,?,?) ON CONFLICT(k) DO UPDATE SET"
    " prefix=excluded.prefix, size=excluded.size, mark=excluded.mark, written=excluded.written, last=excluded.last,"
    " record=excluded.record"
)
_ROWS = (  # of a long record only the beginning is read, by another way
    "SELECT k, (SELECT prefix FROM prefixes WHERE id=entries.prefix), size, last, iif(size < 4000, record, NULL)"
)
#: Whether names with this prefix have ``:under`` for their first components.
_UNDER = "prefix = :under OR substr(prefix, 1, length(:under) + 1) = :under || '/'"
_BUMP = (
    "INSERT INTO words VALUES(?,?) ON CONFLICT(scope) DO UPDATE SET word=max(word + 1, excluded.word) RETURNING word"
)
_SHORT_ROWS = "SELECT k, length(record) FROM entries WHERE length(record) < ? OR typeof(record) != 'blob'"
#: what SQLite says of memo's own statements where the damage is in the schema
_OTHER_SCHEMA = ("no such", "ON CONFLICT clause", "has no column", "columns but", "malformed")
_PAGE = 1000  # rows of a listing read at once
_MANY = 500  # keys of one select: SQLite before 3.32 takes 999
_PENDING = 1000  # ranks kept until they are written together

_new = tuple.__new__


class Sqlite:
    """Entries of ``folder/entries.db``. Nothing is opened or made before the first use, and nothing by reading.

    ``timeout``: seconds to wait for other writers, then TimeoutError. Bodies are limited to 1 GB by SQLite. Not for
    network disks. sqlite3's errors pass; where ``ruined(error)``, ``reset()`` sets the database aside.
    """

    def __init__(self, folder: str | os.PathLike[str], *, timeout: float = 30.0, durable: bool = False) -> None:
        self.folder, self.timeout, self.durable = os.fspath(folder), timeout, durable
        self._database = Database(self.folder, timeout, durable)
        self._here = self._database.here
        self._mirror = Mirror(os.path.join(self.folder, "words.map"))
        self._pending: dict[str, float] = {}

    def __reduce__(self) -> tuple[Callable[..., Sqlite], tuple[str, float, bool]]:
        return _sqlite, (self.folder, self.timeout, self.durable)

    def __repr__(self) -> str:
        return f"Sqlite({self.folder!r})"

    # -- the four verbs

    def read(self, name: str, /) -> Record | None:
        # written out, since this is what a hit waits for: see _rows for what it does
        prefix, _, last = name.rpartition("/")
        try:
            digest, number = split(fromhex(last))
            key = (number & LOW) ^ salts[prefix]
            number >>= 48
        except (ValueError, struct.error, KeyError):
            _, key, begins, _ = key_of(name)
            digest, number, _ = begin(begins + b"\0")
        connection = self._here.connection
        connection.busy = True  # a fork in another thread waits
        try:
            row = connection.execute(_SELECT, (key,)).fetchone()
        finally:
            connection.busy = False
        if row is None:
            return self.read(name) if self._is_moved() else None
        (record,) = row
        try:
            found, more, length = begin(record)
            if found != digest or more != number:
                return None
            if length < 255:
                length += SHORT
                return _new(Record, (record[SHORT:length], 0, record[length:], None))
            return unpack(record)
        except (struct.error, TypeError):
            raise DamagedError(f"the row of {name} is not as it was written")

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
        prefix, key, digest, last = key_of(name)
        body = list(parts)
        heading = head()
        length = len(heading)
        record = pack(digest, heading, mark, body)
        size += length
        if len(record) != size + (SHORT if length < 255 and not mark else LONG):
            raise ValueError(f"the parts of this body are not the {size - length} bytes that were announced")

        def insert(connection: Connection) -> None:
            number = connection.prefixes.get(prefix) or _number(connection, prefix)
            connection.execute(_UPSERT, (key, number, size, mark, now(), last, record))

        self._database.transact(insert)

    def write_many(self, entries: Iterable[tuple[str, Record, str]], /) -> None:
        """One transaction for all: what a copy from another place brings."""
        rows = []
        for name, (head, mark, body, _), _suffix in entries:
            prefix, key, digest, last = key_of(name)
            size = len(head) + memoryview(body).nbytes
            rows.append((prefix, key, size, mark, last, pack(digest, head, mark, (body,))))

        def insert(connection: Connection) -> None:
            # before the transaction: a number that is rolled back must not be remembered
            numbers = {
                one: connection.prefixes.get(one) or _number(connection, one) for one in {row[0] for row in rows}
            }
            written = now()
            upserted = [
                (key, numbers[prefix], size, mark, written, last, record)
                for prefix, key, size, mark, last, record in rows
            ]
            _eviction.many(connection, _UPSERT, upserted)

        self._database.transact(insert)

    def remove(self, name: str, /) -> None:
        _, key, digest, _ = key_of(name)
        if self._database.rows("SELECT 1 FROM entries WHERE k=?", (key,)):
            self._database.change("DELETE FROM entries WHERE k=? AND substr(record, 1, 14)=?", (key, digest))

    def remove_many(self, names: Iterable[str], /) -> None:
        """One transaction for all: what eviction takes out."""
        _eviction.remove(self._database, [(key, digest) for _, key, digest, _ in map(key_of, names)])

    def scan(self, prefix: str = "", /) -> Iterator[Item]:
        if not prefix:
            yield from self._listed("", (), -(1 << 63), (1 << 63) - 1)
            return
        for number, text in self._database.rows(f"SELECT id, prefix FROM prefixes WHERE {_UNDER}", {"under": prefix}):
            first = salt(text) & ~LOW  # where its entries lie together
            yield from self._listed("prefix = ? AND", (number,), first, first | LOW)

    def _listed(self, where: str, values: tuple[int, ...], start: int, last: int) -> Iterator[Item]:
        query = f"{_ROWS} FROM entries WHERE {where} k BETWEEN ? AND ? ORDER BY k LIMIT {_PAGE}"
        while rows := self._database.rows(query, (*values, start, last)):
            yield from self._items(rows)
            if len(rows) < _PAGE or rows[-1][0] == last:
                return
            start = rows[-1][0] + 1

    def bulk(self, scope: str, length: int, /) -> Iterator[Bulk | Item]:
        """The results under a scope without their names, those of one code version and mark together; some as items.

        With the first ``length`` bytes of each head, 32 at most. What has less than 32 bytes of head and body is always
        an item. For whoever counts a million.
        """
        for some in _eviction.bulk(self._database, scope, length, _ROWS):
            if isinstance(some, Bulk):
                yield some
            else:
                yield from self._items(some)

    # -- what it does better than a fall-back could

    def read_many(self, names: Sequence[str], /) -> dict[str, Record]:
        """What is there of these. A row that is not as it was written is left out: reading it alone says what is wrong."""
        wanted = {key: (name, digest) for name in names for _, key, digest, _ in (key_of(name),)}
        keys, found = list(wanted), {}
        for at in range(0, len(keys), _MANY):
            part = keys[at : at + _MANY]
            query = f"SELECT k, record FROM entries WHERE k IN ({','.join('?' * len(part))})"
            for key, record in self._database.rows(query, part):
                name, digest = wanted[key]
                try:
                    if record[:DIGEST] == digest:
                        head, mark, end = about(record)
                        found[name] = _new(Record, (head, mark, record[end:], None))
                except (DamagedError, TypeError):
                    continue
        return self.read_many(names) if len(found) < len(keys) and self._is_moved() else found

    def ahead(
        self, prefix: str, /, read: Callable[[str], Record | None] | None = None, stub: bytes = b"\xff" * 16
    ) -> Ahead:
        """A ``read`` for names of this prefix (two components) that may give what was there at any time since now.

        A storage over this one gives its own ``read`` for heads that begin with its ``stub``.
        """
        return Ahead(read or self.read, self._database, prefix, stub)

    def head(self, name: str, /) -> tuple[bytes, int] | None:
        _, key, digest, _ = key_of(name)
        rows = self._database.rows("SELECT iif(size < 4000, record, NULL) FROM entries WHERE k=?", (key,))
        start = (rows[0][0] or self._start(key)) if rows else None
        if start is None or start[:DIGEST] != digest:
            return None
        head, mark, _ = about(start)
        return head, mark

    def word(self, scope: str, /) -> int:
        rows = self._database.rows("SELECT word FROM words WHERE scope=?", (scope,))
        return rows[0][0] if rows else 0

    def bump(self, scope: str, /) -> int:
        (word,) = self._database.change(_BUMP, (scope, now()))
        self._mirror.changed(scope)
        return word  # type: ignore[no-any-return]

    def watch(self, scope: str, /) -> Sequence[int] | None:
        return self._mirror.watch(scope)

    def totals(self, scope: str, /) -> tuple[int, int]:
        return _eviction.totals(self._database, scope)

    def rank(self, ranks: Mapping[str, float], /) -> None:
        """Kept in this process and written in batches: a process that is killed loses its last ones."""
        self._pending.update(ranks)
        if len(self._pending) >= _PENDING:
            self._rank()

    def lowest(self, scope: str, n: int, /) -> list[Item]:
        return [item for _, _, item in self.ranked(scope, n)]

    def ranked(self, scope: str, n: int, /, timed: bool = False) -> list[tuple[float, float, Item]]:
        """The lowest with their ranks (-inf: never ranked) and times of writing in seconds, for storages over this one.

        ``timed``: ranks are times, too, and what was never ranked has that of its writing.
        """
        self._rank()
        return [
            (float("-inf") if rank is None else rank, seconds(written), item)
            for rank, written, *listed in _eviction.lowest(self._database, scope, n, timed=timed)
            for item in self._items([listed])
        ]

    def cheapest(self, n: int, but: str, timed: bool, /) -> list[Cheap]:
        """What goes first, in an order as `ranked`, but not the entry ``but``; to be given to `take_out`."""
        self._rank()
        kept = key_of(but)[1]
        rows = _eviction.lowest(self._database, "", n + 1, timed=timed, briefly=True)
        return [
            _new(
                Cheap, (float("-inf") if rank is None else rank, seconds(written), size, prefix.partition("/")[0], key)
            )
            for rank, written, size, prefix, key in rows
            if key != kept and prefix is not None
        ]

    def take_out(self, cheap: Sequence[Cheap], /) -> None:
        _eviction.take_out(self._database, [(one.ticket,) for one in cheap])

    def purge(self, scope: str, below_mark: int, limit: int, /) -> int:
        return _eviction.purge(self._database, scope, below_mark, limit)

    # -- upkeep

    def close(self) -> None:
        """Lets go of the database in every thread; the next use opens it again."""
        self._rank()
        self._database.leave_all()

    def ruined(self, error: Exception, /) -> bool:
        """Whether an error of this storage says that the database itself is damaged, so that ``reset()`` is due."""
        if isinstance(error, sqlite3.OperationalError):
            return any(part in str(error) for part in _OTHER_SCHEMA)
        return type(error) is sqlite3.DatabaseError

    def reset(self) -> None:
        """Sets the database aside as ``entries.db.damaged-<n>``; the next write makes a new one."""
        self._database.reset()
        self._mirror.all_changed()

    def findings(self, repair: bool, /) -> Iterator[tuple[str, str, str]]:
        """What is wrong with the database itself, and what lies beside it: ("damaged" or "litter", path, why)."""
        path = self._database.path
        try:
            told = [row[0] for row in self._database.rows("PRAGMA quick_check(3)")]
        except sqlite3.DatabaseError as error:
            told = [str(error)]
        if told not in ([], ["ok"]):
            if repair:
                self.reset()
            yield "damaged", path, "; ".join(told)
        elif self._database.inode() is not None:
            for key, length in self._database.rows(_SHORT_ROWS, (SHORT,)):
                if repair:
                    self._database.change("DELETE FROM entries WHERE k=?", (key,))
                yield "damaged", f"{path}, row {key}", f"a record of {length} bytes, shorter than any entry"
        for aside in self._database.set_aside():
            if repair:
                discard(aside)
            yield "litter", aside, "a ruined database that was set aside"

    def compact(self) -> None:
        """Gives the room of what was removed back to the disk. Readers go on, writers wait."""
        self._database.compact()

    def _rank(self) -> None:
        pending, self._pending = self._pending, {}
        if pending and self._database.inode() is not None:
            _eviction.rank(self._database, [(key_of(name)[1], rank) for name, rank in pending.items()])

    def _items(self, rows: Iterable[Sequence[Any]]) -> Iterator[Item]:
        for key, prefix, size, last, record in rows:
            start = record or self._start(key)
            if start and prefix is not None and len(start) > DIGEST:  # else removed meanwhile, or damaged
                head, mark, _ = about(start)
                yield Item(name_of(prefix, key, start, last), size, mark, head)

    def _start(self, key: int) -> bytes | None:
        """A long record up to the end of its head, without the pages of its body."""
        connection = self._here.connection
        connection.busy = True
        try:
            if connection.db is None:
                return None
            with connection.db.blobopen("entries", "record", key, readonly=True) as blob:
                _, _, end = about(blob.read(LONG))
                blob.seek(0)
                return blob.read(end)
        except sqlite3.OperationalError:  # removed meanwhile
            return None
        finally:
            connection.busy = False

    def _is_moved(self) -> bool:
        """Whether the folder was deleted or the database replaced since this thread opened it: then look again."""
        if not self._database.is_moved():
            return False
        self._mirror.check()
        return True


def _sqlite(folder: str, timeout: float, durable: bool = False) -> Sqlite:
    return Sqlite(folder, timeout=timeout, durable=durable)


def _number(connection: Connection, prefix: str) -> int:
    connection.execute("INSERT OR IGNORE INTO prefixes(prefix) VALUES(?)", (prefix,))
    (number,) = connection.execute("SELECT id FROM prefixes WHERE prefix=?", (prefix,)).fetchone()
    connection.prefixes[prefix] = number
    return number  # type: ignore[no-any-return]
