"""The one table of ``Sql`` and every statement on it, made once for the dialect of a database.

Names and values are always parameters. The name of a function's entries is a range of the primary key, so names are
compared byte by byte whatever the database's language is. An entry that was never ranked has the lowest rank there is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite

NEVER = -1.7976931348623157e308
PIECE = 1 << 24  # bytes of a body that PostgreSQL sends in one answer: it makes each in memory before the first byte


def bounds(prefix: str) -> dict[str, str]:
    """Between which two texts the names lie that continue ``prefix``; "0" is what follows "/"."""
    return {"low": prefix + "/", "high": prefix + "0"} if prefix else {"low": "", "high": "~"}


class Statements:
    """``upsert`` and ``bump`` are None where the dialect has no such statement."""

    def __init__(self, name: str, dialect: sa.Dialect) -> None:
        self.table = table = _table(name)
        column = table.c
        low, high = sa.bindparam("low", type_=sa.String), sa.bindparam("high", type_=sa.String)
        under = sa.and_(column.name > low, column.name < high)
        result = column.name.like("%/%/%")  # not memo's own records of two components
        named = column.name == sa.bindparam("named", type_=sa.String)
        among = column.name.in_(sa.bindparam("names", type_=sa.String, expanding=True))
        first = sa.bindparam("n", type_=sa.Integer)
        item = column.name, column.size, column.mark, column.head
        pieces = dialect.name == "postgresql"
        body = sa.case((column.size <= PIECE, column.body)) if pieces else column.body
        record = column.name, column.head, column.mark, column.size, column.written, body.label("body")

        self.read = sa.select(*record).where(named)
        self.read_many = sa.select(*record).where(among)
        start = sa.bindparam("start", type_=sa.Integer)
        self.piece = sa.select(sa.func.substr(column.body, start, PIECE, type_=sa.LargeBinary)).where(
            named, column.written == sa.bindparam("at", type_=sa.BigInteger)
        )
        self.head = sa.select(column.head, column.mark).where(named)
        self.heads = sa.select(column.name, column.head, column.mark).where(among)
        self.page = sa.select(*item).where(under).order_by(column.name).limit(first)
        self.delete = sa.delete(table).where(named)
        self.insert = sa.insert(table)
        self.rank = sa.update(table).where(named).values(rank_=sa.bindparam("rank", type_=sa.Double))
        self.lowest = (
            sa.select(column.rank_, column.written, *item)
            .where(under, result)
            .order_by(column.rank_, column.written)
            .limit(first)
        )
        self.totals = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(column.size), 0)).where(under, result)
        below = column.mark < sa.bindparam("below", type_=sa.BigInteger)
        self.dead = sa.select(column.name).where(under, result, below).limit(first)
        self.purge = sa.delete(table).where(among, below)
        self.upsert, self.bump = _upserts(table, dialect)

    def put(self, connection: sa.Connection, row: Mapping[str, Any]) -> None:
        if self.upsert is not None:
            connection.execute(self.upsert, row)
        else:
            connection.execute(self.delete, {"named": row["name"]})
            connection.execute(self.insert, row)


def _table(name: str) -> sa.Table:
    text = sa.String(255)
    text = text.with_variant(postgresql.VARCHAR(255, collation="C"), "postgresql")
    text = text.with_variant(mysql.VARCHAR(255, charset="ascii", collation="ascii_bin"), "mysql", "mariadb")
    text = text.with_variant(sa.String(255, collation="Latin1_General_BIN2"), "mssql")
    data = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
    table = sa.Table(
        name,
        sa.MetaData(),
        sa.Column("name", text, primary_key=True),
        sa.Column("mark", sa.BigInteger, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),  # bytes of head and body
        sa.Column("written", sa.BigInteger, nullable=False),  # nanoseconds since the epoch
        sa.Column("rank_", sa.Double, nullable=False),  # "rank" is a word of SQL
        sa.Column("head", data, nullable=False),
        sa.Column("body", data, nullable=False),
    )
    sa.Index(f"{name}_lowest", table.c.rank_, table.c.written)
    # bodies as they are, each in a row of its own: compressing is a codec's work, and pieces can be read
    outside = sa.DDL("ALTER TABLE %(fullname)s ALTER COLUMN body SET STORAGE EXTERNAL")  # type: ignore[no-untyped-call]
    sa.event.listen(table, "after_create", outside.execute_if(dialect="postgresql"))
    return table


def _upserts(table: sa.Table, dialect: sa.Dialect) -> tuple[Any, Any]:
    changing = [column.name for column in table.c if column.name not in ("name", "rank_")]
    if dialect.name in ("mysql", "mariadb"):
        insert = mysql.insert(table)
        return insert.on_duplicate_key_update({name: insert.inserted[name] for name in changing}), None
    if dialect.name not in ("postgresql", "sqlite"):
        return None, None
    into: Any = postgresql.insert(table) if dialect.name == "postgresql" else sqlite.insert(table)
    upsert = into.on_conflict_do_update(
        index_elements=[table.c.name], set_={name: into.excluded[name] for name in changing}
    )
    if not dialect.insert_returning:
        return upsert, None
    next_word = sa.case((table.c.mark >= into.excluded.mark, table.c.mark + 1), else_=into.excluded.mark)
    bump = into.on_conflict_do_update(index_elements=[table.c.name], set_={"mark": next_word})
    return upsert, bump.returning(table.c.mark)
