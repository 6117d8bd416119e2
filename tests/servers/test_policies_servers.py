"""The matrix of tests/test_policy_matrix.py on storages that need a server."""

from __future__ import annotations

import pytest
import test_policy_matrix as matrix


def test_policies_redis(redis_server, tmp_path):
    matrix.check(redis_server.url, None, tmp_path)


@pytest.mark.parametrize("evict", ["lru", "cost"])
def test_limits_redis(redis_server, tmp_path, evict):
    matrix.check_limits(redis_server.url, None, tmp_path, evict)


def test_policies_postgresql(postgres_server, tmp_path):
    matrix.check(postgres_server.url, None, tmp_path)
