"""Entries as rows of one SQLite database: the fastest place for small results, many to a page.

A row's integer key is the last 8 bytes of the name's last component (a digest), XORed with a constant of what stands
before it; the other 12 begin the record and are compared, so a clash of keys is a miss. Prefixes are kept once, in a
table of their own. The record is one blob, since each further column costs a look-up more than a slice of bytes does:

    12 bytes  rest of the digest
     1 byte   length of the head, or 255: then 4 bytes length of the head and 8 bytes mark follow (else the mark is 0)
     head, body
"""

from __future__ import annotations

import os
import sqlite3
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from ..errors import DamagedError
from ..model import Buffer, Item, Record
from . import _eviction
from ._database import Connection, Database
from ._mirror import Mirror

SELECT = "SELECT record FROM entries WHERE k=?"
UPSERT = (
    "INSERT INTO entries(k, prefix, size, mark, written, last, record) VALUES(?,?,?,?,?,?,?) ON CONFLICT(k) DO UPDATE SET"
    " prefix=excluded.prefix, size=excluded.size, mark=excluded.mark, written=excluded.written, last=excluded.last,"
    " record=excluded.record"
)
LISTED = (  # of a long record only the beginning is read, by another way
    "SELECT k, (SELECT prefix FROM prefixes WHERE id=e.prefix), size, mark, last,"
    " iif(size < 4000, record, NULL) FROM entries e"
)
#: Whether a row's name has further components after ``?1``; "" is everything.
UNDER = "(?1 = '' OR prefix IN (SELECT id FROM prefixes WHERE prefix = ?1 OR substr(prefix, 1, length(?1) + 1) = ?1 || '/'))"
PAGE = 1000  # rows of a listing read at once
PENDING = 1000  # ranks kept until they are written together

_split = struct.Struct(">qqi").unpack
_begin = struct.Struct(">qiB").unpack_from
_long = struct.Struct(">Iq")
_fromhex = bytes.fromhex
_new = tuple.__new__


class Sqlite:
    """Entries of ``folder/entries.db``. Nothing is opened or made before the first use, and nothing by reading.

    ``timeout``: seconds to wait for other writers. sqlite3's errors pass; after a DatabaseError that is no
    OperationalError, ``reset()`` sets the file aside. Not for network disks.
    """

    def __init__(self, folder: str | os.PathLike[str], *, timeout: float = 30.0) -> None:
        self.folder, self.timeout = os.fspath(folder), timeout
        self._database = Database(self.folder, timeout)
        self._here = self._database.here
        self._mirror = Mirror(os.path.join(self.folder, "words.map"))
        self._salts = _Salts()
        self._pending: dict[str, float] = {}

    def __reduce__(self) -> tuple[Callable[..., Sqlite], tuple[str, float]]:
        return _sqlite, (self.folder, self.timeout)

    def __repr__(self) -> str:
        return f"Sqlite({self.folder!r})"

    # -- the four verbs

    def read(self, name: str, /) -> Record | None:
        prefix, _, last = name.rpartition("/")
        try:
            rest, eight = _split(_fromhex(last))
        except (ValueError, struct.error):
            rest, eight = _digest(last)
        connection = self._here.connection
        connection.busy = True  # seen by a fork in another thread
        try:
            row = connection.execute(SELECT, (eight ^ self._salts[prefix],)).fetchone()
        finally:
            connection.busy = False
        if row is not None:
            (record,) = row
            try:
                found, length = _begin(record)
                if found != rest:
                    return None
                if length < 255:
                    length += 13
                    return _new(Record, (record[13:length], 0, record[length:], None))
                length, mark = _long.unpack_from(record, 13)
                return Record(record[25 : 25 + length], mark, record[25 + length :])
            except (struct.error, TypeError):
                raise DamagedError(f"the entry {name} is not as it was written")
        return self.read(name) if self._is_moved() else None

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
        prefix, key, rest, last = self._key(name)
        pieces: list[Buffer] = [rest, b"", b""]
        pieces.extend(parts)
        heading = pieces[2] = head()
        length = len(heading)
        pieces[1] = _BYTES[length] if length < 255 and not mark else b"\xff" + _long.pack(length, mark)
        record = b"".join(pieces)
        if len(record) - len(pieces[1]) - 12 - length != size:
            raise ValueError(f"the parts of this body are not the {size} bytes that were announced")
        size += length

        def insert(connection: Connection) -> None:
            number = connection.prefixes.get(prefix) or _number(connection, prefix)
            connection.execute(UPSERT, (key, number, size, mark, _now(), last, record))

        self._database.transact(insert)

    def remove(self, name: str, /) -> None:
        _, key, rest, _ = self._key(name)
        if self._database.rows("SELECT 1 FROM entries WHERE k=?", (key,)):
            self._database.change("DELETE FROM entries WHERE k=? AND substr(record, 1, 12)=?", lambda _: (key, rest))

    def scan(self, prefix: str = "", /) -> Iterator[Item]:
        after = -(1 << 63) - 1
        query = f"{LISTED} WHERE k > ?2 AND {UNDER} ORDER BY k LIMIT {PAGE}"
        while rows := self._database.rows(query, (prefix, max(after, -(1 << 63)))):
            for row in rows:
                if row[0] > after and (item := self._item(*row)) is not None:
                    yield item
            if after == rows[-1][0]:
                return
            after = rows[-1][0]

    # -- what it does better than a fall-back could

    def head(self, name: str, /) -> tuple[bytes, int] | None:
        _, key, rest, _ = self._key(name)
        for _, _, _, mark, _, record in self._database.rows(f"{LISTED} WHERE k=?", (key,)):
            begin = record or self._beginning(key)
            if begin and begin[:12] == rest:
                return _head(begin), mark
        return None

    def read_many(self, names: Sequence[str], /) -> Mapping[str, Record]:
        return {name: record for name in names if (record := self.read(name)) is not None}

    def word(self, scope: str, /) -> int:
        rows = self._database.rows("SELECT word FROM words WHERE scope=?", (scope,))
        return rows[0][0] if rows else 0

    def bump(self, scope: str, /) -> int:
        """The next word: never one that this scope had, also when the database is a new one (seconds since 2020)."""
        sql = "INSERT INTO words VALUES(?,?) ON CONFLICT(scope) DO UPDATE SET word=max(word + 1, excluded.word) RETURNING word"
        (word,) = self._database.change(sql, lambda _: (scope, int(time.time()) - 1_577_836_800))
        self._mirror.changed(scope)
        return word  # type: ignore[no-any-return]

    def watch(self, scope: str, /) -> Sequence[int] | None:
        return self._mirror.watch(scope)

    def totals(self, scope: str, /) -> tuple[int, int]:
        return _eviction.totals(self._database, scope)

    def rank(self, ranks: Mapping[str, float], /) -> None:
        """Kept in this process and written in batches: a process that is killed loses its last ones."""
        self._pending.update(ranks)
        if len(self._pending) >= PENDING:
            self._rank()

    def _rank(self) -> None:
        pending, self._pending = self._pending, {}
        if pending and self._database.inode() is not None:
            _eviction.rank(self._database, [(self._key(name)[1], rank) for name, rank in pending.items()])

    def lowest(self, scope: str, n: int, /) -> list[Item]:
        return [item for _, _, item in self.ranked(scope, n)]

    def ranked(self, scope: str, n: int, /) -> list[tuple[float, float, Item]]:
        """The lowest with their ranks (-inf: never ranked) and times of writing in seconds, for storages over this one."""
        self._rank()
        found = []
        for key, rank, written in _eviction.lowest(self._database, scope, n):
            for row in self._database.rows(f"{LISTED} WHERE k=?", (key,)):
                if (item := self._item(*row)) is not None:
                    found.append((float("-inf") if rank is None else rank, _seconds(written), item))
        return found

    def purge(self, scope: str, below_mark: int, limit: int, /) -> int:
        return _eviction.purge(self._database, scope, below_mark, limit)

    # -- upkeep

    def close(self) -> None:
        self._rank()
        self._database.leave_all()

    def ruined(self, error: Exception, /) -> bool:
        """Whether an error of this storage says that the database itself is damaged, so that ``reset()`` is due."""
        if isinstance(error, sqlite3.OperationalError):
            return "no such" in str(error)
        return type(error) is sqlite3.DatabaseError

    def reset(self) -> None:
        """Sets the database aside as ``entries.db.damaged-<n>``; the next write makes a new one."""
        self._database.reset()
        self._mirror.all_changed()

    def compact(self) -> None:
        self._database.compact()

    # -- names and rows

    def _key(self, name: str) -> tuple[str, int, bytes, str | None]:
        prefix, _, last = name.rpartition("/")
        try:
            rest, eight = _split(_fromhex(last))
        except (ValueError, struct.error):
            rest, eight = _digest(last)
            return prefix, eight ^ self._salts[prefix], rest, last
        return prefix, eight ^ self._salts[prefix], rest, None

    def _item(
        self, key: int, prefix: str | None, size: int, mark: int, last: str | None, record: bytes | None
    ) -> Item | None:
        begin = record or self._beginning(key)
        if not begin or len(begin) < 13 or prefix is None:  # removed meanwhile, or damaged
            return None
        if last is None:
            last = begin[:12].hex() + (key ^ self._salts[prefix]).to_bytes(8, "big", signed=True).hex()
        return Item(f"{prefix}/{last}", size, mark, _head(begin))

    def _beginning(self, key: int) -> bytes | None:
        """A long record up to the end of its head, without the pages of its body."""
        connection = self._here.connection
        connection.busy = True
        try:
            if connection.db is None:
                return None
            with connection.db.blobopen("entries", "record", key, readonly=True) as blob:
                begin = blob.read(25)
                length = begin[12] if begin[12] < 255 else 12 + int.from_bytes(begin[13:17], "big")
                blob.seek(0)
                return blob.read(13 + length)
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


_BYTES = [bytes([n]) for n in range(256)]


class _Salts(dict[str, int]):
    """What the keys of a prefix are XORed with."""

    def __missing__(self, prefix: str) -> int:
        from blake3 import blake3

        salt = self[prefix] = int.from_bytes(blake3(prefix.encode()).digest(8), "big", signed=True)
        return salt


def _sqlite(folder: str, timeout: float) -> Sqlite:
    return Sqlite(folder, timeout=timeout)


def _digest(last: str) -> tuple[bytes, int]:
    """For a last component that is no digest: such rows keep its text as well."""
    from blake3 import blake3

    rest, eight = _split(blake3(last.encode()).digest(20))
    return rest, eight


def _head(begin: bytes) -> bytes:
    length = begin[12]
    return begin[13 : 13 + length] if length < 255 else begin[25 : 25 + int.from_bytes(begin[13:17], "big")]


def _number(connection: Connection, prefix: str) -> int:
    connection.execute("INSERT OR IGNORE INTO prefixes(prefix) VALUES(?)", (prefix,))
    (number,) = connection.execute("SELECT id FROM prefixes WHERE prefix=?", (prefix,)).fetchone()
    connection.prefixes[prefix] = number
    return number  # type: ignore[no-any-return]


def _now() -> int:
    """Hundred thousandths of a second since 2020: six bytes of a row, enough to tell which write came first."""
    return time.time_ns() // 10_000 - 157_783_680_000_000


def _seconds(written: int) -> float:
    return written / 100_000 + 1_577_836_800
