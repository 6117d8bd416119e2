"""Totals, ranks and purge of a SQLite storage: what eviction asks, kept out of the insert of those who never evict.

Counting and ordering are done by triggers, which are made the first time that somebody asks for a total or for the
lowest: from then on every process that writes to this database keeps them exact, in the same transaction. A store
without limits never has them, and its inserts cost nothing more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ._database import Connection, Database

#: Whether a row is a result (a name of three components) under the scope ``?1``; "" is everything.
RESULT = "prefix IN (SELECT id FROM prefixes WHERE instr(prefix, '/') AND (?1 = '' OR substr(prefix, 1, length(?1) + 1) = ?1 || '/'))"

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
    rows = database.rows(query, (scope,))
    return (rows[0][0] or 0, rows[0][1] or 0) if rows else (0, 0)


def rank(database: Database, keys: Sequence[tuple[int, float]]) -> None:
    """One transaction. Ranks of what is not there (any more) are dropped."""
    upsert = "INSERT INTO ranks SELECT k, ?2, written FROM entries WHERE k = ?1 ON CONFLICT(k) DO UPDATE SET rank = excluded.rank"

    def work(connection: Connection) -> None:
        assert connection.db is not None
        _many(connection, upsert, keys)

    database.transact(work)


def lowest(database: Database, scope: str, n: int) -> list[tuple[Any, ...]]:
    """Rows (rank, written, then as `Sqlite.scan` lists them) of the lowest: those never ranked first, by time of writing."""
    if not _counting(database):
        return []
    return database.rows(
        "SELECT r.rank, r.written, e.k, (SELECT prefix FROM prefixes WHERE id = e.prefix), e.size, e.last,"
        " iif(e.size < 4000, e.record, NULL) FROM ranks r CROSS JOIN entries e ON e.k = r.k"
        f" WHERE {RESULT.replace('prefix IN', 'e.prefix IN')} ORDER BY r.rank, r.written LIMIT ?2",
        (scope, n),
    )


def remove(database: Database, keys: Sequence[tuple[int, bytes]]) -> None:
    """Entries by (key, digest), in one transaction."""
    sql = "DELETE FROM entries WHERE k=? AND substr(record, 1, 14)=?"
    database.transact(lambda connection: _many(connection, sql, keys))


def purge(database: Database, scope: str, below_mark: int, limit: int) -> int:
    """What is dead is looked for beside the others' writes; only its removal waits in the queue."""
    dead = database.rows(f"SELECT k, ?2 FROM entries WHERE {RESULT} AND mark < ?2 LIMIT ?3", (scope, below_mark, limit))
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
