"""References: small, not loaded, worth their value as arguments; plans; arguments and results that are changed."""

from __future__ import annotations

import asyncio
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import memo
from memo import Cache, NotCachedError, persist

SECONDS = 60


@pytest.fixture(params=["sqlite", "files"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> Cache:
    return Cache(tmp_path / "place", storage=request.param)


def loads(monkeypatch: pytest.MonkeyPatch, cache: Cache) -> list:
    """What is loaded from now on."""
    seen = []
    load = cache.bodies.load

    def watched(body):
        seen.append(len(body))
        return load(body)

    monkeypatch.setattr(cache.bodies, "load", watched)
    return seen


VALUES = [
    5, "text", "long text" * 1000, "x" * 100_000, None, 2.5, [1, 2, 3], {"a": [1, {"b": (2, 3)}]}, list(range(100_000)), (1, "a"),
    {1, 2}, np.arange(100_000), b"bytes" * 30_000,
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: f"{type(value).__name__}-{len(repr(value))}")
def test_by_reference_and_by_value_are_one_call(cache: Cache, value: object) -> None:
    seen = []

    @cache.persist
    def make(x):
        return value

    @cache.persist(ignore=["seen"])
    def use(data, y=1, seen=seen):
        seen.append(type(data).__name__)
        return y

    reference = make.call_and_shelve(0)
    assert use(reference) == use(value) == use(reference, y=1) == 1
    assert use.cache_key(reference) == use.cache_key(value)
    assert seen == ["Reference"]
    again = pickle.loads(pickle.dumps(reference))
    got = again.get()
    assert type(got) is type(value)
    assert np.array_equal(got, value) if isinstance(value, np.ndarray) else got == value
    assert use.cache_key(again) == use.cache_key(value)


def test_small_and_not_loaded(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    @cache.persist(ignore=["calls"])
    def make(n, calls=calls):
        calls.append(n)
        return list(range(n))

    @cache.persist
    def count(data):
        return len(data.get())

    first = make.call_and_shelve(200_000)
    assert len(pickle.dumps(first)) < 1500
    seen = loads(monkeypatch, cache)
    second = make.call_and_shelve(200_000)
    assert (second.key, second.encoding) == (first.key, first.encoding)
    assert second.head is not None
    assert second.head.size > 200_000
    assert first.key == make.cache_key(200_000)
    count.cache_key(second)
    assert seen == []
    assert calls == [200_000]
    assert count(second) == 200_000
    make.set([1], 200_000)
    assert make.call_and_shelve(200_000).get() == [1], "another entry, another reference"
    assert count(make.call_and_shelve(200_000)) == 1
    make.delete(200_000)
    with pytest.raises(NotCachedError):
        first.get()
    assert first.head is None


def test_without_a_cache_a_reference_holds_its_value() -> None:
    @persist(location=None)
    def make(x):
        return [x]

    assert make.call_and_shelve(1).get() == [1]


def test_expired_results_are_computed_anew(tmp_path: Path) -> None:
    now = [1_800_000_000.0]
    cache = Cache(tmp_path / "place")
    cache.clock = lambda: now[0]
    calls = []

    @cache.persist(ttl="1h", ignore=["calls"])
    def f(x, calls=calls):
        calls.append(x)
        return [x]

    f.call_and_shelve(1)
    f.call_and_shelve(1)
    assert len(calls) == 1
    now[0] += 7200
    f.call_and_shelve(1)
    assert len(calls) == 2


def test_across_processes(tmp_path: Path) -> None:
    @persist(location=tmp_path / "place")
    def make(n):
        return list(range(n))

    (tmp_path / "reference").write_bytes(pickle.dumps(make.call_and_shelve(1000)))
    script = "import pickle; print(len(pickle.load(open('reference', 'rb')).get()))"
    out = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert out == "1000\n"


def test_async_and_generators(cache: Cache) -> None:
    @cache.persist
    async def make(n):
        return list(range(n))

    async def main():
        reference = await make.call_and_shelve(100)
        assert (await make.call_and_shelve(100)).key == reference.key == await make.cache_key(100)
        assert reference.get() == list(range(100))

    asyncio.run(main())

    @cache.persist
    def items(n):
        yield n

    assert list(items.call_and_shelve(1).get()) == [1]


def test_plan(tmp_path: Path) -> None:
    now = [1_800_000_000.0]
    cache = Cache(tmp_path / "place")
    cache.clock = lambda: now[0]
    inside, go = threading.Event(), threading.Event()

    @cache.persist(ttl="1h", ignore=["inside", "go"])
    def f(x, inside=inside, go=go):
        if x == "slow":
            inside.set()
            assert go.wait(SECONDS)
        return x

    assert f.plan([(1,)])[1:] == (0, 1, 0, 0, 0.0)
    f("old")
    now[0] += 3000
    f("new")
    now[0] += 1000
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(f, "slow")
        assert inside.wait(SECONDS)
        plan = f.plan([("old",), ("new",), ("never",), ("slow",)])
        go.set()
        slow.result(SECONDS)
    assert [one.finds for one in plan.calls] == ["stale", "hit", "miss", "wait"]
    assert (plan.hits, plan.misses, plan.stale, plan.waits) == (1, 1, 1, 1)
    assert plan.seconds == plan.calls[0].seconds + plan.calls[2].seconds > 0
    assert f.cache_info().misses == 3


# ------------------------------------------------------------------------------------------------- what is changed


def test_a_changed_argument_is_reported_and_nothing_stored(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "place", detect_mutation=True)

    @cache.persist(ignore=["log"])
    def f(x, items, log=None):
        items.append(x)
        if log is not None:
            log.append(x)
        return len(items)

    @cache.persist(ignore=["log"])
    def g(x, items, log=None):
        log.append(x)
        return len(items)

    with pytest.warns(memo.MemoWarning, match=r"f changed its argument 'items' while it ran.*not stored"):
        assert f(1, [0]) == 2
    assert not f.is_cached(1, [0])
    assert f(1, [0]) == 2
    assert g(1, [0], log=[]) == 1
    assert g.is_cached(1, [0]), "ignored ones may change"
    assert pickle.loads(pickle.dumps(cache)).detect_mutation

    class Counter:
        def __init__(self):
            self.n = 0

        @cache.persist
        def count(self):
            self.n += 1
            return self.n

    with pytest.warns(memo.MemoWarning, match="changed its argument 'self'"):
        assert Counter().count() == 1
    assert Counter.count.entries() == []


class Box:
    def __init__(self, items):
        self.items = items


@pytest.mark.parametrize("kind", ["sqlite", "files", "shelve", "memory"])
def test_no_hit_hands_out_what_an_earlier_caller_has(tmp_path: Path, kind: str) -> None:
    cache = Cache(storage="memory") if kind == "memory" else Cache(tmp_path / "place", storage=kind)

    @cache.persist
    def f(what):
        return {
            "list": lambda: [1, 2], "nested": lambda: {"a": [1]}, "set": lambda: {1}, "object": lambda: Box([1]),
            "array": lambda: np.zeros(10), "large": lambda: np.zeros(1_000_000), "bytes": lambda: bytearray(b"ab"),
        }[what]()  # fmt: skip

    def spoil(value):
        if isinstance(value, np.ndarray):
            value[:] = 7
        elif isinstance(value, Box):
            value.items.append(7)
        elif isinstance(value, dict):
            value["a"].append(7)
        elif isinstance(value, set):
            value.add(7)
        else:
            value.append(7)

    def shown(value):
        return value.items if isinstance(value, Box) else value.tolist()[:3] if isinstance(value, np.ndarray) else value

    for what in ("list", "nested", "set", "object", "array", "large", "bytes"):
        expected = shown(f.__wrapped__(what))
        for _ in range(4):
            value = f(what)
            assert shown(value) == expected
            spoil(value)


@pytest.mark.parametrize(
    "options", [{"tags": ["web"]}, {"ttl": 10}, {"version": 2}, {"validate": lambda head: False}, {"depends": ["file"]}]
)
def test_a_reference_is_to_that_very_result_under_any_policy(
    tmp_path: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    now = [1000.0]
    cache = memo.Cache(tmp_path / "place")
    cache.clock = lambda: now[0]
    f = cache.persist(lambda x: [x], name="f", **options)
    reference = f.call_and_shelve(3)
    assert reference.get() == [3]
    now[0] += 11
    (tmp_path / "file").write_text("new")
    assert reference.get() == [3]
    cache.clear()
    with pytest.raises(memo.NotCachedError):
        reference.get()
