"""The matrix of tests/test_matrix.py on storages that need a server."""

from __future__ import annotations

import pytest
from test_matrix import SERIALIZERS, SIGNED, check


@pytest.mark.parametrize("serializer", SERIALIZERS)
def test_redis(redis_server, serializer, monkeypatch):
    check({"location": redis_server.url, **SIGNED}, serializer, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("serializer", SERIALIZERS)
def test_redis_with_twenty_megabytes(redis_server, serializer, monkeypatch):
    check({"location": redis_server.url, **SIGNED}, serializer, monkeypatch, names={"20 MB"})
