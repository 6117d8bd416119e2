"""Generators: recorded while consumed, stored when exhausted, replayed lazily; half of one is never taken for all of it."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import pickle
import subprocess
import sys
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import warm

import memo
from memo import Cache, persist
from memo._items import Tape
from memo._offer import Follow, Offer, path_of

SECONDS = 60  # bounds a hang


@pytest.fixture(params=["sqlite", "files"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> Cache:
    return Cache(tmp_path / "place", storage=request.param)


def counting(cache: Cache, **options: object):
    """A persisted generator function and what it did."""
    made: list[object] = []

    @cache.persist(ignore=["made"], **options)
    def f(n, fail=None, made=made):
        made.append("began")
        try:
            for i in range(n):
                if i == fail:
                    raise ValueError(i)
                made.append(i)
                yield [i]
            return "returned"
        finally:
            made.append("ended")

    return f, made


def drained(generator) -> tuple[list, object]:
    items = []
    while True:
        try:
            items.append(next(generator))
        except StopIteration as end:
            return items, end.value


def test_items_and_returned_value_are_replayed(cache: Cache) -> None:
    f, made = counting(cache)
    assert inspect.isgeneratorfunction(f)
    for _ in range(3):
        assert drained(f(3)) == ([[0], [1], [2]], "returned")
    assert made == ["began", 0, 1, 2, "ended"]
    assert f.cache_info()[:2] == (2, 1)
    assert f.is_cached(3)
    assert not f.is_cached(4)
    assert drained(f(0)) == drained(f(0)) == ([], "returned")


def test_nothing_runs_before_the_first_item_is_asked_for_nor_ahead(cache: Cache) -> None:
    f, made = counting(cache)
    items = f(3)
    assert made == []
    assert next(items) == [0]
    assert made == ["began", 0]


def test_stopping_early_stores_nothing_and_closes_the_generator(cache: Cache) -> None:
    f, made = counting(cache)
    assert list(islice(f(5), 2)) == [[0], [1]]
    gc.collect()
    assert made == ["began", 0, 1, "ended"]
    assert not f.is_cached(5)
    assert cache._opened.flights._flights == {}
    assert len(list(f(5))) == 5
    assert f.is_cached(5)


def test_an_exception_is_never_an_end(cache: Cache) -> None:
    f, made = counting(cache)
    for _ in range(2):
        items = f(5, fail=2)
        assert [next(items), next(items)] == [[0], [1]]
        with pytest.raises(ValueError, match="2"):
            next(items)
    assert made.count("began") == 2
    assert not f.is_cached(5, fail=2)


def test_what_a_consumer_does_to_an_item_never_shows(cache: Cache) -> None:
    f, _ = counting(cache)
    for _ in range(3):
        for i, item in enumerate(f(3)):
            assert item == [i]
            item.append("changed")


def test_a_second_consumer_follows(cache: Cache) -> None:
    f, made = counting(cache)
    one, two = f(4), f(4)
    assert next(one) == [0]
    assert next(one) == [1]
    assert [next(two) for _ in range(3)] == [[0], [1], [2]], "past the first, which pauses"
    assert made == ["began", 0, 1, 2]
    one.close()
    assert drained(two) == ([[3]], "returned"), "and goes on when the first one stops"
    assert made.count("began") == 1
    assert f.is_cached(4)


def test_who_follows_a_failing_one_goes_on_with_its_own(cache: Cache) -> None:
    f, made = counting(cache)
    one, two = f(4, fail=2), f(4, fail=2)
    assert [next(one), next(two), next(one)] == [[0], [0], [1]]
    with pytest.raises(ValueError):
        next(one)
    assert next(two) == [1]
    with pytest.raises(ValueError):
        next(two)
    assert made.count("began") == 2


def test_threads_share_one_generator(cache: Cache) -> None:
    f, made = counting(cache)
    barrier = threading.Barrier(4)

    def consume(_):
        barrier.wait(SECONDS)
        return drained(f(200))

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(consume, range(4)))
    assert results == [([[i] for i in range(200)], "returned")] * 4
    assert made.count("began") == 1


def test_recursion_with_equal_arguments_is_no_deadlock(cache: Cache) -> None:
    @cache.persist(ignore=["depth"])
    def f(x, depth=0):
        yield x
        if depth < 2:
            yield from f(x, depth + 1)

    assert list(f(1)) == [1, 1, 1]


def test_sent_values_reach_the_function_and_nothing_is_stored(cache: Cache) -> None:
    began = []

    @cache.persist(ignore=["began"])
    def f(x, began=began):
        began.append(x)
        got = yield x
        while got is not None:
            got = yield got * 2
        return "end"

    def talk():
        items = f(1)
        return [next(items), items.send(5), items.send(6), *drained(items)]

    assert talk() == [1, 10, 12, [], "end"]
    assert began == [1]
    assert not f.is_cached(1)
    assert drained(f(1)) == ([1], "end")
    assert f.is_cached(1)
    assert talk() == [1, 10, 12, [], "end"]


def test_an_item_that_cannot_be_stored(cache: Cache) -> None:
    began = []

    @cache.persist(ignore=["began"], name=f"of {cache.location}")  # it warns once for each name
    def f(x, began=began):
        began.append(x)
        yield 1
        yield threading.Lock()
        yield 3

    with pytest.warns(memo.MemoWarning, match="can't be stored"):
        items = list(f(1))
    assert (items[0], items[2]) == (1, 3)
    assert began == [1]
    assert not f.is_cached(1)


def test_modes_and_handles(cache: Cache) -> None:
    f, made = counting(cache)
    with memo.mode("off"):
        list(f(1))
    with memo.mode("read-only"):
        list(f(1))
    assert made.count("began") == 2
    with memo.mode("only-cached"), pytest.raises(memo.NotCachedError):
        list(f(1))
    list(f(1))
    assert list(f.get(1)) == list(f.get(1)) == [[0]]
    with memo.mode("refresh"):
        list(f(1))
    assert made.count("began") == 4
    assert list(f.refresh(1)) == [[0]]
    assert made.count("began") == 5
    f.set(iter("ab"), 1)
    assert list(f(1)) == ["a", "b"]
    assert f.delete(1)
    assert list(f(1)) == [[0]]
    assert made.count("began") == 6


def test_what_is_not_for_generators(cache: Cache) -> None:
    def f():
        yield 1

    with pytest.raises(memo.OptionError, match="not for generators"):
        persist(f, cache_exceptions=KeyError)
    with pytest.raises(memo.OptionError, match="hold all items"):
        cache.persist(f).map([])


class Aging:
    """Generators whose items say which run made them; an hour is over when the test says so."""

    def __init__(self, cache: Cache, **options: object) -> None:
        self.now, self.runs, self.fails_at = 2e9, 0, None
        cache.clock = lambda: self.now

        def made(n):
            self.runs += 1
            for i in range(n):
                if i == self.fails_at:
                    raise RuntimeError("the service is down")
                yield self.runs, i

        async def asynchronous(n):
            for item in made(n):
                await asyncio.sleep(0)
                yield item

        options = {"ttl": "1h", "name": "aging.f", "code": "off", "version": 1, **options}
        self.f = cache.persist(made, **options)
        self.asynchronous = cache.persist(asynchronous, **{**options, "name": "aging.asynchronous"})


def test_old_items_are_served_while_new_ones_are_made(cache: Cache) -> None:
    aging = Aging(cache, stale_while_revalidate="1d")
    f = aging.f
    assert list(f(2)) == [(1, 0), (1, 1)]
    aging.now += 7200
    assert list(f(2)) == [(1, 0), (1, 1)]
    pause, end = threading.Event(), time.monotonic() + SECONDS
    while not f.is_cached(2) and time.monotonic() < end:
        pause.wait(0.01)
    assert list(f(2)) == [(2, 0), (2, 1)]


def test_old_items_instead_of_an_exception_before_the_first_one(cache: Cache) -> None:
    aging = Aging(cache, stale_if_error="1d")
    f = aging.f
    assert list(f(2)) == [(1, 0), (1, 1)]
    aging.now += 7200
    aging.fails_at = 0
    one, two = f(2), f(2)
    assert [next(one), next(two), next(one), next(two)] == [(1, 0), (1, 0), (1, 1), (1, 1)]
    assert list(f(2)) == [(1, 0), (1, 1)]
    aging.fails_at = 1
    items = f(2)
    next(items)
    with pytest.raises(RuntimeError):  # what was handed on can't be taken back
        next(items)
    aging.now += 2 * 86400
    aging.fails_at = 0
    with pytest.raises(RuntimeError):
        next(f(2))


def test_references(cache: Cache) -> None:
    f, made = counting(cache)
    reference = f.call_and_shelve(3)
    again = pickle.loads(pickle.dumps(reference))
    assert list(reference.get()) == list(again.get()) == list(again.get()) == [[0], [1], [2]]
    assert list(f.call_and_shelve(3).get()) == list(f(3)) == [[0], [1], [2]]
    assert made.count("began") == 1

    @cache.persist
    def total(items):
        return sum(item[0] for item in items.get())

    assert total(reference) == total(again) == 3
    assert total.cache_info()[:2] == (1, 1)
    with memo.mode("off"):
        assert list(f.call_and_shelve(2).get()) == [[0], [1]]
    with pytest.raises(ValueError):
        f.call_and_shelve(3, fail=1)


def test_methods_and_codecs_and_serializers(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "place", serializer="json", compress="zlib")

    class Model:
        def __init__(self, n):
            self.n = n

        @cache.persist
        def items(self, factor):
            for i in range(self.n):
                yield {"i": i * factor}

    for _ in range(2):
        assert list(Model(3).items(2)) == [{"i": 0}, {"i": 2}, {"i": 4}]
    assert Model.items.cache_info()[:2] == (1, 1)


def test_memory_stays_bounded_and_replay_is_lazy(tmp_path: Path) -> None:
    large, count = 1 << 20, 60

    @persist(location=tmp_path / "place")
    def f(n):
        for i in range(n):
            yield np.full(large, i, dtype=np.uint8)

    list(f(1))
    for _ in range(2):  # recorded, then replayed
        gc.collect()
        tracemalloc.start()
        total = sum(int(array[-1]) for array in f(count))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert total == sum(range(count))
        assert peak < 15 * large
    assert f.cache_info()[:2] == (1, 2)
    assert next(f(count))[0] == 0


SCRIPT = """
import sys
from memo import persist

@persist(location=sys.argv[1], storage=sys.argv[2])
def f(n):
    print("computing")
    for i in range(n):
        yield i
    return "end"

print(*f(3))
"""


@pytest.mark.parametrize("kind", ["sqlite", "files", "shelve"])
def test_across_processes(tmp_path: Path, kind: str) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    out = [warm.run(["-W", "error", "script.py", "place", kind], cwd=tmp_path).stdout for _ in range(2)]
    assert out == ["computing\n0 1 2\n", "0 1 2\n"]


# --------------------------------------------------------------------------------------------------------- async


def run(coroutine):
    async def bounded():
        return await asyncio.wait_for(coroutine, SECONDS)

    return asyncio.run(bounded())


def counting_async(cache: Cache):
    made: list[object] = []

    @cache.persist(ignore=["made"])
    async def f(n, fail=None, made=made):
        made.append("began")
        try:
            for i in range(n):
                await asyncio.sleep(0)
                if i == fail:
                    raise ValueError(i)
                made.append(i)
                yield [i]
        finally:
            made.append("ended")

    return f, made


async def all_of(items) -> list:
    return [item async for item in items]


def test_async_items_are_replayed(cache: Cache) -> None:
    f, made = counting_async(cache)
    assert inspect.isasyncgenfunction(f)

    async def main():
        for _ in range(3):
            assert await all_of(f(3)) == [[0], [1], [2]]
        assert await f.is_cached(3)
        assert await all_of(await f.get(3)) == [[0], [1], [2]]
        assert await all_of(await f.refresh(3)) == [[0], [1], [2]]
        await f.set("ab", 3)
        assert await all_of(f(3)) == ["a", "b"]

    run(main())
    assert made == ["began", 0, 1, 2, "ended"] * 2


def test_async_half_of_it_is_not_stored(cache: Cache) -> None:
    f, made = counting_async(cache)

    async def main():
        items = f(5)
        assert await anext(items) == [0]
        await items.aclose()
        assert made == ["began", 0, "ended"]
        assert not await f.is_cached(5)
        for _ in range(2):
            with pytest.raises(ValueError):
                await all_of(f(5, fail=2))
        assert not await f.is_cached(5, fail=2)
        assert cache._opened.flights._flights == {}
        assert len(await all_of(f(5))) == 5

    run(main())
    assert made.count("began") == 4


def test_async_tasks_share_one_and_follow(cache: Cache) -> None:
    f, made = counting_async(cache)

    async def main():
        results = await asyncio.gather(*[all_of(f(20)) for _ in range(5)])
        assert results == [[[i] for i in range(20)]] * 5
        assert made.count("began") == 1
        one, two = f(3), f(3)
        assert [await anext(one), await anext(two), await anext(two)] == [[0], [0], [1]]
        await one.aclose()
        assert await all_of(two) == [[2]]
        assert made.count("began") == 2
        assert await f.is_cached(3)

    run(main())


def test_async_cancelled_consumer_leaves_no_lock_and_the_other_goes_on(cache: Cache) -> None:
    made, gates = [], []

    @cache.persist(ignore=["made", "gates"])
    async def f(n, made=made, gates=gates):
        made.append("began")
        for i in range(n):
            if len(made) == 1:
                gates.append(asyncio.Event())
                await gates[-1].wait()
            yield i

    async def main():
        one = asyncio.create_task(all_of(f(3)))
        while not gates:
            await asyncio.sleep(0.001)
        two = asyncio.create_task(all_of(f(3)))
        await asyncio.sleep(0.05)
        one.cancel()
        with pytest.raises(asyncio.CancelledError):
            await one
        assert await two == [0, 1, 2]
        assert cache._opened.flights._flights == {}

    run(main())


def test_async_in_several_loops(cache: Cache) -> None:
    f, _ = counting_async(cache)
    barrier = threading.Barrier(3)

    def one(_):
        barrier.wait(SECONDS)
        return run(all_of(f(50)))

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(one, range(3))) == [[[i] for i in range(50)]] * 3
    assert run(all_of(f(50))) == [[i] for i in range(50)]


def test_async_old_items(cache: Cache) -> None:
    aging = Aging(cache, stale_while_revalidate="3h", stale_if_error="1d")
    f = aging.asynchronous

    async def main():
        assert await all_of(f(2)) == [(1, 0), (1, 1)]
        aging.now += 7200
        assert await all_of(f(2)) == [(1, 0), (1, 1)]
        while not await f.is_cached(2):
            await asyncio.sleep(0.01)
        assert await all_of(f(2)) == [(2, 0), (2, 1)]
        aging.now += 20_000
        aging.fails_at = 0
        assert await asyncio.gather(*[all_of(f(2)) for _ in range(3)]) == [[(2, 0), (2, 1)]] * 3
        aging.fails_at = 1
        with pytest.raises(RuntimeError):
            await all_of(f(2))

    run(main())


def test_async_references(cache: Cache) -> None:
    f, made = counting_async(cache)

    async def main():
        reference = await f.call_and_shelve(3)
        assert list(reference.get()) == await all_of(f(3)) == [[0], [1], [2]]
        assert (await f.call_and_shelve(3)).key == reference.key
        assert made.count("began") == 1

    run(main())


def test_async_sent_values_reach_the_function(cache: Cache) -> None:
    @cache.persist
    async def f(x):
        got = yield x
        while got is not None:
            got = yield got * 2

    async def talk():
        items = f(1)
        return [await anext(items), await items.asend(5), await items.asend(6), await all_of(items)]

    assert run(talk()) == [1, 10, 12, []]
    assert run(all_of(f(1))) == [1]
    assert run(f.is_cached(1))
    assert run(talk()) == [1, 10, 12, []]


# -------------------------------------------------------------------------------------------- from another process

FOLLOWER = """
import asyncio, sys
from memo import Cache

cache = Cache(sys.argv[1], storage=sys.argv[2], serializer=sys.argv[6] if len(sys.argv) > 6 else None, sign="s" * 32)

def told(what):
    print(what, flush=True)

def asked():
    return sys.stdin.readline().strip()

def made(n):
    for i in range(n):
        if sys.argv[4] == "leads" and asked() == "raise":
            raise ValueError(i)
        yield [i] * int(sys.argv[5])
    return "end"

@cache.persist(name="items", code="off", version=1)
def items(n):
    told("computing")
    return (yield from made(n))

@cache.persist(name="asynchronous", code="off", version=1)
async def asynchronous(n):
    told("computing")
    for item in made(n):
        yield item

def sync():
    found = items(4)
    while True:
        try:
            told(next(found)[0])
        except StopIteration as end:
            return told(end.value)

async def main():
    async for item in asynchronous(4):
        told(item[0])
    told("end")

try:
    sync() if sys.argv[3] == "sync" else asyncio.run(main())
except ValueError:
    told("raised")
told(cache.storage.read("none/none") or "done")
"""


running: list[subprocess.Popen] = []


@pytest.fixture(autouse=True)
def _none_left():
    yield
    while running:
        with running.pop() as process:
            process.kill()


class Player:
    def __init__(self, folder: Path, kind: str, how: str, role: str, size: int = 1) -> None:
        (folder / "follower.py").write_text(FOLLOWER)
        command = [sys.executable, "-W", "error", "follower.py", "place", kind, how, role, str(size)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        self.process = subprocess.Popen(command, cwd=folder, **pipes)
        running.append(self.process)

    def says(self) -> str:
        return self.process.stdout.readline().strip()

    def do(self, what: str = "go on") -> None:
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()

    def rest(self) -> list[str]:
        self.process.stdin.close()
        found = self.process.stdout.read().split()  # not communicate(): it misses what says() has read ahead
        self.process.wait(SECONDS)
        return found


@pytest.mark.parametrize(
    ("kind", "how", "size"), [("sqlite", "sync", 1), ("files", "async", 1), ("sqlite", "sync", 300_000)]
)
def test_another_process_follows(tmp_path: Path, kind: str, how: str, size: int) -> None:
    leader = Player(tmp_path, kind, how, "leads", size)
    assert leader.says() == "computing"
    leader.do()
    assert leader.says() == "0"
    follower = Player(tmp_path, kind, how, "follows", size)
    until_there(tmp_path / "place" / "_tapes")
    for i in range(1, 4):
        leader.do()
        assert leader.says() == str(i)
        if i == 2:  # there before the end is
            assert [follower.says() for _ in range(3)] == ["0", "1", "2"]
    assert leader.rest() == ["end", "done"]
    assert follower.rest() == ["3", "end", "done"]
    assert not list((tmp_path / "place" / "_tapes").iterdir())
    assert Player(tmp_path, kind, how, "follows", size).rest() == ["0", "1", "2", "3", "end", "done"]


@pytest.mark.parametrize(
    ("how", "ends"),
    [
        ("sync", "kill"),
        ("async", "raise"),
        pytest.param("async", "kill", marks=pytest.mark.slow),
        pytest.param("sync", "raise", marks=pytest.mark.slow),
    ],
)
def test_who_follows_another_process_goes_on_by_itself(tmp_path: Path, how: str, ends: str) -> None:
    leader = Player(tmp_path, "sqlite", how, "leads")
    assert leader.says() == "computing"
    leader.do()
    assert leader.says() == "0"
    follower = Player(tmp_path, "sqlite", how, "follows")
    until_there(tmp_path / "place" / "_tapes")
    leader.do()
    assert leader.says() == "1"
    assert [follower.says() for _ in range(2)] == ["0", "1"]
    if ends == "kill":
        leader.process.kill()
        leader.rest()
    else:
        leader.do("raise")
        assert leader.rest() == ["raised", "done"]
    assert follower.rest() == ["computing", "2", "3", "end", "done"]
    assert Player(tmp_path, "sqlite", how, "follows").rest() == ["0", "1", "2", "3", "end", "done"]


@pytest.mark.parametrize("wrong", ["mark", "key", "secret", "byte", None])
def test_only_frames_of_this_very_recording_are_taken(tmp_path: Path, wrong: str | None) -> None:
    def attempt(key="f/1/a", mark=1, keys=()):
        cache = SimpleNamespace(_keys=keys)
        return SimpleNamespace(
            opened=SimpleNamespace(place=str(tmp_path)), call=SimpleNamespace(key=key), state=SimpleNamespace(mark=mark),
            runner=SimpleNamespace(cache=lambda: cache),
        )  # fmt: skip

    follow = Follow(attempt())
    offer = Offer(attempt(mark=2 if wrong == "mark" else 1, keys=(b"k" * 32,) if wrong == "secret" else ()))
    tape = Tape(Cache(storage="memory").bodies, "")
    tape.add([1, 2, 3])
    offer.add(tape)
    (path,) = (tmp_path / "_tapes").iterdir()
    data = bytearray(path.read_bytes())
    if wrong == "byte":
        data[-1] ^= 1
        path.write_bytes(data)
    if wrong == "key":
        follow = Follow(attempt(key="f/1/b"))
        (tmp_path / "_tapes").joinpath(os.path.basename(path_of(attempt(key="f/1/b")))).write_bytes(data)
    found = follow.frames()
    assert [tape.load(name, body) for _, name, body in found] == ([] if wrong else [[1, 2, 3]])
    tape.close(), offer.close(), follow.close()


def until_there(folder: Path) -> None:
    """Until somebody has asked for the frames."""
    pause, end = threading.Event(), time.monotonic() + SECONDS
    while not (folder.exists() and list(folder.iterdir())):
        assert time.monotonic() < end
        pause.wait(0.01)
