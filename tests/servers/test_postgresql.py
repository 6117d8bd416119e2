"""The storage on SQLAlchemy with a real PostgreSQL: the suites, what only servers can do wrong, and how it heals."""

from __future__ import annotations

from pathlib import Path

import pytest
from blake3 import blake3

from memo.storages.sql import Sql
from memo.testing import StorageSuite, agree


def table_of(folder: Path) -> str:
    return f"memo_{blake3(str(folder).encode()).hexdigest(8)}"


class TestPostgresql(StorageSuite):
    @pytest.fixture(autouse=True)
    def _server(self, postgres_server):
        self.server = postgres_server

    def make(self, tmp_path):
        return Sql(self.server.url, table=table_of(tmp_path), timeout=10)


def test_a_stream_of_random_commands(postgres_server, tmp_path):
    agree(Sql(postgres_server.url, table=table_of(tmp_path), timeout=10), count=1000)
