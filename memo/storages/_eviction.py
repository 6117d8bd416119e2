"""Totals, ranks, purge and sums of a SQLite storage: what eviction asks, kept out of the insert of those who never evict.

Counting and ordering are done by triggers, which are made the first time that somebody asks for a total or for the
lowest: from then on every process that writes to this database keeps them exact, in the same transaction. A store
without limits never has them, and its inserts cost nothing more.

A store under limits appends one row to ``news``, a page that is written again and again, where sums, ranks and their order
would be three pages, each written for every store. Who ranks or asks for the lowest carries the news over, many at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from operator import itemgetter
from sqlite3 import Cursor

from ..model import Bulk
from ._database import Connection, Database
from ._rows import LONG, LOW, SHORT, salt, seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Whether a prefix is of results (names of three components) under ``:scope``; "" is everything.
_UNDER = "instr(prefix, '/') AND (:scope = '' OR substr(prefix, 1, length(:scope) + 1) = :scope || '/')"
RESULT = f"prefix IN (SELECT id FROM prefixes WHERE {_UNDER})"

_COUNT = """
BEGIN;
DROP TRIGGER IF EXISTS inserted;
DROP TRIGGER IF EXISTS replaced;
DROP TRIGGER IF EXISTS removed;
DROP TABLE IF EXISTS totals;
DROP INDEX IF EXISTS lowest;
CREATE TABLE totals(prefix INTEGER PRIMARY KEY, entries INTEGER NOT NULL, bytes INTEGER NOT NULL);
CREATE TABLE news(k INTEGER NOT NULL, prefix INTEGER NOT NULL, size INTEGER NOT NULL);
INSERT INTO totals SELECT prefix, count(*), sum(size) FROM entries GROUP BY prefix;
DELETE FROM ranks WHERE k NOT IN (SELECT k FROM entries);
INSERT OR IGNORE INTO ranks SELECT k, NULL, written FROM entries;
CREATE INDEX lowest ON ranks(rank, written);
CREATE TRIGGER inserted AFTER INSERT ON entries BEGIN
    INSERT INTO news VALUES(new.k, new.prefix, new.size);
END;
CREATE TRIGGER replaced AFTER UPDATE ON entries BEGIN
    INSERT INTO totals VALUES(old.prefix, -1, -old.size)
        ON CONFLICT(prefix) DO UPDATE SET entries = entries - 1, bytes = bytes + excluded.bytes;
    INSERT INTO totals VALUES(new.prefix, 1, new.size)
        ON CONFLICT(prefix) DO UPDATE SET entries = entries + 1, bytes = bytes + excluded.bytes;
    UPDATE ranks SET written = new.written WHERE k = new.k;
END;
CREATE TRIGGER removed AFTER DELETE ON entries BEGIN
    INSERT INTO totals VALUES(old.prefix, -1, -old.size)
        ON CONFLICT(prefix) DO UPDATE SET entries = entries - 1, bytes = bytes + excluded.bytes;
    DELETE FROM ranks WHERE k = old.k;
END;
COMMIT;
"""
_ASKED = "SELECT 1 FROM sqlite_master WHERE name = 'news'"
_CARRY = (
    """INSERT INTO totals SELECT prefix, count(*), sum(size) FROM news WHERE 1 GROUP BY prefix
        ON CONFLICT(prefix) DO UPDATE SET entries = entries + excluded.entries, bytes = bytes + excluded.bytes""",
    # of what was removed since there is nothing to be ranked
    "INSERT OR IGNORE INTO ranks SELECT e.k, NULL, e.written FROM news CROSS JOIN entries e ON e.k = news.k",
    "DELETE FROM news",
)


def totals(database: Database, scope: str) -> tuple[int, int]:
    if _counting(database):
        all_of = "SELECT prefix, entries, bytes FROM totals UNION ALL SELECT prefix, 1, size FROM news"
        query = f"SELECT sum(entries), sum(bytes) FROM ({all_of}) WHERE {RESULT}"
    else:
        query = f"SELECT count(*), sum(size) FROM entries WHERE {RESULT}"
    rows = database.rows(query, {"scope": scope})
    return (rows[0][0] or 0, rows[0][1] or 0) if rows else (0, 0)


#: Bytes of each head that a sum reads fastest: SQLite makes room for 32 of a value, which it needs not change for so many.
HEADS = 32
PIECE = 2000  #: pages of the database that are read at once
#: whether a record lies in a page of its own row, and has so many bytes of head and body
_SHORT = f"size BETWEEN {HEADS} AND 3999"
_HEAD = (
    f"iif({_SHORT}, substr(record, iif(substr(record, {SHORT}, 1) = x'FF', {LONG + 1}, {SHORT + 1}), :length), NULL)"
)
_HERE = "FROM entries WHERE k BETWEEN :first AND :last AND prefix = :number"
_ALIKE = f"mark = :mark AND {_SHORT}"
#: of the rows that are as the first one is: in half the time of what looks at each for itself
_STARTS_ALIKE = f"CAST(group_concat(iif({_ALIKE}, substr(record, :at, :length), NULL), '') AS BLOB)"


def bulk(database: Database, scope: str, length: int, listing: str) -> Iterator[Bulk | list[Any]]:
    """One pass over the rows of each code version, in SQLite: its entries lie together, so nothing is sorted.

    What is too long or too short for that comes as rows of the select ``listing``, whose third column is the size. Much
    is read piece by piece: what SQLite puts together stays in the processor's cache, and a fork waits for a piece only.
    """
    prefixes = database.rows(f"SELECT id, prefix FROM prefixes WHERE {_UNDER}", {"scope": scope})
    if not prefixes:
        return
    ((pages,),) = database.rows("SELECT page_count FROM pragma_page_count") or [(0,)]
    pieces = min(max(pages // len(prefixes) // PIECE, 1), 64)
    for number, prefix in prefixes:
        start = salt(prefix) & ~LOW
        starts = [start + (LOW + 1) * piece // pieces for piece in range(pieces + 1)]
        for first, following in pairwise(starts):
            where = {"first": first, "last": following - 1, "number": number, "length": length}
            yield from _piece(database, prefix, where, listing)


def _piece(database: Database, prefix: str, where: dict[str, int], listing: str) -> Iterable[Bulk | list[Any]]:
    length = where["length"]
    if length != 1 and length <= HEADS and (found := _alike(database, where, prefix, listing)) is not None:
        yield from found
        return
    heads = f"CAST(group_concat({_HEAD}, '') AS BLOB)" if 0 < length <= HEADS else "NULL"
    sums = f"SELECT count(*), total(size), {heads}, min(mark), max(mark), min(size), max(size) {_HERE}"
    ((*one, low, high, least, most),) = database.rows(sums, where)
    if low is None:  # nothing is here
        return
    ones = [(low, one)]
    if low != high or not HEADS <= least <= most <= 3999:
        marks = database.rows(f"SELECT DISTINCT mark {_HERE} AND {_SHORT}", where)
        marked = [{**where, "mark": mark} for (mark,) in marks]
        ones = [(one["mark"], database.rows(f"{sums} AND mark = :mark AND {_SHORT}", one)[0]) for one in marked]
    for mark, (entries, size, starts, *_) in ones:
        if entries:  # else they were removed meanwhile
            yield Bulk(prefix, mark, entries, int(size), starts or b"")
    if not HEADS <= least <= most <= 3999:
        yield database.rows(f"{listing} {_HERE} AND NOT {_SHORT}", where)


def _alike(database: Database, where: dict[str, int], prefix: str, listing: str) -> Sequence[Bulk | list[Any]] | None:
    """The rows with the mark of the first one and the head at the same place, and the others as ``listing`` has them.

    None where those are many.
    """
    row = database.rows(f"SELECT mark, substr(record, {SHORT}, 1) = x'FF' {_HERE} LIMIT 1", where)
    if not row:
        return ()
    mark, length = row[0][0], where["length"]
    if length and row[0][1] and not mark:  # a head that is longer than most: the others' may lie elsewhere
        return None
    where = {**where, "mark": mark, "at": LONG + 1 if mark else SHORT + 1}
    heads = _STARTS_ALIKE if length else f"count(iif({_ALIKE}, 1, NULL))"
    ((entries, size, starts),) = database.rows(f"SELECT count(*), total(size), {heads} {_HERE}", where)
    count, rest = divmod(len(starts or b""), length) if length else (starts, 0)
    others = entries - count
    if rest or not count or others > entries // 8:
        return None
    # without a mark, a head of 255 bytes or more lies further on: here are its length's upper bytes, which are zeros
    if length and not mark and b"\0" in starts[1::length]:
        return None
    rows = database.rows(f"{listing} {_HERE} AND NOT ({_ALIKE}) LIMIT {others}", where) if others else []
    if len(rows) == others:
        size -= sum(row[2] for row in rows)
    else:  # they changed meanwhile
        ((size,),) = database.rows(f"SELECT total(size) {_HERE} AND {_ALIKE}", where)
    return Bulk(prefix, mark, count, int(size), starts if length else b""), rows


def rank(database: Database, keys: Sequence[tuple[int, float]]) -> None:
    """One transaction. Ranks of what is not there (any more) are dropped."""
    upsert = "INSERT INTO ranks SELECT k, ?, written FROM entries WHERE k = ? ON CONFLICT(k) DO UPDATE SET rank = excluded.rank"

    def work(connection: Connection) -> None:
        with _transaction(connection) as cursor:
            cursor.executemany(upsert, [(rank, key) for key, rank in keys])
            if connection.counting:  # after it, so that the new ones find their place in the order once
                for statement in _CARRY:
                    cursor.execute(statement)

    database.transact(work)


_PREFIX = "(SELECT prefix FROM prefixes WHERE id = e.prefix)"
_LISTED = f"r.rank, r.written, e.k, {_PREFIX}, e.size, e.last, iif(e.size < 4000, e.record, NULL)"
_BRIEFLY = f"r.rank, r.written, e.size, {_PREFIX}, e.k"
_RANKED = f"FROM ranks r CROSS JOIN entries e ON e.k = r.k WHERE {RESULT.replace('prefix IN', 'e.prefix IN')}"


def lowest(
    database: Database, scope: str, n: int, *, timed: bool = False, briefly: bool = False
) -> list[tuple[Any, ...]]:
    """Rows (rank, written, then as `Sqlite.scan` lists them) of the lowest: those never ranked first, by time of writing.

    ``timed``: ranks are seconds since the epoch, and of what was never ranked the time of writing is the rank.
    ``briefly``: (rank, written, size, prefix, key) instead.
    """
    if not _counting(database):
        return []
    if database.here.connection.writable and database.rows("SELECT 1 FROM news LIMIT 1"):
        rank(database, ())
    what, values = _BRIEFLY if briefly else _LISTED, {"scope": scope, "n": n}
    if not timed:
        return database.rows(f"SELECT {what} {_RANKED} ORDER BY r.rank, r.written LIMIT :n", values)
    found = database.rows(f"SELECT {what} {_RANKED} AND r.rank IS NULL ORDER BY r.written LIMIT :n", values)
    found = [(seconds(written), written, *rest) for _, written, *rest in found]
    found += database.rows(f"SELECT {what} {_RANKED} AND r.rank IS NOT NULL ORDER BY r.rank LIMIT :n", values)
    return sorted(found, key=itemgetter(0))[:n]


def remove(database: Database, keys: Sequence[tuple[int, bytes]]) -> None:
    """Entries by (key, digest), in one transaction."""
    sql = "DELETE FROM entries WHERE k=? AND substr(record, 1, 14)=?"
    database.transact(lambda connection: many(connection, sql, keys))


def take_out(database: Database, keys: Sequence[tuple[int]]) -> None:
    database.transact(lambda connection: many(connection, "DELETE FROM entries WHERE k=?", keys))


def purge(database: Database, scope: str, below_mark: int, limit: int) -> int:
    """What is dead is looked for beside the others' writes; only its removal waits in the queue."""
    asked = f"SELECT k, :mark FROM entries WHERE {RESULT} AND mark < :mark LIMIT :limit"
    dead = database.rows(asked, {"scope": scope, "mark": below_mark, "limit": limit})
    if not dead:
        return 0
    return database.transact(lambda connection: many(connection, "DELETE FROM entries WHERE k = ? AND mark < ?", dead))


def many(connection: Connection, sql: str, rows: Sequence[Sequence[Any]]) -> int:
    """All in one transaction; how many rows it changed."""
    with _transaction(connection) as cursor:
        cursor.executemany(sql, rows)
        return max(cursor.rowcount, 0)


@contextmanager
def _transaction(connection: Connection) -> Iterator[Cursor]:
    assert connection.db is not None
    cursor = connection.db.cursor()
    cursor.execute("BEGIN IMMEDIATE")
    try:
        yield cursor
        cursor.execute("COMMIT")
    except BaseException:
        cursor.execute("ROLLBACK")
        raise


def _counting(database: Database) -> bool:
    """Whether triggers count and order; they are made where this process may write. False where there is nothing yet."""
    connection = database.here.connection
    if connection.counting:
        return True
    found = bool(database.rows(_ASKED))
    if not found and connection.writable:

        def work(connection: Connection) -> bool:
            if not connection.execute(_ASKED).fetchone():
                assert connection.db is not None
                try:
                    connection.db.executescript(_COUNT)
                except BaseException:
                    if connection.db.in_transaction:
                        connection.db.execute("ROLLBACK")
                    raise
            return True

        found = database.transact(work)
    connection.counting = found
    return found
