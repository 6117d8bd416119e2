"""How many times a call waits for a server, counted between client and server: a question after an answer is a trip.

Each figure is the least of several calls: drivers, and memo's signs of life, make a trip more now and then.
"""

from __future__ import annotations

from memo import Cache
from memo.storages import Tiered

HIT, MISS = 1, 6  # words and entry; then lock, head, word and head, write, unlock


def trips(counter, cache):
    """(those of a call that finds nothing near, those of the next one)."""

    @cache.persist(name="trips.square")
    def square(x):
        return [x * x]

    def of(x):
        before = counter.trips
        assert square(x) == [x * x]
        return counter.trips - before

    for x in range(3):  # connections, the table, the function's name
        of(x)
    first = [of(x) for x in range(10, 20)]
    return min(first), min(of(x) for x in range(10, 20))


def through(counter, url):
    """The URL of a server on 127.0.0.1, by way of what counts."""
    before, here, rest = url.partition("127.0.0.1:")
    return f"{before}{here}{counter.socket.getsockname()[1]}/{rest.partition('/')[2]}"


def test_redis(redis_server, counted):
    counter = counted(redis_server.port)
    assert trips(counter, Cache(through(counter, redis_server.url), trust_folder=True)) == (MISS, HIT)


def test_postgresql(postgres_server, counted):
    counter = counted(postgres_server.port)
    assert trips(counter, Cache(through(counter, postgres_server.url), trust_folder=True)) == (MISS, HIT)


def test_tiers(redis_server, counted, tmp_path):
    counter = counted(redis_server.port)
    far = through(counter, redis_server.url)
    assert trips(counter, Cache(storage=Tiered(tmp_path / "one", far), trust_folder=True)) == (MISS, HIT)
    # another machine: what is far comes with its words, what is near costs the words alone
    assert trips(counter, Cache(storage=Tiered(tmp_path / "other", far), trust_folder=True)) == (HIT, HIT)
