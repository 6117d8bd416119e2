"""Options that exclude each other raise at decoration, and say which and what to do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from memo import Cache, OptionError, Ttl, persist

FUNCTIONS: list[tuple[dict[str, Any], str]] = [
    ({"stale_while_revalidate": "1h"}, "stale_while_revalidate= serves .* nothing says when these expire: add ttl="),
    ({"stale_if_error": "1h", "store_if": bool.__and__}, "stale_if_error= serves .* nothing says when these expire"),
    ({"ttl": "1h", "idle_ttl": "2h"}, "idle_ttl=2 h never counts beside ttl=60 min"),
    ({"ttl": 100, "idle_ttl": 100}, "idle_ttl=100 s never counts"),
    ({"code": "off", "version": 1, "packages": "minor"}, "packages='minor' .* code='off' follows none"),
    ({"code": "off"}, 'code="off" needs version='),
    ({"mode": "only-cached", "location": None}, "every call would raise NotCachedError"),
    ({"ignore": ["x"], "key": {"x": str}}, "'x' is in ignore= and in key=: choose one"),
    ({"ignore": ["x"], "key": str}, "exclude each other"),
    ({"cache": Cache(storage="memory"), "storage": "files"}, "give cache= or storage=, not both"),
    ({"cache": Cache(storage="memory"), "location": None}, "give cache= or location=, not both"),
    ({"location": "redis://host", "storage": "sqlite"}, "give it without storage="),
]
GENERATORS: list[tuple[dict[str, Any], str]] = [
    ({"ttl": len}, "ttl= as a function of the result is not for generators"),
    ({"ttl": len, "depends": ["a"]}, "ttl= as a function"),
    ({"store_if": len}, "store_if= is not for generators"),
    ({"tags": lambda arguments, result: []}, "tags= as a function of the result is not for generators"),
    ({"cache_exceptions": KeyError}, "cache_exceptions is not for generators"),
]
CACHES: list[tuple[dict[str, Any], str]] = [
    ({"evict": "cost"}, "nothing limits it: add max_size= or max_entries="),
    ({"trust": "data", "trust_folder": True}, "leave one of them out"),
    ({"trust": "data", "serializer": "pickle"}, "which trust='data' rules out"),
]


@pytest.mark.parametrize(("options", "says"), FUNCTIONS)
def test_of_functions(options: dict[str, Any], says: str) -> None:
    with pytest.raises(OptionError, match=says):

        @persist(**options)
        def f(x: int) -> int:
            return x


@pytest.mark.parametrize(("options", "says"), GENERATORS)
def test_of_generators(options: dict[str, Any], says: str) -> None:
    with pytest.raises(OptionError, match=says):

        @persist(**options)
        def f(x: int) -> Any:
            yield x

    with pytest.raises(OptionError, match=says):

        @persist(**options)
        async def g(x: int) -> Any:
            yield x


@pytest.mark.parametrize(("options", "says"), CACHES)
def test_of_caches(options: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=says):
        Cache(tmp_path, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"stale_while_revalidate": "1h", "ttl": "1m"},
        {"stale_if_error": "1h", "depends": ["rates.csv"]},
        {"stale_if_error": "1h", "cache": Cache(storage="memory", policy=Ttl(5))},
        {"stale_while_revalidate": "1h", "policy": Ttl(5)},
        {"ttl": "2h", "idle_ttl": "1h"},
        {"ttl": datetime(2040, 1, 1), "idle_ttl": "1h"},
        {"ttl": len, "idle_ttl": "1h"},
        {"code": "own", "packages": "minor"},
        {"mode": "off", "ttl": "1h", "tags": ["a"]},
        {"location": None, "ttl": "1h", "mode": "read-only"},
        {"stale_while_revalidate": None, "ttl": None, "packages": "exact"},
    ],
)
def test_what_goes_together(options: dict[str, Any]) -> None:
    assert persist(lambda x: x, **options).__wrapped__(1) == 1


def test_limits_of_one_url_in_one_process(tmp_path: Path, told: Callable[[], list[str]]) -> None:
    pytest.importorskip("sqlalchemy")
    url = f"sqlite+pysqlite:///{tmp_path / 'results.db'}"
    one = Cache(url, max_entries=3, trust_folder=True)
    f = one.persist(lambda x: x, name="contradictions.limits", code="off", version=1)
    for number in range(5):
        f(number)
    assert told() == []
    for other in (Cache(url, max_entries=9, trust_folder=True), Cache(url, trust_folder=True)):
        g = other.persist(lambda x: x, name="contradictions.limits", code="off", version=1)
        for number in range(5, 9):
            g(number)
        assert g.cache_info().currsize <= 3
    (text,) = [text for text in told() if "max_entries" in text]
    assert "max_entries=3, evict=lru, which counts; max_entries=9, evict=lru was asked for" in text
