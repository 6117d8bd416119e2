"""The servers of the tests themselves do what the tests of failures rely on."""

from __future__ import annotations

import pytest


def test_redis_is_empty_and_can_be_killed_stopped_and_started_again(redis_server):
    import redis

    client = redis_server.client()
    assert client.dbsize() == 0
    client.set("a", 1)
    redis_server.stop()
    with pytest.raises(redis.TimeoutError):
        redis.Redis(port=redis_server.port, socket_timeout=0.1, retry=None).ping()
    redis_server.cont()
    assert client.get("a") == b"1"
    redis_server.kill()
    with pytest.raises(redis.ConnectionError):
        client.ping()
    redis_server.restart()
    assert client.dbsize() == 0
