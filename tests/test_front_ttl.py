"""Storages whose words can't be watched: what a front may serve, and for how long."""

from __future__ import annotations

import time
from typing import Any

import pytest

from memo import Cache, OptionError
from memo.model import Item, Record


class Server:
    """The four verbs over a dictionary that several clients share; ``trips`` counts what they ask."""

    def __init__(self, entries: dict[str, Record]) -> None:
        self.entries, self.trips = entries, 0

    def read(self, name: str, /) -> Record | None:
        self.trips += 1
        return self.entries.get(name)

    def write(self, name: str, parts: Any, head: Any, /, *, size: int, mark: int, suffix: str = "") -> None:
        self.trips += 1
        body = b"".join(parts)
        self.entries[name] = Record(head(), mark, body)

    def remove(self, name: str, /) -> None:
        self.entries.pop(name, None)

    def scan(self, prefix: str = "", /) -> Any:
        for name, record in list(self.entries.items()):
            if not prefix or name.startswith(prefix + "/"):
                yield Item(name, len(record.body) + len(record.head), record.mark, record.head)


def client(entries: dict[str, Record], front_ttl: Any) -> tuple[Any, list[Any], Server]:
    server, calls = Server(entries), []

    def f(x: Any, calls: list[Any]) -> list[Any]:
        calls.append(x)
        return [x, [x]]

    cache = Cache(storage=server, front_ttl=front_ttl)
    return cache.persist(f, name="front.f", code="off", version=1, ignore=["calls"]), calls, server


def test_by_default_every_hit_asks() -> None:
    f, calls, server = client({}, 0)
    f(1, calls)
    before = server.trips
    assert f(1, calls) == [1, [1]]
    assert server.trips > before
    assert calls == [1]


@pytest.mark.parametrize("value", [1, "text", (1, 2)])
def test_within_front_ttl_a_repeated_hit_asks_nothing(value: Any) -> None:
    entries: dict[str, Record] = {}
    one, calls, server = client(entries, "1h")
    one(value, calls), one(value, calls)
    before = server.trips
    assert one(value, calls) == [value, [value]]
    assert server.trips == before
    assert calls == [value]
    assert one.cache_info().hits == 2


def test_what_this_process_clears_or_deletes_it_sees_at_once() -> None:
    f, calls, _ = client({}, "1h")
    f(1, calls), f(1, calls)
    f.delete(1, calls)
    f(1, calls)
    assert calls == [1, 1]
    f.cache_clear()
    f(1, calls)
    assert calls == [1, 1, 1]
    f.set("other", 1, calls)
    assert f(1, calls) == "other"
    f.refresh(1, calls)
    assert f(1, calls) == [1, [1]]


def test_what_others_clear_is_seen_when_the_time_is_over() -> None:
    entries: dict[str, Record] = {}
    f, calls, _ = client(entries, 0.2)
    f(1, calls), f(1, calls)
    other, _, _ = client(entries, 0)
    other.cache_clear()
    until = time.monotonic() + 60
    while calls == [1] and time.monotonic() < until:
        assert f(1, calls) == [1, [1]]
    assert calls == [1, 1]


def test_a_hit_after_the_time_goes_on_with_the_same_front() -> None:
    """The words are asked again; the entries need not be read again while nothing has changed."""
    f, calls, server = client({}, 0.05)
    f(1, calls), f(1, calls)
    before, until = server.trips, time.monotonic() + 60
    while server.trips == before and time.monotonic() < until:
        f(1, calls)
    assert server.trips - before == 2, "its two words, not the entry"
    assert calls == [1]


def test_a_result_that_a_caller_changes_is_not_what_the_next_one_gets() -> None:
    f, calls, _ = client({}, "1h")
    f(1, calls)
    f(1, calls).append("mine")
    assert f(1, calls) == [1, [1]]


def test_no_duration_is_refused() -> None:
    with pytest.raises(OptionError, match="front_ttl"):
        Cache(storage="memory", front_ttl="soon")
