"""The storage on a real Redis server: the contract, and everything that can happen to a server."""

from __future__ import annotations

import pytest

from memo.storages.redis import Redis
from memo.testing import StorageSuite, agree


class TestRedis(StorageSuite):
    @pytest.fixture(autouse=True)
    def _server(self, redis_server):
        self.server = redis_server

    def make(self, tmp_path):
        # the suite makes several, each new and empty
        return Redis(self.server.url, prefix=f"memo{abs(hash(str(tmp_path)))}")


def test_agrees(redis_server):
    agree(Redis(redis_server.url))
