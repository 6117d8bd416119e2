"""The storage on SQLAlchemy, here on SQLite; the same on a real PostgreSQL is in servers/test_postgresql.py."""

from memo.storages.sql import Sql
from memo.testing import StorageSuite, agree


def at(folder):
    return Sql(f"sqlite:///{folder}/entries.db")


class TestSql(StorageSuite):
    def make(self, tmp_path):
        return at(tmp_path)


def test_a_stream_of_random_commands(tmp_path):
    agree(at(tmp_path), count=1000)
