"""Totals, ranks, purge and sums of a SQLite storage: what eviction asks, kept out of the insert of those who never evict.

Counting and ordering are done by triggers, which are made the first time that somebody asks for a total or for the
lowest: from then on every process that writes to this database keeps them exact, in the same transaction. A store
without limits never has them, and its inserts cost nothing more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..model import Bulk, Item
from ._database import Connection, Database
from ._rows import LONG, LOW, SHORT, salt

#: Whether a prefix is of results (names of three components) under ``:scope``; "" is everything.
_UNDER = "instr(prefix, '/') AND (:scope = '' OR substr(prefix, 1, length(:scope) + 1) = :scope || '/')"
RESULT = f"prefix IN (SELECT id FROM prefixes WHERE {_UNDER})"

_COUNT = """
BEGIN;
CREATE TABLE totals(prefix INTEGER PRIMARY KEY, entries INTEGER NOT NULL, bytes INTEGER NOT NULL);
INSERT INTO totals SELECT prefix, count(*), sum(size) FROM entries GROUP BY prefix;
DELETE FROM ranks WHERE k NOT IN (SELECT k FROM entries);
INSERT OR IGNORE INTO ranks SELECT k, NULL, written FROM entries;
CREATE INDEX lowest ON ranks(rank, written);
CREATE TRIGGER inserted AFTER INSERT ON entries BEGIN
    INSERT INTO totals VALUES(new.prefix, 1, new.size)
        ON CONFLICT(prefix) DO UPDATE SET entries = entries + 1, bytes = bytes + excluded.bytes;
    INSERT INTO ranks VALUES(new.k, NULL, new.written) ON CONFLICT(k) DO UPDATE SET rank = NULL, written = excluded.written;
END;
CREATE TRIGGER replaced AFTER UPDATE ON entries BEGIN
    UPDATE totals SET entries = entries - 1, bytes = bytes - old.size WHERE prefix = old.prefix;
    INSERT INTO totals VALUES(new.prefix, 1, new.size)
        ON CONFLICT(prefix) DO UPDATE SET entries = entries + 1, bytes = bytes + excluded.bytes;
    UPDATE ranks SET written = new.written WHERE k = new.k;
END;
CREATE TRIGGER removed AFTER DELETE ON entries BEGIN
    UPDATE totals SET entries = entries - 1, bytes = bytes - old.size WHERE prefix = old.prefix;
    DELETE FROM ranks WHERE k = old.k;
END;
COMMIT;
"""


def totals(database: Database, scope: str) -> tuple[int, int]:
    if _counting(database):
        query = f"SELECT sum(entries), sum(bytes) FROM totals WHERE {RESULT}"
    else:
        query = f"SELECT count(*), sum(size) FROM entries WHERE {RESULT}"
    rows = database.rows(query, {"scope": scope})
    return (rows[0][0] or 0, rows[0][1] or 0) if rows else (0, 0)


#: whether a record lies in a page of its own row, and has 16 bytes of head and body
_SHORT = "size BETWEEN 16 AND 3999"
_HEAD = f"hex(substr(record, iif(substr(record, {SHORT}, 1) = x'FF', {LONG + 1}, {SHORT + 1}), :length))"
_BULK = (
    "SELECT min(mark), max(mark), count(*), total({short}), total(iif({short}, size, 0)), {heads}"
    " FROM entries WHERE k BETWEEN :first AND :last AND prefix = :number AND :length <= 16"
)


def bulk(
    database: Database, scope: str, length: int, listed: Callable[[str, tuple[Any, ...]], Iterator[Item]]
) -> Iterator[Bulk | Item]:
    """One pass over the rows of each code version, in SQLite: its entries lie together, so nothing is sorted.

    What is too long or too short for that comes as ``listed`` gives it, of a condition and its values.
    """
    heads = f"group_concat(iif({_SHORT}, {_HEAD}, NULL), '')" if length else "''"
    query = _BULK.format(short=_SHORT, heads=heads)
    for number, prefix in database.rows(f"SELECT id, prefix FROM prefixes WHERE {_UNDER}", {"scope": scope}):
        first = salt(prefix) & ~LOW
        where = {"first": first, "last": first | LOW, "number": number, "length": length}
        ((low, high, found, *one),) = database.rows(query, where)
        ones = [(low, *one)]
        if low != high:
            asked = "SELECT DISTINCT mark FROM entries WHERE k BETWEEN :first AND :last AND prefix = :number"
            marked = [{**where, "mark": mark} for (mark,) in database.rows(asked, where)]
            ones = [(one["mark"], *database.rows(f"{query} AND mark = :mark", one)[0][3:]) for one in marked]
        for mark, short, size, texts in ones:
            if short:
                yield Bulk(prefix, mark, int(short), int(size), bytes.fromhex(texts or ""))
        if found > sum(short for _, short, _, _ in ones):
            yield from listed(f"k BETWEEN ? AND ? AND prefix = ? AND NOT {_SHORT}", (first, first | LOW, number))


def rank(database: Database, keys: Sequence[tuple[int, float]]) -> None:
    """One transaction. Ranks of what is not there (any more) are dropped."""
    upsert = "INSERT INTO ranks SELECT k, ?, written FROM entries WHERE k = ? ON CONFLICT(k) DO UPDATE SET rank = excluded.rank"

    def work(connection: Connection) -> None:
        assert connection.db is not None
        _many(connection, upsert, [(rank, key) for key, rank in keys])

    database.transact(work)


def lowest(database: Database, scope: str, n: int) -> list[tuple[Any, ...]]:
    """Rows (rank, written, then as `Sqlite.scan` lists them) of the lowest: those never ranked first, by time of writing."""
    if not _counting(database):
        return []
    return database.rows(
        "SELECT r.rank, r.written, e.k, (SELECT prefix FROM prefixes WHERE id = e.prefix), e.size, e.last,"
        " iif(e.size < 4000, e.record, NULL) FROM ranks r CROSS JOIN entries e ON e.k = r.k"
        f" WHERE {RESULT.replace('prefix IN', 'e.prefix IN')} ORDER BY r.rank, r.written LIMIT :n",
        {"scope": scope, "n": n},
    )


def remove(database: Database, keys: Sequence[tuple[int, bytes]]) -> None:
    """Entries by (key, digest), in one transaction."""
    sql = "DELETE FROM entries WHERE k=? AND substr(record, 1, 14)=?"
    database.transact(lambda connection: _many(connection, sql, keys))


def purge(database: Database, scope: str, below_mark: int, limit: int) -> int:
    """What is dead is looked for beside the others' writes; only its removal waits in the queue."""
    asked = f"SELECT k, :mark FROM entries WHERE {RESULT} AND mark < :mark LIMIT :limit"
    dead = database.rows(asked, {"scope": scope, "mark": below_mark, "limit": limit})
    if not dead:
        return 0
    return database.transact(lambda connection: _many(connection, "DELETE FROM entries WHERE k = ? AND mark < ?", dead))


def _many(connection: Connection, sql: str, rows: Sequence[Sequence[Any]]) -> int:
    """All in one transaction; how many rows it changed."""
    assert connection.db is not None
    cursor = connection.db.cursor()
    cursor.execute("BEGIN IMMEDIATE")
    try:
        cursor.executemany(sql, rows)
        changed = cursor.rowcount
        cursor.execute("COMMIT")
    except BaseException:
        cursor.execute("ROLLBACK")
        raise
    return max(changed, 0)


def _counting(database: Database) -> bool:
    """Whether triggers count and order; they are made where this process may write. False where there is nothing yet."""
    connection = database.here.connection
    if connection.counting:
        return True
    asked = "SELECT 1 FROM sqlite_master WHERE name = 'totals'"
    found = bool(database.rows(asked))
    if not found and connection.writable:

        def work(connection: Connection) -> bool:
            if not connection.execute(asked).fetchone():
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
